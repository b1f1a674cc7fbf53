//! What becomes of messages on their way.

use std::time::Duration;

use beltline_env::{Random, SeededRandom};

/// The longest a message is under way.
const MAX_DELAY_MS: u64 = 4000;

/// Messages that have not come in yet.
pub(super) struct Network<T> {
    under_way: Vec<(Duration, T)>,
    /// Whether messages are lost, doubled and late.
    pub(super) is_bad: bool,
}

impl<T: Clone> Network<T> {
    pub(super) fn new() -> Network<T> {
        Network { under_way: Vec::new(), is_bad: true }
    }

    /// Sends a message, not to come before `earliest`; gives when it will.
    pub(super) fn send(&mut self, message: T, earliest: Duration, random: &mut SeededRandom) -> Duration {
        if !self.is_bad {
            self.under_way.push((earliest, message));
            return earliest;
        }
        let delay = if random.once_in(4) { random.below(MAX_DELAY_MS) } else { random.below(20) };
        let arrives = earliest + Duration::from_millis(delay);
        if random.once_in(12) {
            return arrives;
        }
        if random.once_in(12) {
            self.under_way.push((arrives, message.clone()));
        }
        self.under_way.push((arrives, message));
        arrives
    }

    /// Takes what has come in by `now`, in the order of arrival.
    pub(super) fn arrived(&mut self, now: Duration) -> Vec<T> {
        self.under_way.sort_by_key(|(arrives, _)| *arrives);
        let count = self.under_way.partition_point(|(arrives, _)| *arrives <= now);
        self.under_way.drain(..count).map(|(_, message)| message).collect()
    }
}
