//! An app inside of a program of one's own, without the command line.

use std::sync::Arc;
use std::time::Duration;

use beltline_env::{Clock, SystemClock};
use beltline_types::Result;

use crate::App;
use crate::runner::Runner;
use crate::table::{Table, TableView};

/// The longest sleep while nothing happens.
const PAUSE: Duration = Duration::from_millis(50);

/// Events in flight may finish for this long when the app stops.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// An app that runs in this thread; made by [`App::start`].
///
/// Dropping it ends the app without a last commit, as a crash would: nothing is lost, and what was not committed is done
/// again at the next start. [`Running::stop`] is the orderly way.
pub struct Running {
    runner: Runner,
}

impl App {
    /// Takes the data directory and starts the app in this thread, which has to call [`Running::turn`].
    ///
    /// # Errors
    /// `DataDirectory` when another process holds the directory or it cannot be used; what brokers say; what declaring
    /// topics and tables says.
    pub fn start(self) -> Result<Running> {
        let local = self.open()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        Ok(Running { runner: Runner::start(self, local, clock)? })
    }
}

impl Running {
    /// Runs what there is to run, then sleeps for at most `longest`; says whether anything happened.
    ///
    /// # Errors
    /// That of a handler whose policy is to fail, or a fatal one of the log.
    pub fn turn(&mut self, longest: Duration) -> Result<bool> {
        let happened = self.runner.turn()?;
        if !happened {
            self.runner.wait(longest);
        }
        Ok(happened)
    }

    /// Runs until every event there is has been processed and committed.
    ///
    /// # Errors
    /// See [`Running::turn`].
    pub fn run_until_idle(&mut self) -> Result<()> {
        while !self.runner.worker.core.is_idle() {
            self.turn(PAUSE)?;
        }
        Ok(())
    }

    /// A table over all its shards, to read.
    pub fn table<K, V>(&mut self, table: &Table<K, V>) -> TableView<'_, K, V> {
        TableView::new(&mut self.runner.worker.core, &mut self.runner.shared, table.index, None)
    }

    /// What the app told its operator since the last call.
    pub fn notices(&mut self) -> Vec<String> {
        self.runner.take_notices()
    }

    /// Finishes what is in flight, commits, and lets the data directory go.
    ///
    /// # Errors
    /// `Limit` when the log does not answer in time; the fatal error if there is one.
    pub fn stop(mut self) -> Result<()> {
        self.runner.stop(STOP_DEADLINE)
    }
}
