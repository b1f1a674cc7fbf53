//! Kafka's wire protocol in front of the log of this machine, for other processes and for Kafka's tools.
//!
//! A convenience of one machine, not a cluster: one node, no replication. What is the same as Kafka and what is not stands
//! in `docs/endpoint.md`.
//!
//! - `server`: the ports, connections, their limits; `connection`: requests in, answers out; `transport`, `tls`: its bytes
//! - `schema`: which requests are spoken, and a check of their bytes before anything trusts them
//! - `api`: what each request does
//! - `records`: Kafka's record batches to and from the log's
//! - `group`, `transaction`: the coordinators, state machines without I/O; `producers`: idempotence
//! - `journal`: what must be known after a restart, in a topic of its own
//! - `host_log`, `host_member`: the log and the membership of the endpoint's own process, without a socket
//! - `endpoint`: how another process finds the port; `lone`: a data directory's log and its endpoint, and nothing else

mod api;
mod connection;
mod context;
mod endpoint;
mod group;
mod host_log;
mod host_member;
mod journal;
mod limits;
mod lone;
mod producers;
mod records;
mod schema;
mod server;
#[cfg(test)]
mod simulation;
mod tls;
mod transaction;
mod transport;
#[cfg(test)]
mod wire_tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use endpoint::{Announcement, Endpoint, Serving};
pub use host_log::HostLog;
pub use limits::Limits;
pub use lone::LoneEndpoint;
pub use server::Broker;
pub use tls::TlsFiles;

/// Settings of a [`Broker`].
#[derive(Clone)]
pub struct BrokerOptions {
    /// Where to listen; port 0 takes a free one. An address that other machines can reach is refused without
    /// `require_token` or `tls`.
    pub address: SocketAddr,
    /// The name by which clients reach this machine; `None` is the address to which each of them has connected.
    pub advertised_host: Option<String>,
    /// Whether clients must say the endpoint's token (SASL PLAIN, any user name, the token as the password).
    pub require_token: bool,
    /// The token, at least 16 characters; `None` draws one.
    pub token: Option<String>,
    /// Encrypts the connections to `address`. What runs on this machine finds another port then, without.
    pub tls: Option<TlsFiles>,
    /// Partitions of topics whose creator did not say how many.
    pub default_partitions: u32,
    /// Whether asking for an unknown topic creates it, where the client allows that.
    pub auto_create_topics: bool,
    /// The shortest session timeout a group member may ask for; Kafka's `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// How long a new group waits for more members than the first. Kafka waits 3 s.
    pub gather_members: Duration,
    /// Bounds of everything that could grow.
    pub limits: Limits,
}

impl fmt::Debug for BrokerOptions {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BrokerOptions")
            .field("address", &self.address)
            .field("advertised_host", &self.advertised_host)
            .field("require_token", &self.require_token)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertised_host: None,
            require_token: false,
            token: None,
            tls: None,
            default_partitions: 8,
            auto_create_topics: true,
            min_session_timeout: Duration::from_secs(6),
            gather_members: Duration::from_millis(200),
            limits: Limits::default(),
        }
    }
}
