//! The restore threads load shards side by side, and close those that went to others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use beltline_engine::{LogEvent, TableId, TableSpec};
use beltline_env::SystemClock;
use beltline_log::Log;
use beltline_store::Store;
use beltline_types::ErrorKind;

use crate::inbox::{Inbox, lock};
use crate::io::{self, Restored};
use crate::turns::{Turn, Turns};

/// What a restore is asked for.
pub(crate) struct RestoreJob {
    pub(crate) restore: u64,
    pub(crate) table: TableId,
    pub(crate) spec: TableSpec,
    pub(crate) partition: u32,
}

enum Job {
    Restore(RestoreJob, Turn, Arc<AtomicBool>),
    Close(Arc<str>, u32, Turn),
}

#[derive(Default)]
struct Board {
    jobs: VecDeque<Job>,
    /// Partition and stop sign of every restore that waits or runs.
    signs: Vec<(u32, Arc<AtomicBool>)>,
    ended: bool,
}

pub(crate) struct Restorer {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    store: Arc<Store>,
    turns: Arc<Turns>,
    inbox: Arc<Inbox>,
}

impl Restorer {
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<Store>, turns: Arc<Turns>, inbox: Arc<Inbox>) -> Self {
        Restorer { board: Mutex::default(), changed: Condvar::new(), log, store, turns, inbox }
    }

    pub(crate) fn restore(&self, job: RestoreJob) {
        let turn = self.turns.enter((job.spec.name.clone(), job.partition));
        let sign = Arc::new(AtomicBool::new(false));
        let mut board = lock(&self.board);
        // One held by the board alone belongs to a restore that has ended.
        board.signs.retain(|(_, sign)| Arc::strong_count(sign) > 1);
        board.signs.push((job.partition, sign.clone()));
        board.jobs.push_back(Job::Restore(job, turn, sign));
        drop(board);
        self.changed.notify_one();
    }

    /// The shards of a partition are nothing to us any more: their restores stop, their files are closed.
    pub(crate) fn drop_shards(&self, partition: u32, tables: &[Arc<str>]) {
        let mut board = lock(&self.board);
        for (_, sign) in board.signs.iter().filter(|(other, _)| *other == partition) {
            sign.store(true, Ordering::Release);
        }
        for table in tables {
            let turn = self.turns.enter((table.clone(), partition));
            board.jobs.push_back(Job::Close(table.clone(), partition, turn));
        }
        drop(board);
        self.changed.notify_all();
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
                if board.ended {
                    // The places in the queues are given up, or a thread that waits for one would never end.
                    board.jobs.clear();
                    return;
                }
                board.jobs.pop_front()
            };
            match job {
                Some(Job::Restore(job, turn, sign)) => {
                    turn.wait();
                    if !self.load(&job, &sign) {
                        return;
                    }
                }
                Some(Job::Close(table, partition, turn)) => {
                    turn.wait();
                    self.store.close_shard(&table, partition);
                }
                None => {}
            }
        }
    }

    /// Says whether the thread may go on.
    fn load(&self, job: &RestoreJob, sign: &AtomicBool) -> bool {
        let RestoreJob { restore, table, ref spec, partition } = *job;
        let mut progress = |done, total| {
            self.inbox.push(LogEvent::RestoreProgress { restore, table, partition, done, total });
            !sign.load(Ordering::Acquire) && !lock(&self.board).ended
        };
        match io::restore(&*self.log, &self.store, &SystemClock::default(), spec, partition, &mut progress) {
            Ok(Some(Restored { shard, note })) => {
                note.into_iter().for_each(|note| self.inbox.notice(note));
                self.inbox.push(LogEvent::Restored { restore, table, partition, shard });
            }
            // The partition is gone, or the worker ends before the shard is complete.
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OffsetOutOfRange) => {
                self.inbox.push(LogEvent::RestoreFailed { restore, table, partition, error });
            }
            Err(error) => {
                self.inbox.fail(error);
                return false;
            }
        }
        true
    }
}
