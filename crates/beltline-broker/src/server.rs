//! The port, and the connections that come in through it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_env::{Clock, spawn_thread};
use beltline_log::Log;
use beltline_types::{Error, ErrorKind, Result};

use crate::connection;
use crate::context::{Context, lock};
use crate::{BrokerOptions, HostLog};

/// How long the own connection that ends the accepting may take.
const WAKE_TIMEOUT: Duration = Duration::from_millis(500);

/// Characters a token has at least: one that is guessed is none.
const MIN_TOKEN: usize = 16;

/// A port and how it is spoken to.
pub(crate) struct Listener {
    address: SocketAddr,
    advertised_host: Option<String>,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Listener {
    /// Host and port by which the client on this connection reaches us again: a listener on all addresses has none of its
    /// own that would do.
    pub(crate) fn node(&self, stream: &TcpStream) -> (String, u16) {
        let came_to = stream.local_addr().unwrap_or(self.address);
        let host = self.advertised_host.clone().unwrap_or_else(|| came_to.ip().to_canonical().to_string());
        (host, came_to.port())
    }

    /// An address of this machine that leads to the port.
    fn reachable(&self) -> SocketAddr {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(all) if all.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(all) if all.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        address
    }
}

/// Open connections by number: the stream to cut, and the thread that serves it.
#[derive(Default)]
struct Connections {
    open: BTreeMap<u64, (TcpStream, Option<JoinHandle<()>>)>,
    last: u64,
    is_closed: bool,
}

/// An endpoint that speaks Kafka's protocol on a port of this machine until it is stopped or dropped.
pub struct Broker {
    context: Arc<Context>,
    /// The one that was asked for, and one for this machine where that is not for it.
    listeners: Vec<Arc<Listener>>,
    connections: Arc<Mutex<Connections>>,
    threads: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Starts to listen. Clients may come as soon as this returns.
    ///
    /// # Errors
    /// `Usage` when the port is taken, the address is open to other machines without a token or TLS, or the files for TLS
    /// are none; what the log says about the endpoint's own topic; `Internal` when the system gives no thread.
    pub fn start(log: Arc<dyn Log>, clock: Arc<dyn Clock>, options: BrokerOptions) -> Result<Broker> {
        check(&options)?;
        let tls = options.tls.as_ref().map(crate::TlsFiles::load).transpose()?;
        let is_for_others = tls.is_some() || !options.address.ip().is_loopback();
        let mut sockets = vec![listen(options.address, options.advertised_host.clone(), tls)?];
        if is_for_others {
            // Whoever runs here needs neither a certificate's name nor the address of a network.
            sockets.push(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, None)?);
        }
        let context = Arc::new(Context::new(log, clock, options)?);
        let listeners = sockets.iter().map(|(_, listener)| listener.clone()).collect();
        let mut broker = Broker { context, listeners, connections: Arc::default(), threads: Vec::new() };
        for (socket, listener) in sockets {
            let (context, connections) = (broker.context.clone(), broker.connections.clone());
            broker.spawn("beltline-accept", move || accept(&context, &connections, &socket, &listener))?;
        }
        let context = broker.context.clone();
        broker.spawn("beltline-broker", move || context.tick_until_stopped())?;
        Ok(broker)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let started = spawn_thread(name, body);
        self.threads.push(started.map_err(|error| {
            Error::new(ErrorKind::Internal, "the system gives no thread for the endpoint").with_source(error)
        })?);
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners[0].address
    }

    /// Where it listens for this machine, without TLS.
    pub fn local_address(&self) -> SocketAddr {
        self.listeners[self.listeners.len() - 1].address
    }

    /// The password where one is required.
    pub fn token(&self) -> &str {
        &self.context.token
    }

    /// The log for the process that runs this endpoint: read and written without a socket, and a member of the same groups
    /// as those who come through the port. `gathers` says whether a group that it is the first in waits for more members;
    /// `warm` names the partitions whose tables are on this machine.
    pub fn host_log(&self, gathers: bool, warm: &[u32]) -> HostLog {
        HostLog::new(self.context.clone(), gathers, warm)
    }

    /// Closes the port and all connections, and waits for their threads; transactions that are open are aborted.
    pub fn stop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.context.stop();
        for listener in &self.listeners {
            // The thread that accepts is woken by a connection; where that fails the port is dead and it has ended already.
            drop(TcpStream::connect_timeout(&listener.reachable(), WAKE_TIMEOUT));
        }
        let open = {
            let mut connections = lock(&self.connections);
            connections.is_closed = true;
            std::mem::take(&mut connections.open)
        };
        for (stream, _) in open.values() {
            // Already closed by the other end, most likely.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let serving = open.into_values().filter_map(|(_, thread)| thread);
        for thread in serving.chain(std::mem::take(&mut self.threads)) {
            // One that panicked has said so; nothing is left of it.
            let _ = thread.join();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Broker").field("address", &self.address()).finish_non_exhaustive()
    }
}

/// Gives a connection's place back, whatever ended it.
struct Leaving<'a> {
    connections: &'a Mutex<Connections>,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        lock(self.connections).open.remove(&self.number);
    }
}

/// Refuses what would leave the log open to anybody.
fn check(options: &BrokerOptions) -> Result<()> {
    let message = if !options.address.ip().is_loopback() && !options.require_token && options.tls.is_none() {
        format!(
            "the endpoint is to listen on {}, which other machines may reach; give it a token (`endpoint_token`) or TLS \
             (`endpoint_certificate` and `endpoint_key`), or listen on 127.0.0.1",
            options.address
        )
    } else if options.token.as_ref().is_some_and(|token| token.len() < MIN_TOKEN || token.contains(['\n', '\0'])) {
        format!("setting endpoint_token: a token has {MIN_TOKEN} characters or more, all on one line")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Usage, message))
}

fn listen(
    address: SocketAddr,
    advertised_host: Option<String>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<(TcpListener, Arc<Listener>)> {
    let refused = |error| {
        let message = format!(
            "the endpoint cannot listen on {address}; choose another port with `endpoint_port`, or 0 for any free one"
        );
        Error::new(ErrorKind::Usage, message).with_source(error)
    };
    let socket = TcpListener::bind(address).map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    Ok((socket, Arc::new(Listener { address, advertised_host, tls })))
}

fn accept(
    context: &Arc<Context>,
    connections: &Arc<Mutex<Connections>>,
    socket: &TcpListener,
    listener: &Arc<Listener>,
) {
    while !context.is_stopped() {
        let Ok((stream, peer)) = socket.accept() else {
            // Out of file descriptors, or a client that was gone at once: a moment later it may be better.
            context.pause(WAKE_TIMEOUT / 10);
            continue;
        };
        let Ok(handle) = stream.try_clone() else { continue };
        let mut open = lock(connections);
        if open.is_closed || open.open.len() >= context.options.limits.max_connections {
            continue;
        }
        open.last += 1;
        let number = open.last;
        let (context, all, listener) = (context.clone(), connections.clone(), listener.clone());
        let thread = spawn_thread("beltline-client", move || {
            let _leaving = Leaving { connections: &all, number };
            connection::serve(&context, &listener, stream, peer);
        });
        if let Ok(thread) = thread {
            open.open.insert(number, (handle, Some(thread)));
        }
    }
}
