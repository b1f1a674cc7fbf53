//! The tidy thread: compaction of the store, retention and compaction of the log, memory that nobody uses.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use beltline_log::Log;
use beltline_store::Store;
use beltline_types::release_spare;

use crate::inbox::{Inbox, lock};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Board {
    /// Tables are complete. Before that a tombstone the store has not seen could be compacted away.
    allowed: bool,
    ended: bool,
}

pub(crate) struct Tidier {
    board: Mutex<Board>,
    changed: Condvar,
    log: Arc<dyn Log>,
    store: Arc<Store>,
    inbox: Arc<Inbox>,
}

impl Tidier {
    pub(crate) fn new(log: Arc<dyn Log>, store: Arc<Store>, inbox: Arc<Inbox>) -> Self {
        Tidier { board: Mutex::default(), changed: Condvar::new(), log, store, inbox }
    }

    pub(crate) fn allow(&self, allowed: bool) {
        lock(&self.board).allowed = allowed;
    }

    pub(crate) fn end(&self) {
        lock(&self.board).ended = true;
        self.changed.notify_all();
    }

    /// Body of the thread. A round that fails is repeated and told about: a full disk stops the commits, which is
    /// where it becomes fatal.
    pub(crate) fn run(&self) {
        loop {
            {
                let board = lock(&self.board);
                let waited = self.changed.wait_timeout_while(board, PAUSE, |board| !board.ended);
                let (board, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
                if board.ended {
                    return;
                }
                if !board.allowed {
                    continue;
                }
            }
            release_spare();
            for result in [self.store.compact(), self.log.maintain()] {
                if let Err(error) = result {
                    self.inbox.notice(format!("tidying up failed and is repeated: {error}"));
                }
            }
        }
    }
}
