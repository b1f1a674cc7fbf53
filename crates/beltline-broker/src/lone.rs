//! A data directory's log and its endpoint, and nothing else: for a process in which no worker runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use beltline_env::{Clock, SystemClock};
use beltline_log::{DataDirectory, EmbeddedLog, Log, LogOptions};
use beltline_types::{Result, TopicSpec, release_spare};

use crate::{BrokerOptions, Endpoint, Serving};

/// The endpoint of a data directory that this process holds. Fields are dropped in this order.
#[derive(Debug)]
pub struct LoneEndpoint {
    serving: Serving,
    log: Arc<EmbeddedLog>,
    _directory: DataDirectory,
}

impl LoneEndpoint {
    /// Takes the data directory at `path`, which is made when it is missing, makes the topics that do not exist, then listens.
    /// `holder` is what others are told about this process.
    ///
    /// # Errors
    /// `DataDirectory` when another process holds it, or it is foreign, read-only or of a newer format; what the log says
    /// about itself or the topics; see [`Endpoint::serve`].
    pub fn start(
        path: &Path,
        holder: &str,
        log_options: LogOptions,
        topics: &[TopicSpec],
        options: BrokerOptions,
    ) -> Result<LoneEndpoint> {
        let directory = DataDirectory::open(path, holder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let log = Arc::new(EmbeddedLog::open(&directory.log_path(), log_options, clock.clone())?);
        log.create_topics(topics)?;
        let serving = Endpoint::serve(log.clone(), clock, options, Some(directory.path()))?;
        Ok(LoneEndpoint { serving, log, _directory: directory })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// What opening the log had to repair, for the operator.
    pub fn notice(&self) -> Option<&str> {
        self.log.notice()
    }

    /// Retention and compaction, and memory that nobody uses: for the process to call every few seconds.
    ///
    /// # Errors
    /// What the disk says; the next call tries again.
    pub fn tidy(&self) -> Result<()> {
        release_spare();
        self.log.maintain()
    }

    /// Closes the port and all connections, then has everything on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn close(self) -> Result<()> {
        drop(self.serving);
        self.log.sync()
    }
}
