//! How another process finds the port: a file in the data directory.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline_env::{Clock, Files, RealFiles};
use beltline_log::{DataDirectory, Log};
use beltline_types::{Error, ErrorKind, Result};

use crate::{Broker, BrokerOptions, HostLog};

/// Name of the file; its lines are address, token, process id.
const FILE: &str = "endpoint";

/// Where the holder of a data directory listens.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port, on this machine and without TLS.
    pub address: SocketAddr,
    /// The password where one is required. Keep it out of logs.
    pub token: String,
    /// The process that listens.
    pub pid: u32,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { address, pid, .. } = self;
        formatter.debug_struct("Endpoint").field("address", address).field("pid", pid).finish_non_exhaustive()
    }
}

/// A running endpoint and the file that tells of it.
#[derive(Debug)]
pub struct Serving {
    // First: nobody is to be sent to a port that has closed.
    _announcement: Option<Announcement>,
    broker: Broker,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// The log for the process that serves, see [`Broker::host_log`].
    pub fn host_log(&self, gathers: bool, warm: &[u32]) -> HostLog {
        self.broker.host_log(gathers, warm)
    }
}

/// The file, for as long as this lives.
#[derive(Debug)]
pub struct Announcement {
    path: PathBuf,
}

impl Endpoint {
    /// Where the data directory at `path` can be reached; `None` when nobody holds it, the holder does not listen, or what
    /// it once wrote was left behind by a process that has ended.
    pub fn find(path: &Path) -> Option<Endpoint> {
        let bytes = RealFiles.read(&path.join(FILE)).ok()?;
        let endpoint = Endpoint::parse(std::str::from_utf8(&bytes).ok()?)?;
        // The lock cannot be left behind: it ends with its process, in whatever way that ends. It is looked at last,
        // because who looks at a free one holds it for a moment.
        let holder = DataDirectory::holder(path)?;
        (endpoint.pid == holder.pid).then_some(endpoint)
    }

    /// Starts an endpoint on a log and, where the log lies in a data directory, tells other processes of it. To be
    /// called by the process that holds the directory.
    ///
    /// # Errors
    /// See [`Broker::start`] and [`Endpoint::announce`].
    pub fn serve(
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        options: BrokerOptions,
        directory: Option<&Path>,
    ) -> Result<Serving> {
        let broker = Broker::start(log, clock, options)?;
        let announcement = directory.map(|path| Endpoint::announce(path, &broker)).transpose()?;
        Ok(Serving { _announcement: announcement, broker })
    }

    /// Tells other processes where `broker` listens. To be called by the process that holds the directory.
    ///
    /// # Errors
    /// `DataDirectory` when the file cannot be written.
    pub fn announce(path: &Path, broker: &Broker) -> Result<Announcement> {
        let files = RealFiles;
        let content = format!("{}\n{}\n{}\n", broker.local_address(), broker.token(), std::process::id());
        let (file, fresh) = (path.join(FILE), path.join(format!("{FILE}.new")));
        let write = || -> io::Result<()> {
            let mut writer = files.create(&fresh)?;
            restrict(&fresh)?;
            writer.write_all(content.as_bytes())?;
            writer.sync()?;
            // Readers see the whole file or none.
            files.rename(&fresh, &file)
        };
        write().map_err(|error| {
            let message = format!("the endpoint cannot be written to {}", file.display());
            Error::new(ErrorKind::DataDirectory, message).with_source(error)
        })?;
        Ok(Announcement { path: file })
    }

    fn parse(text: &str) -> Option<Endpoint> {
        let mut lines = text.lines();
        let address = lines.next()?.parse().ok()?;
        let token = lines.next()?.to_owned();
        Some(Endpoint { address, token, pid: lines.next()?.parse().ok()? })
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // One that stays is found stale by the process id in it.
        let _ = RealFiles.remove(&self.path);
    }
}

/// Other users of the machine have no business with the token.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}
