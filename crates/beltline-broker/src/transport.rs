//! The bytes of one connection, plain or encrypted. Whatever the other end does, every call ends by its deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use beltline_env::Clock;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A socket with a deadline: one that trickles is cut off as one that is silent is.
struct Timed {
    stream: TcpStream,
    clock: Arc<dyn Clock>,
    deadline: Duration,
}

impl Timed {
    /// Time that is left, never zero, which a socket would take for ever.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.checked_sub(self.clock.monotonic()).filter(|left| !left.is_zero());
        left.map(Some).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What a connection is read from and written to.
pub(crate) struct Transport(Kind);

enum Kind {
    Plain(Timed),
    Encrypted(Box<StreamOwned<ServerConnection, Timed>>),
}

impl Transport {
    /// Begins to talk; with `tls` both ends have agreed on keys when this returns, by `deadline`.
    pub(crate) fn begin(
        stream: TcpStream,
        tls: Option<&Arc<ServerConfig>>,
        clock: &Arc<dyn Clock>,
        deadline: Duration,
    ) -> io::Result<Transport> {
        stream.set_nodelay(true)?;
        let mut timed = Timed { stream, clock: clock.clone(), deadline };
        let Some(config) = tls else { return Ok(Transport(Kind::Plain(timed))) };
        let mut connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut timed)?;
        }
        Ok(Transport(Kind::Encrypted(Box::new(StreamOwned::new(connection, timed)))))
    }

    fn both(&mut self, deadline: Duration) -> &mut dyn ReadWrite {
        match &mut self.0 {
            Kind::Plain(timed) => {
                timed.deadline = deadline;
                timed
            }
            Kind::Encrypted(stream) => {
                stream.sock.deadline = deadline;
                &mut **stream
            }
        }
    }

    /// Fills `into`, by `deadline`.
    pub(crate) fn read_all(&mut self, into: &mut [u8], deadline: Duration) -> io::Result<()> {
        self.both(deadline).read_exact(into)
    }

    /// Writes everything, by `deadline`.
    pub(crate) fn write_all(&mut self, bytes: &[u8], deadline: Duration) -> io::Result<()> {
        let both = self.both(deadline);
        both.write_all(bytes)?;
        both.flush()
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}
