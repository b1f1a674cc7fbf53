//! Where the I/O threads put what they have for the owner thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_engine::LogEvent;
use beltline_types::{Error, ErrorKind};

/// Called from I/O threads when a turn has something to do.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Locks; a panic of another thread is reported by [`guarded`], not by poisoning.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Content {
    events: VecDeque<LogEvent>,
    notices: Vec<String>,
    fatal: Option<Error>,
}

/// Bounded by what the core asks for: one answer for each partition's fetch, one commit, one look-up, and the
/// restores; so there is no limit of its own.
pub(crate) struct Inbox {
    content: Mutex<Content>,
    arrived: Condvar,
    waker: Waker,
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Inbox { content: Mutex::default(), arrived: Condvar::new(), waker }
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut lock(&self.content));
        self.arrived.notify_all();
        (self.waker)();
    }

    pub(crate) fn push(&self, event: LogEvent) {
        self.change(|content| content.events.push_back(event));
    }

    pub(crate) fn notice(&self, notice: String) {
        self.change(|content| content.notices.push(notice));
    }

    /// The first fatal error counts.
    pub(crate) fn fail(&self, error: Error) {
        self.change(|content| {
            content.fatal.get_or_insert(error);
        });
    }

    pub(crate) fn take(&self, events: &mut VecDeque<LogEvent>, notices: &mut Vec<String>) -> Option<Error> {
        let mut content = lock(&self.content);
        events.append(&mut content.events);
        notices.append(&mut content.notices);
        content.fatal.take()
    }

    /// Waits until something arrives or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) {
        let content = lock(&self.content);
        let empty =
            |content: &mut Content| content.events.is_empty() && content.notices.is_empty() && content.fatal.is_none();
        drop(self.arrived.wait_timeout_while(content, timeout, empty));
    }
}

/// Runs a thread's body; a panic becomes the worker's fatal error, never silence.
pub(crate) fn guarded(inbox: &Inbox, name: &str, body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        inbox.fail(Error::new(ErrorKind::Internal, format!("the thread {name} panicked, which is a defect: {text}")));
    }
}
