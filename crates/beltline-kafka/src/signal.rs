//! Wakes whoever waits for something new.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A number that grows whenever something is new.
#[derive(Debug)]
pub(crate) struct Signal {
    version: Mutex<u64>,
    changed: Condvar,
}

impl Default for Signal {
    fn default() -> Self {
        // Waiters start with 0, so the first wait returns at once.
        Signal { version: Mutex::new(1), changed: Condvar::new() }
    }
}

impl Signal {
    pub(crate) fn raise(&self) {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        self.changed.notify_all();
    }

    /// Waits until the version differs from `seen` or the time is over; gives the version.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(version, timeout, |version| *version == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets some time pass.
    pub(crate) fn wait_quietly(&self, time: Duration) {
        let version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(version, time, |_| true));
    }
}
