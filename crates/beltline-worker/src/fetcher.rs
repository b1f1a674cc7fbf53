//! The fetch thread reads partitions for the core; the watch thread tells it when the log has grown; a third one looks
//! positions up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use beltline_engine::LogEvent;
use beltline_log::Log;
use beltline_types::{ErrorKind, Offset, TopicPartition};

use crate::inbox::{Inbox, lock};
use crate::io;

/// How often the watch thread looks whether it is to end, should nobody interrupt it.
const WATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// A fetch the core asked for.
pub(crate) struct FetchJob {
    pub(crate) fetch: u64,
    pub(crate) partition: TopicPartition,
    pub(crate) offset: Offset,
    pub(crate) max_bytes: usize,
    pub(crate) wait: bool,
}

/// Positions the core asked for.
struct LookUp {
    lookup: u64,
    partitions: Vec<TopicPartition>,
}

#[derive(Default)]
struct Board {
    new: Vec<FetchJob>,
    look_ups: VecDeque<LookUp>,
    cancelled: Vec<u64>,
    grown: bool,
    ended: bool,
}

pub(crate) struct Fetcher {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    inbox: Arc<Inbox>,
    group: Arc<str>,
}

impl Fetcher {
    pub(crate) fn new(log: Arc<dyn Log>, inbox: Arc<Inbox>, group: Arc<str>) -> Self {
        Fetcher { board: Mutex::default(), changed: Condvar::new(), log, inbox, group }
    }

    fn change(&self, change: impl FnOnce(&mut Board)) {
        change(&mut lock(&self.board));
        self.changed.notify_all();
    }

    pub(crate) fn fetch(&self, job: FetchJob) {
        self.change(|board| board.new.push(job));
    }

    pub(crate) fn cancel(&self, fetch: u64) {
        self.change(|board| board.cancelled.push(fetch));
    }

    pub(crate) fn look_up(&self, lookup: u64, partitions: Vec<TopicPartition>) {
        self.change(|board| board.look_ups.push_back(LookUp { lookup, partitions }));
    }

    pub(crate) fn end(&self) {
        self.change(|board| board.ended = true);
        self.log.interrupt();
    }

    /// Body of the fetch thread.
    pub(crate) fn run(&self) {
        let mut waiting: Vec<FetchJob> = Vec::new();
        loop {
            let (new, grown) = {
                let quiet = |board: &mut Board| {
                    !board.ended && !board.grown && board.new.is_empty() && board.cancelled.is_empty()
                };
                let board = self.changed.wait_while(lock(&self.board), quiet);
                let mut board = board.unwrap_or_else(std::sync::PoisonError::into_inner);
                if board.ended {
                    return;
                }
                let cancelled = std::mem::take(&mut board.cancelled);
                waiting.retain(|job| !cancelled.contains(&job.fetch));
                board.new.retain(|job| !cancelled.contains(&job.fetch));
                (std::mem::take(&mut board.new), std::mem::take(&mut board.grown))
            };
            if grown {
                waiting.retain(|job| !self.answer(job));
            }
            for job in new {
                if !self.answer(&job) {
                    waiting.push(job);
                }
            }
        }
    }

    /// Reads; says whether there was an answer.
    fn answer(&self, job: &FetchJob) -> bool {
        let event = io::fetch(&*self.log, job.fetch, &job.partition, job.offset, job.max_bytes, job.wait);
        let answered = event.is_some();
        match event {
            // Asking again is of no use: a person must act.
            Some(LogEvent::FetchFailed { error, .. }) if error.kind() == ErrorKind::Unauthorized => {
                self.inbox.fail(error);
            }
            Some(event) => self.inbox.push(event),
            None => {}
        }
        answered
    }

    /// Body of the thread that looks positions up. A log may take long to answer, while a transaction of another is open
    /// for instance, and partitions that are read already do not wait for that.
    pub(crate) fn look_up_positions(&self) {
        loop {
            let next = {
                let idle = |board: &mut Board| board.look_ups.is_empty() && !board.ended;
                let board = self.changed.wait_while(lock(&self.board), idle);
                let mut board = board.unwrap_or_else(std::sync::PoisonError::into_inner);
                if board.ended { None } else { board.look_ups.pop_front() }
            };
            let Some(LookUp { lookup, partitions }) = next else { return };
            match io::look_up(&*self.log, &self.group, &partitions) {
                Ok(found) => self.inbox.push(LogEvent::Offsets { lookup, found }),
                Err(error) if error.kind() == ErrorKind::Unauthorized => self.inbox.fail(error),
                Err(error) => self.inbox.push(LogEvent::OffsetsFailed { lookup, partitions, error }),
            }
        }
    }

    /// Body of the watch thread.
    pub(crate) fn watch(&self) {
        let mut seen = 0;
        while !lock(&self.board).ended {
            let version = self.log.wait(seen, WATCH_TIMEOUT);
            if version != seen {
                seen = version;
                self.change(|board| board.grown = true);
            }
        }
    }
}
