//! Two threads for the membership in the group: one hears what it decides, one carries answers to it. Neither has to do
//! with the interpreter or the owner thread, so a handler that blocks costs no partition.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use beltline_engine::LogEvent;
use beltline_log::{GroupEvent, Log};
use beltline_types::{ErrorKind, Result, TopicPartition};

use crate::inbox::{Inbox, lock};
use crate::io;
use crate::surveyor::Surveyor;

/// How often the listening thread looks whether it is to end, and whether the log is in trouble.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause before an answer the group could not take is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Something to tell the group.
enum Answer {
    Join(Vec<Arc<str>>),
    Release(Vec<TopicPartition>),
}

#[derive(Default)]
struct Board {
    answers: VecDeque<Answer>,
    ended: bool,
}

pub(crate) struct Member {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    inbox: Arc<Inbox>,
    surveyor: Arc<Surveyor>,
    group: Arc<str>,
}

impl Member {
    pub(crate) fn new(log: Arc<dyn Log>, inbox: Arc<Inbox>, surveyor: Arc<Surveyor>, group: Arc<str>) -> Self {
        Member { board: Mutex::default(), changed: Condvar::new(), log, inbox, surveyor, group }
    }

    fn answer(&self, answer: Answer) {
        lock(&self.board).answers.push_back(answer);
        self.changed.notify_all();
    }

    pub(crate) fn join(&self, topics: Vec<Arc<str>>) {
        self.answer(Answer::Join(topics));
    }

    pub(crate) fn release(&self, partitions: Vec<TopicPartition>) {
        self.answer(Answer::Release(partitions));
    }

    /// Joins on the thread that calls, before there are others: a log that knows at once what is ours says so here, and
    /// nobody has to be woken.
    pub(crate) fn join_now(&self, topics: Vec<Arc<str>>) -> Result<Option<LogEvent>> {
        match self.log.join(&self.group, &topics) {
            Ok(()) => Ok(self.log.poll_group(Duration::ZERO)?.map(io::group_event)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                self.join(topics);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn end(&self) {
        lock(&self.board).ended = true;
        self.changed.notify_all();
        self.log.interrupt();
    }

    fn has_ended(&self) -> bool {
        lock(&self.board).ended
    }

    /// Body of the thread that listens.
    pub(crate) fn listen(&self) {
        let mut trouble = None;
        while !self.has_ended() {
            match self.log.poll_group(POLL_TIMEOUT) {
                Ok(event) => event.into_iter().for_each(|event| self.heard(event)),
                Err(error) => {
                    self.inbox.fail(error);
                    return;
                }
            }
            while let Some(notice) = self.log.notice() {
                self.inbox.notice(notice);
            }
            let now = self.log.trouble();
            if now != trouble {
                self.inbox.push(LogEvent::Trouble(now.clone()));
                trouble = now;
            }
        }
    }

    fn heard(&self, event: GroupEvent) {
        if let GroupEvent::Lost(lost) = &event {
            // There is nothing to give back any more, and what comes after must not be given back by mistake.
            for answer in &mut lock(&self.board).answers {
                if let Answer::Release(partitions) = answer {
                    partitions.retain(|partition| !lost.contains(partition));
                }
            }
        }
        // Another member may have found a new topic: who looks now finds it too, and one rebalance serves all.
        self.surveyor.look_now();
        self.inbox.push(io::group_event(event));
    }

    /// Body of the thread that answers.
    pub(crate) fn run(&self) {
        loop {
            let answer = {
                let idle = |board: &mut Board| board.answers.is_empty() && !board.ended;
                let board = self.changed.wait_while(lock(&self.board), idle);
                let mut board = board.unwrap_or_else(std::sync::PoisonError::into_inner);
                if board.ended { None } else { board.answers.pop_front() }
            };
            let Some(answer) = answer else { return };
            if !self.carry(&answer) {
                return;
            }
        }
    }

    /// Repeats an answer until the group has taken it; says whether the thread may go on.
    fn carry(&self, answer: &Answer) -> bool {
        let mut told = false;
        loop {
            let (result, what) = match answer {
                Answer::Join(topics) => (self.log.join(&self.group, topics), "joining the group"),
                Answer::Release(partitions) => (self.log.release(partitions), "giving partitions to others"),
            };
            match result {
                Ok(()) => return true,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    if !std::mem::replace(&mut told, true) {
                        self.inbox.notice(format!("{what} is tried again until the log answers: {error}"));
                    }
                }
                // They were lost in the meantime, and the group says so to the other thread.
                Err(error) if matches!(answer, Answer::Release(_)) && error.kind() == ErrorKind::Fenced => return true,
                Err(error) => {
                    self.inbox.fail(error);
                    return false;
                }
            }
            let waited = self.changed.wait_timeout_while(lock(&self.board), RETRY_PAUSE, |board| !board.ended);
            if waited.unwrap_or_else(std::sync::PoisonError::into_inner).0.ended {
                return false;
            }
        }
    }
}
