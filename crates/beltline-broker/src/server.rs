//! The port, and the connections that come in through it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
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
    connections: Arc<Mutex<Connections>>,
    threads: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Starts to listen. Clients may come as soon as this returns.
    ///
    /// # Errors
    /// `Usage` when the port is taken or the address is open to other machines without a token; what the log says about
    /// the endpoint's own topic; `Internal` when the system gives no thread.
    pub fn start(log: Arc<dyn Log>, clock: Arc<dyn Clock>, options: BrokerOptions) -> Result<Broker> {
        if !options.address.ip().is_loopback() && !options.require_token {
            let message = format!(
                "the endpoint is to listen on {}, which other machines may reach; require its token, or listen on \
                 127.0.0.1",
                options.address
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let refused = |error| {
            let message = format!(
                "the endpoint cannot listen on {}; choose another port with `endpoint_port`, or 0 for any free one",
                options.address
            );
            Error::new(ErrorKind::Usage, message).with_source(error)
        };
        let listener = TcpListener::bind(options.address).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let context = Arc::new(Context::new(log, clock, options.clone(), address)?);
        let connections = Arc::new(Mutex::new(Connections::default()));
        let mut broker = Broker { context, connections, threads: Vec::new() };
        let (context, connections) = (broker.context.clone(), broker.connections.clone());
        broker.spawn("beltline-accept", move || accept(&context, &connections, &listener))?;
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
        self.context.address
    }

    /// What names this run of the endpoint, and is the password where one is required.
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
        // The thread that accepts is woken by a connection; where that fails the port is dead and it has ended already.
        drop(TcpStream::connect_timeout(&self.context.address, WAKE_TIMEOUT));
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
        formatter.debug_struct("Broker").field("address", &self.context.address).finish_non_exhaustive()
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

fn accept(context: &Arc<Context>, connections: &Arc<Mutex<Connections>>, listener: &TcpListener) {
    while !context.is_stopped() {
        let Ok((stream, peer)) = listener.accept() else {
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
        let (context, all) = (context.clone(), connections.clone());
        let thread = spawn_thread("beltline-client", move || {
            let _leaving = Leaving { connections: &all, number };
            connection::serve(&context, stream, peer);
        });
        if let Ok(thread) = thread {
            open.open.insert(number, (handle, Some(thread)));
        }
    }
}
