//! Ends the process at its deadline also when no Python code can run any more.
//!
//! A handler stuck in C code that keeps the interpreter lock stops every Python thread, the one that watches the
//! deadline included. This thread needs no interpreter: the interpreter's C signal handler writes the number of each
//! signal to [`LastResort::signal_fd`] at once, the thread reads it there, begins to count, and passes it on.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use beltline_env::{Clock, SystemClock, spawn_thread};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::raw::leave::leave;

/// Numbers of the signals that ask for an end, the same on every Unix.
const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// The byte that begins the deadline without a signal; no signal has this number.
const BEGUN: u8 = 255;

/// The byte that ends the thread.
const DISARMED: u8 = 254;

/// The longest deadline in seconds: a year, far below where a duration overflows.
const LONGEST_S: f64 = 365.0 * 86_400.0;

/// How long the second Ctrl-C waits for Python code to end the process by itself.
const SECOND_INTERRUPT: Duration = Duration::from_millis(300);

/// Exit code after the second Ctrl-C: what shells report for a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// A thread that ends the process at its deadline, for when no Python code can run any more.
///
/// It watches from the moment it is made.
///
/// Args:
///     deadline_s: Seconds from the first signal to the end of the process.
///
/// Raises:
///     ValueError: A deadline below zero or above a year.
///     OSError: The system gives no thread or no descriptors.
///
/// Signature:
///     __new__(deadline_s: float) -> LastResort
//
// Threads that only exist in the parent after a fork do no harm: the child has its descriptors, and nobody reads them.
#[pyclass(frozen, module = "beltline._native")]
pub struct LastResort {
    /// Signals go in here.
    signals: UnixStream,
    /// And come out here.
    passed_on: UnixStream,
    shared: Arc<Shared>,
}

struct Shared {
    exit_code: AtomicI32,
    /// Milliseconds that Python code asked for to end the process in its own way.
    grace_ms: AtomicU64,
    clock: SystemClock,
}

#[pymethods]
impl LastResort {
    #[new]
    fn new(deadline_s: f64) -> PyResult<LastResort> {
        if !(0.0..=LONGEST_S).contains(&deadline_s) {
            return Err(PyValueError::new_err(format!("a deadline of {deadline_s} s: give 0 to {LONGEST_S} seconds")));
        }
        let (signals, incoming) = UnixStream::pair()?;
        let (outgoing, passed_on) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        outgoing.set_nonblocking(true)?;
        passed_on.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            exit_code: AtomicI32::new(0),
            grace_ms: AtomicU64::new(0),
            clock: SystemClock::default(),
        });
        let thread = shared.clone();
        let deadline = Duration::from_secs_f64(deadline_s);
        spawn_thread("beltline-last-resort", move || thread.watch(incoming, &outgoing, deadline))
            .map_err(|error| PyOSError::new_err(format!("no thread to watch the shutdown deadline: {error}")))?;
        Ok(LastResort { signals, passed_on, shared })
    }

    /// The descriptor for ``signal.set_wakeup_fd``.
    ///
    /// Signature: () -> int
    fn signal_fd(&self) -> RawFd {
        self.signals.as_raw_fd()
    }

    /// The descriptor where signals come out again, one byte each.
    ///
    /// Signature: () -> int
    fn fileno(&self) -> RawFd {
        self.passed_on.as_raw_fd()
    }

    /// Passes a byte on as if it were a signal; 255 begins the deadline without one.
    ///
    /// Signature: (number: int) -> None
    fn send(&self, number: u8) {
        // A full buffer means that there is more to read than anybody needs.
        let _ = (&self.signals).write(&[number]);
    }

    /// What the process ends with at the deadline.
    ///
    /// Signature: (code: int) -> None
    fn set_exit_code(&self, code: i32) {
        self.shared.exit_code.store(code, Ordering::Relaxed);
    }

    /// Waits so much longer once: Python code is about to end the process.
    ///
    /// Signature: (seconds: float) -> None
    fn grant(&self, seconds: f64) {
        let milliseconds = (seconds.clamp(0.0, LONGEST_S) * 1000.0) as u64;
        self.shared.grace_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Ends the watch.
    ///
    /// Signature: () -> None
    fn disarm(&self) {
        self.send(DISARMED);
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl Shared {
    /// Body of the thread.
    fn watch(&self, mut incoming: UnixStream, outgoing: &UnixStream, patience: Duration) {
        let mut deadline: Option<Duration> = None;
        let mut bytes = [0; 64];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_sub(self.clock.monotonic()));
            if left.is_some_and(|left| left.is_zero()) {
                match self.grace_ms.swap(0, Ordering::Relaxed) {
                    0 => self.end(patience),
                    grace_ms => deadline = Some(self.clock.monotonic() + Duration::from_millis(grace_ms)),
                }
                continue;
            }
            if incoming.set_read_timeout(left).is_err() {
                return;
            }
            let count = match incoming.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            for number in &bytes[..count] {
                match (*number, deadline) {
                    (DISARMED, _) => return,
                    (SIGINT | SIGTERM | BEGUN, None) => deadline = Some(self.clock.monotonic() + patience),
                    (SIGINT, Some(_)) => {
                        self.exit_code.store(INTERRUPTED, Ordering::Relaxed);
                        deadline = Some(self.clock.monotonic() + SECOND_INTERRUPT);
                    }
                    _ => {}
                }
            }
            // A full buffer means that nobody reads: then nobody needs them either.
            let _ = (&*outgoing).write(&bytes[..count]);
        }
    }

    /// Ends the process: to log and tables it is the same as a crash, which they are made for.
    fn end(&self, patience: Duration) -> ! {
        let seconds = patience.as_secs_f64();
        let _ = writeln!(
            std::io::stderr(),
            "\nStill busy {seconds:.1} s after the stop was asked for, in code that lets no other thread of Python run, \
             so the process ends now. What was not committed is given back and comes again at the next start."
        );
        leave(self.exit_code.load(Ordering::Relaxed))
    }
}
