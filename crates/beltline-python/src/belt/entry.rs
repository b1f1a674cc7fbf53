//! What the rest of this crate does with a belt, beside what Python calls.

use std::sync::atomic::Ordering;
use std::time::Duration;

use beltline_engine::SubscriptionId;
use beltline_env::{Clock, SystemClock};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::Belt;
use crate::errors::{ForPython, timed_out, to_python};
use crate::inner::{Aftermath, Inner};
use crate::raw::guarded::Hold;
use crate::raw::thread::current_thread;
use crate::{fork, sleep};

/// The longest wait without a look for signals.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

impl Belt {
    /// Takes the belt in hand; nothing that calls into Python may happen meanwhile.
    ///
    /// # Errors
    /// `RuntimeError` in a forked child, or in another thread than the owner's.
    #[inline]
    pub fn enter(&self, py: Python<'_>) -> PyResult<Hold<'_, Inner>> {
        fork::check(self.made_in)?;
        let owner = self.owner.load(Ordering::Relaxed);
        if owner != 0 && owner != current_thread() {
            return Err(wrong_thread());
        }
        self.inner.hold(py, "the belt")
    }

    /// As [`Belt::enter`], where an error would only lead to a slower way that reports it.
    #[inline(always)]
    pub fn try_enter(&self, py: Python<'_>) -> Option<Hold<'_, Inner>> {
        if self.made_in != fork::generation() || self.owner.load(Ordering::Relaxed) != current_thread() {
            return None;
        }
        self.inner.try_hold(py)
    }

    /// Has the loop turn the belt when what was just done asks for it.
    #[inline]
    pub fn wake_if_needed(&self, inner: &Inner) {
        if inner.core().is_some_and(|core| core.wants_turn()) {
            self.shared.waker.wake();
        }
    }

    /// One turn: events in, commands out, then callbacks and sleepers.
    pub fn turn_once(&self, py: Python<'_>) -> PyResult<bool> {
        let aftermath = self.enter(py)?.turn(&self.shared);
        let happened = aftermath.happened || !aftermath.reports.is_empty();
        self.settle(py, aftermath)?;
        Ok(happened)
    }

    /// What a turn has left to do: it calls into Python.
    pub(super) fn settle(&self, py: Python<'_>, aftermath: Aftermath) -> PyResult<()> {
        sleep::resolve(py, aftermath.sleepers);
        aftermath.reports.into_iter().for_each(|report| report.tell(py));
        if !aftermath.notices.is_empty() {
            let logger = py.import("logging")?.call_method1(intern!(py, "getLogger"), ("beltline.engine",))?;
            for notice in aftermath.notices {
                logger.call_method1(intern!(py, "warning"), ("%s", notice))?;
            }
        }
        aftermath.failure.map_or(Ok(()), |error| Err(to_python(py, error)))
    }

    /// Wakes consumers that may have something to do.
    pub fn wake_streams(&self, py: Python<'_>) -> PyResult<()> {
        let sleepers = self.enter(py)?.take_sleepers(false);
        sleep::resolve(py, sleepers);
        Ok(())
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, py: Python<'_>, id: SubscriptionId) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        if let Ok(core) = inner.core_mut() {
            core.unsubscribe(id);
        }
        drop(inner);
        self.wake_streams(py)
    }

    /// Sleeps without the interpreter lock until a turn has something to do, at most `longest`.
    pub fn sleep(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        py.detach(|| worker.wait(longest.min(SIGNAL_CHECK)));
        drop(inner);
        py.check_signals()
    }

    /// Turns until everything finished and sent so far is committed, at most for `longest`.
    pub(super) fn commit_within(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        let clock = SystemClock::default();
        let until = clock.monotonic() + longest;
        loop {
            self.enter(py)?.core_mut().for_python(py)?.request_commit();
            let happened = self.turn_once(py)?;
            if !self.enter(py)?.core().is_some_and(|core| core.has_uncommitted()) {
                return Ok(());
            }
            let now = clock.monotonic();
            if now >= until {
                let in_flight = self.enter(py)?.core().map_or(0, |core| core.in_flight());
                let message = format!("no commit within {longest:?}: {in_flight} events are not finished");
                return Err(timed_out(message));
            }
            if !happened {
                self.sleep(py, until - now)?;
            }
        }
    }
}

#[cold]
fn wrong_thread() -> PyErr {
    PyRuntimeError::new_err(
        "a belt, its streams and its tables belong to the thread that started them; from another thread use \
         send_threadsafe, or loop.call_soon_threadsafe for anything else",
    )
}
