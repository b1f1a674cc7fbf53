//! The commit thread: a unit to the log, then its table changes to the store.

use std::sync::{Arc, Condvar, Mutex};

use beltline_engine::{CommitUnit, LogEvent};
use beltline_log::Log;
use beltline_store::Store;
use beltline_types::{Error, ErrorKind};

use crate::inbox::{Inbox, lock};
use crate::io;
use crate::turns::{Turn, Turns};

/// A unit, the names of the tables it speaks of, by table number, and its places at the shards it changes: they are left
/// when the store has the changes.
struct Job {
    unit: CommitUnit,
    names: Vec<Arc<str>>,
    _turns: Vec<Turn>,
}

#[derive(Default)]
struct Board {
    /// At most one: the core keeps one unit in flight.
    job: Option<Job>,
    ended: bool,
}

pub(crate) struct Committer {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    store: Arc<Store>,
    turns: Arc<Turns>,
    inbox: Arc<Inbox>,
}

impl Committer {
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<Store>, turns: Arc<Turns>, inbox: Arc<Inbox>) -> Self {
        Committer { board: Mutex::default(), changed: Condvar::new(), log, store, turns, inbox }
    }

    pub(crate) fn commit(&self, unit: CommitUnit, names: Vec<Arc<str>>) {
        let shards =
            unit.tables.iter().filter_map(|change| Some((names.get(change.table.index())?.clone(), change.partition)));
        let turns = shards.map(|shard| self.turns.enter(shard)).collect();
        lock(&self.board).job = Some(Job { unit, names, _turns: turns });
        self.changed.notify_all();
    }

    /// Ends after the job at hand.
    pub(crate) fn end(&self) {
        lock(&self.board).ended = true;
        self.changed.notify_all();
    }

    /// Body of the thread.
    pub(crate) fn run(&self) {
        loop {
            let job = {
                let idle = |board: &mut Board| board.job.is_none() && !board.ended;
                let board = self.changed.wait_while(lock(&self.board), idle);
                board.unwrap_or_else(std::sync::PoisonError::into_inner).job.take()
            };
            let Some(job) = job else { return };
            if !self.write(job) {
                return;
            }
        }
    }

    /// Says whether the thread may go on.
    fn write(&self, job: Job) -> bool {
        let Job { unit, names, _turns } = job;
        match io::write_unit(&*self.log, unit, &names) {
            Ok((receipt, changes)) => {
                self.inbox.push(LogEvent::Committed(receipt));
                if let Err(error) = io::store_unit(&self.store, &changes) {
                    self.inbox.fail(error);
                    return false;
                }
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::Aborted | ErrorKind::Fenced | ErrorKind::Unavailable) => {
                self.inbox.push(LogEvent::CommitFailed(error));
                true
            }
            Err(error) => {
                let told = Error::new(error.kind(), error.to_string());
                self.inbox.push(LogEvent::CommitFailed(told));
                self.inbox.fail(error);
                false
            }
        }
    }
}
