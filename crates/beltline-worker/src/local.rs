//! Everything a worker needs on one machine: log and store in a data directory, or in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Core, CoreOptions};
use beltline_env::{Clock, MemoryFiles, RealFiles, SystemClock};
use beltline_log::{DataDirectory, EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_store::{Store, StoreOptions};
use beltline_types::Result;

use crate::{Waker, Worker};

/// How a worker keeps its data on this machine.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// When the log reaches the disk itself.
    pub sync: SyncPolicy,
    /// What other processes are told about who holds the directory.
    pub holder: String,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions { sync: SyncPolicy::Interval(Duration::from_secs(1)), holder: "beltline".to_owned() }
    }
}

/// A worker's log, and the directory it holds for as long as this lives.
pub struct Local {
    /// The log, for what needs no worker: topics, single reads.
    pub log: Arc<dyn Log>,
    store: Store,
    clock: Arc<dyn Clock>,
    directory: Option<DataDirectory>,
    /// What opening had to repair, or whose log it is, for the operator.
    notice: Option<String>,
    /// Dropped when the last commit is written.
    guest: Option<Box<dyn Send + Sync>>,
}

impl Local {
    /// Takes a data directory, which is made when it is missing, and opens what is in it.
    ///
    /// # Errors
    /// `DataDirectory` when another process holds it, or it is foreign, read-only or of a newer format; `Corrupt` when
    /// the log's own index makes no sense.
    pub fn open(path: &Path, options: &LocalOptions) -> Result<Local> {
        let directory = DataDirectory::open(path, &options.holder)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let log_options = LogOptions { sync: options.sync, ..LogOptions::default() };
        let log = EmbeddedLog::open(&directory.log_path(), log_options, clock.clone())?;
        let store = Store::new(Arc::new(RealFiles), directory.store_path(), StoreOptions::default());
        let notice = log.notice().map(str::to_owned);
        Ok(Local { log: Arc::new(log), store, clock, directory: Some(directory), notice, guest: None })
    }

    /// Keeps everything in memory until the worker is dropped.
    ///
    /// # Errors
    /// None at present.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Local> {
        let log = EmbeddedLog::in_memory(clock.clone())?;
        let store = Store::new(Arc::new(MemoryFiles::default()), PathBuf::from("tables"), StoreOptions::default());
        Ok(Local { log: Arc::new(log), store, clock, directory: None, notice: None, guest: None })
    }

    /// A worker's place on this machine, for a log that is kept elsewhere: here are only copies of its tables.
    pub fn with_log(log: Arc<dyn Log>, directory: DataDirectory) -> Local {
        let store = Store::new(Arc::new(RealFiles), directory.store_path(), StoreOptions::default());
        let clock = Arc::new(SystemClock::default());
        Local { log, store, clock, directory: Some(directory), notice: None, guest: None }
    }

    /// A log that several processes share, with this one's tables at `store_path`; `place` is held while they are used.
    pub fn with_store(log: Arc<dyn Log>, store_path: PathBuf, place: Option<DataDirectory>) -> Local {
        let store = Store::new(Arc::new(RealFiles), store_path, StoreOptions::default());
        Local { log, store, clock: Arc::new(SystemClock::default()), directory: place, notice: None, guest: None }
    }

    /// Something that uses the log until the last commit is written, see [`Worker::accompany`], and a sentence about it for the
    /// operator.
    #[must_use]
    pub fn accompanied(mut self, guest: Box<dyn Send + Sync>, notice: Option<String>) -> Local {
        self.guest = Some(guest);
        self.notice = notice.or(self.notice);
        self
    }

    /// Makes the worker, which holds the directory from now on.
    ///
    /// # Errors
    /// See [`Worker::open`].
    pub fn into_worker(self, options: CoreOptions, waker: Waker) -> Result<Worker> {
        let Local { log, store, clock, directory, notice, guest } = self;
        let mut worker = Worker::open(Core::new(options), log, store, clock, waker)?;
        worker.hold(directory);
        worker.tell(notice);
        if let Some(guest) = guest {
            worker.accompany(guest);
        }
        Ok(worker)
    }
}
