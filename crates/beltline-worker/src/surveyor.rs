//! The thread that looks for topics and partitions that come up.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use beltline_engine::LogEvent;
use beltline_log::Log;
use beltline_types::TopicInfo;

use crate::inbox::{Inbox, lock};

/// Between two looks, however often somebody asks for one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Board {
    interval: Duration,
    /// Somebody has a reason to believe that there is something new.
    asked: bool,
    ended: bool,
}

pub(crate) struct Surveyor {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    inbox: Arc<Inbox>,
}

impl Surveyor {
    pub(crate) fn new(log: Arc<dyn Log>, inbox: Arc<Inbox>) -> Self {
        Surveyor { board: Mutex::default(), changed: Condvar::new(), log, inbox }
    }

    fn change(&self, change: impl FnOnce(&mut Board)) {
        change(&mut lock(&self.board));
        self.changed.notify_all();
    }

    pub(crate) fn every(&self, interval: Duration) {
        self.change(|board| board.interval = interval);
    }

    pub(crate) fn look_now(&self) {
        self.change(|board| board.asked = true);
    }

    pub(crate) fn end(&self) {
        self.change(|board| board.ended = true);
    }

    /// Body of the thread. A log that does not answer is asked again next time: whoever reads it tells about the trouble.
    pub(crate) fn run(&self) {
        let mut last: Vec<TopicInfo> = Vec::new();
        while self.wait() {
            if let Ok(topics) = self.log.topics()
                && topics != last
            {
                last.clone_from(&topics);
                self.inbox.push(LogEvent::Topics(topics));
            }
        }
    }

    /// Waits until it is time to look; `false` when the thread is to end.
    fn wait(&self) -> bool {
        let board = lock(&self.board);
        let waited = self.changed.wait_timeout_while(board, SHORTEST_PAUSE, |board| !board.ended);
        let (board, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let rest = board.interval.saturating_sub(SHORTEST_PAUSE);
        let waited = self.changed.wait_timeout_while(board, rest, |board| !board.ended && !board.asked);
        let (mut board, _) = waited.unwrap_or_else(PoisonError::into_inner);
        board.asked = false;
        !board.ended
    }
}
