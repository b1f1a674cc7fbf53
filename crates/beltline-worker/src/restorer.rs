//! The restore threads load shards side by side.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use beltline_engine::{LogEvent, TableId, TableSpec};
use beltline_log::Log;
use beltline_store::Store;

use crate::inbox::{Inbox, lock};
use crate::io::{self, Restored};

struct Job {
    table: TableId,
    spec: TableSpec,
    partition: u32,
}

#[derive(Default)]
struct Board {
    jobs: VecDeque<Job>,
    ended: bool,
}

pub(crate) struct Restorer {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    store: Arc<Store>,
    inbox: Arc<Inbox>,
}

impl Restorer {
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<Store>, inbox: Arc<Inbox>) -> Self {
        Restorer { board: Mutex::default(), changed: Condvar::new(), log, store, inbox }
    }

    pub(crate) fn restore(&self, table: TableId, spec: TableSpec, partition: u32) {
        lock(&self.board).jobs.push_back(Job { table, spec, partition });
        self.changed.notify_one();
    }

    /// Ends the threads; shards that are not complete are left.
    pub(crate) fn end(&self) {
        lock(&self.board).ended = true;
        self.changed.notify_all();
    }

    /// Body of a thread.
    pub(crate) fn run(&self) {
        loop {
            let job = {
                let idle = |board: &mut Board| board.jobs.is_empty() && !board.ended;
                let board = self.changed.wait_while(lock(&self.board), idle);
                let mut board = board.unwrap_or_else(std::sync::PoisonError::into_inner);
                if board.ended { None } else { board.jobs.pop_front() }
            };
            let Some(Job { table, spec, partition }) = job else { return };
            let mut progress = |done, total| {
                self.inbox.push(LogEvent::RestoreProgress { table, partition, done, total });
                !lock(&self.board).ended
            };
            match io::restore(&*self.log, &self.store, &spec, partition, &mut progress) {
                Ok(Some(Restored { shard, note })) => {
                    note.into_iter().for_each(|note| self.inbox.notice(note));
                    self.inbox.push(LogEvent::Restored { table, partition, shard });
                }
                // The worker ends before the shard is complete.
                Ok(None) => return,
                Err(error) => {
                    self.inbox.fail(error);
                    return;
                }
            }
        }
    }
}
