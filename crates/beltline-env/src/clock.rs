//! Time of day and time that only goes forward.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use beltline_types::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch; may jump when somebody sets the machine's clock.
    fn now_ms(&self) -> Timestamp;

    /// Time since some moment in the past; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now_ms(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn monotonic(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }
}

/// A clock that stands still until it is moved.
///
/// ```
/// use beltline_env::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::default();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!((clock.now_ms(), clock.monotonic()), (ManualClock::START_MS + 2000, Duration::from_secs(2)));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// The time of day at which it starts: a thousand million seconds after the epoch, 2001-09-09T01:46:40Z.
    pub const START_MS: Timestamp = 1_000_000_000_000;

    /// Moves it forward.
    pub fn advance(&self, time: Duration) {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> Timestamp {
        Self::START_MS + Timestamp::try_from(self.monotonic().as_millis()).unwrap_or(Timestamp::MAX / 2)
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
