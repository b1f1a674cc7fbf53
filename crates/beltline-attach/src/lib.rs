//! The log of a data directory, whoever holds it.
//!
//! The first process takes the directory, opens its log and serves it at an endpoint; those that come later attach to that
//! endpoint by the Kafka client. When the holder ends, in whatever way, the directory's lock decides which of the others opens
//! the log next and serves it; the rest attach to that one. To a worker this looks like a membership that has ended: what was
//! assigned is lost, nothing of it can be committed any more, and the group is joined anew.
//!
//! - `opening`: taking the directory, or finding who has it
//! - `shared_log`: [`SharedLog`], the log that changes hands under a running worker

mod opening;
mod shared_log;

use std::time::Duration;

use beltline_broker::BrokerOptions;
use beltline_kafka::KafkaOptions;
use beltline_log::SyncPolicy;

pub use opening::{Opened, open};
pub use shared_log::{Closing, SharedLog};

/// How long a command waits for a holder that begins or ends: somebody sits before it.
const COMMAND_PATIENCE: Duration = Duration::from_secs(1);

/// How a data directory is shared.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// What other processes are told about who holds the directory.
    pub holder: String,
    /// When the log reaches the disk itself.
    pub sync: SyncPolicy,
    /// How the endpoint listens.
    pub endpoint: BrokerOptions,
    /// Whether a machine that gives no port is an error; otherwise the log goes without an endpoint.
    pub must_listen: bool,
    /// How the endpoint of another is spoken to: group, guarantee, limits. Servers and transactional id are filled in.
    pub kafka: KafkaOptions,
    /// How long a holder that does not listen may take to begin, or to end.
    pub patience: Duration,
}

impl AttachOptions {
    /// Options for a group; everything else is as it has proved good on one machine.
    pub fn new(group: &str) -> AttachOptions {
        let mut kafka = KafkaOptions::new("", group);
        // A process that was killed is missed as soon as an endpoint allows that is like Kafka; a longer one is asked for
        // where the endpoint takes no shorter one.
        kafka.session_timeout = Duration::from_secs(6);
        kafka.heartbeat_interval = Duration::from_millis(200);
        // Tables kept warm in a second process would cost this very machine twice.
        kafka.keeps_standbys = false;
        AttachOptions {
            holder: "beltline".to_owned(),
            sync: SyncPolicy::default(),
            endpoint: BrokerOptions::default(),
            must_listen: false,
            kafka,
            patience: Duration::from_secs(10),
        }
    }

    /// Options for a command that looks or sends and ends: it neither listens nor becomes a member of the group.
    pub fn observing(group: &str) -> AttachOptions {
        let mut options = AttachOptions { patience: COMMAND_PATIENCE, ..AttachOptions::new(group) };
        options.kafka.observes = true;
        options
    }
}
