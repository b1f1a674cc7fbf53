//! When to commit: the clockwork of triggers, draining and the growing interval.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::outbox::Sends;

/// Draining may cost at most one part in this many of the time.
const DRAIN_SHARE: u32 = 20;

/// However long draining takes, a commit is tried this often.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// After a rest the first change is not kept waiting for a whole interval, only for those that come with it: as long as a
/// producer lingers.
const GATHERING: Duration = Duration::from_millis(5);

/// A unit the log has been asked to write.
#[derive(Debug)]
pub(crate) struct InFlightUnit {
    /// Queue index and position per partition in the unit.
    pub(crate) positions: Vec<(usize, i64)>,
    /// The sends, in the order of the first appends of the request.
    pub(crate) sends: Vec<Sends>,
    /// Who changed tables outside of events, see [`crate::Core::changed_outside`].
    pub(crate) changed_outside: BTreeSet<u64>,
    /// Changelog records of topics that are known here: topic, partition, index of the append.
    pub(crate) changes: Vec<(usize, u32, usize)>,
    /// Numbers of the partitions whose positions or shards it moves.
    pub(crate) numbers: Vec<u32>,
    /// The group's generation when it was sealed.
    pub(crate) generation: u64,
}

#[derive(Debug)]
pub(crate) struct CommitClock {
    base: Duration,
    interval: Duration,
    average_drain: Duration,
    /// When the last unit was sealed.
    last: Duration,
    /// Until when nothing was there to be written.
    rested: Duration,
    /// Not before this time, after an abort.
    not_before: Duration,
    /// Asked for by the user, or by a limit.
    pub(crate) requested: bool,
    /// Something happened since the last unit.
    pub(crate) touched: bool,
    /// Something happened that the driver has not seen in `next_deadline` yet.
    pub(crate) fresh: bool,
    pub(crate) finished_events: u64,
    draining_since: Option<Duration>,
    overdue_at: Duration,
    pub(crate) unit: Option<InFlightUnit>,
}

impl CommitClock {
    pub(crate) fn new(base: Duration) -> Self {
        CommitClock {
            base,
            interval: base,
            average_drain: Duration::ZERO,
            last: Duration::ZERO,
            rested: Duration::ZERO,
            not_before: Duration::ZERO,
            requested: false,
            touched: false,
            fresh: false,
            finished_events: 0,
            draining_since: None,
            overdue_at: Duration::ZERO,
            unit: None,
        }
    }

    #[inline]
    pub(crate) fn touch(&mut self) {
        if !self.touched {
            self.touched = true;
            self.fresh = true;
        }
    }

    /// Notes the time; while nothing waits to be written the clock rests.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.fresh = false;
        if !self.touched && !self.requested {
            self.rested = now;
        }
    }

    /// When the next unit is to be sealed, if there is anything to write: an interval after the last one, or soon after a
    /// rest that was longer.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        if self.unit.is_some() || !(self.touched || self.requested) {
            return None;
        }
        let due = if self.requested { Duration::ZERO } else { self.usual() };
        Some(due.max(self.not_before))
    }

    /// Until when nothing is tried again after an abort.
    pub(crate) fn not_before(&self) -> Duration {
        self.not_before
    }

    fn usual(&self) -> Duration {
        (self.last + self.interval).max(self.rested + GATHERING.min(self.interval))
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|due| due <= now)
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn draining_since(&self) -> Option<Duration> {
        self.draining_since
    }

    pub(crate) fn begin_drain(&mut self, now: Duration, deadline: Duration) {
        self.draining_since = Some(now);
        self.overdue_at = now + deadline;
    }

    /// Whether the drain deadline has just passed; the next one is as far away again.
    pub(crate) fn overdue(&mut self, now: Duration, deadline: Duration) -> Option<Duration> {
        let since = self.draining_since?;
        if now < self.overdue_at {
            return None;
        }
        self.overdue_at = now + deadline.max(Duration::from_millis(1));
        Some(now.saturating_sub(since))
    }

    pub(crate) fn overdue_at(&self) -> Option<Duration> {
        self.draining_since.map(|_| self.overdue_at)
    }

    /// A unit leaves; learns from how long its draining took.
    pub(crate) fn sealed(&mut self, now: Duration, unit: InFlightUnit) {
        if let Some(since) = self.draining_since.take() {
            self.average_drain = (self.average_drain * 3 + now.saturating_sub(since)) / 4;
            self.interval = (self.average_drain * DRAIN_SHARE).clamp(self.base, LONGEST_INTERVAL.max(self.base));
        }
        self.unit = Some(unit);
        self.nothing_to_write(now);
    }

    /// The trigger found nothing to write.
    pub(crate) fn nothing_to_write(&mut self, now: Duration) {
        self.last = now;
        self.touched = false;
        self.fresh = false;
        self.requested = false;
        self.finished_events = 0;
        self.draining_since = None;
    }

    /// Everything since the last durable unit is gone; the next unit comes an interval later.
    pub(crate) fn aborted(&mut self, now: Duration) {
        self.unit = None;
        self.nothing_to_write(now);
        self.not_before = now + self.interval;
    }
}
