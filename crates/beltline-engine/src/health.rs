//! What the core can say about itself: which partition does not advance, and why.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Offset, TopicPartition};

use crate::tables::TableHealth;

/// Why a subscription gets no event of a partition at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The committed position is not known yet.
    Starting,
    /// A table that belongs to the partition is being restored.
    Restoring {
        /// The first such table.
        table: Arc<str>,
        /// Changelog offsets read so far.
        done: u64,
        /// Changelog offsets to read; 0 until it is known.
        total: u64,
        /// What went wrong last, when it is tried again.
        error: Option<String>,
    },
    /// Others are to get the partition, as soon as its events are finished and committed.
    HandingOver {
        /// How long they have been waiting.
        waited: Duration,
        /// The oldest event not finished, if there is one.
        oldest: Option<Offset>,
    },
    /// An event is in the handler's hands and the partition has not advanced for longer than the stall timeout.
    Handler {
        /// The event.
        oldest: Offset,
        /// How long it has held the position back.
        waited: Duration,
    },
    /// The log as a whole cannot be read or written.
    Trouble {
        /// What it says.
        message: String,
    },
    /// Exactly-once waits for unfinished events before it commits.
    Draining,
    /// As `Draining`, and the drain deadline has passed; the commit still waits.
    DrainOverdue {
        /// How long the commit has been waiting.
        waited: Duration,
        /// The oldest event not finished, if the partition has one.
        oldest: Option<Offset>,
    },
    /// Outputs wait for a commit and their limit is reached.
    OutboxFull {
        /// Bytes waiting.
        bytes: usize,
    },
    /// An unfinished event holds fetched records in memory and the limit is reached.
    QueueFull {
        /// The event.
        oldest: Offset,
        /// Bytes held.
        bytes: usize,
    },
    /// The log does not answer; it is asked again.
    LogError {
        /// What it said last.
        message: String,
        /// How many times in a row.
        failures: u32,
    },
    /// The core is stopping.
    Stopping,
    /// A commit failed for good.
    Failed {
        /// What the log said.
        message: String,
    },
}

impl fmt::Display for Pause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pause::Starting => formatter.write_str("waits for its committed position"),
            Pause::Restoring { table, done, total, error } => {
                write!(formatter, "waits until table {table} is restored, {done} of {total} offsets so far")?;
                error.as_ref().map_or(Ok(()), |error| write!(formatter, "; it failed and is tried again: {error}"))
            }
            Pause::HandingOver { waited, oldest } => {
                write!(formatter, "others have waited for it {:.1} s", waited.as_secs_f64())?;
                oldest.map_or(Ok(()), |offset| write!(formatter, "; the event at offset {offset} is not finished"))
            }
            Pause::Handler { oldest, waited } => {
                write!(
                    formatter,
                    "waits for the handler of the event at offset {oldest} since {:.1} s",
                    waited.as_secs_f64()
                )
            }
            Pause::Trouble { message } => write!(formatter, "the log cannot be used at present: {message}"),
            Pause::Draining => formatter.write_str("waits for unfinished events before a commit"),
            Pause::DrainOverdue { waited, oldest } => {
                write!(formatter, "a commit has waited {:.1} s for unfinished events", waited.as_secs_f64())?;
                match oldest {
                    Some(offset) => write!(formatter, "; the oldest here has offset {offset}"),
                    None => formatter.write_str(" of other partitions"),
                }
            }
            Pause::OutboxFull { bytes } => write!(formatter, "waits for a commit: {bytes} bytes of outputs are held"),
            Pause::QueueFull { oldest, bytes } => {
                write!(formatter, "the unfinished event at offset {oldest} holds {bytes} bytes of fetched records")
            }
            Pause::LogError { message, failures } => {
                write!(formatter, "the log failed {failures} times in a row: {message}")
            }
            Pause::Stopping => formatter.write_str("stops"),
            Pause::Failed { message } => write!(formatter, "a commit failed for good: {message}"),
        }
    }
}

/// One subscription's state in one partition.
#[derive(Clone, Debug)]
pub struct PartitionHealth {
    /// Name of the subscription.
    pub subscription: Arc<str>,
    /// The partition.
    pub partition: TopicPartition,
    /// The lowest offset not finished; `None` until it is known.
    pub position: Option<Offset>,
    /// What the log has committed for the group.
    pub committed: Option<Offset>,
    /// The offset the next record will get, as last seen.
    pub end: Option<Offset>,
    /// Events handed out and not finished.
    pub in_flight: usize,
    /// How long the oldest of them has held the position back.
    pub oldest_in_flight_age: Option<Duration>,
    /// Fetched bytes held for this partition.
    pub queued_bytes: usize,
    /// Why no event is handed out; `None` when events flow or there is none.
    pub paused: Option<Pause>,
    /// How long it has not advanced although there is something to read, when that is longer than the stall timeout.
    pub stalled: Option<Duration>,
}

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events handed out, redelivered ones included.
    pub events: u64,
    /// Events finished.
    pub finished: u64,
    /// Sends accepted.
    pub sends: u64,
    /// Units made durable.
    pub commits: u64,
    /// Units that were aborted.
    pub aborts: u64,
    /// Partitions lost without a hand-over.
    pub lost: u64,
    /// Times another member took our place and everything was dropped.
    pub fenced: u64,
}

/// The whole core at one moment.
#[derive(Clone, Debug)]
pub struct Health {
    /// Every subscription in every partition that is ours.
    pub partitions: Vec<PartitionHealth>,
    /// Every table.
    pub tables: Vec<TableHealth>,
    /// Numbers that only grow.
    pub counters: Counters,
    /// Time between two commits at this moment.
    pub commit_interval: Duration,
    /// Whether a unit is on its way to the log.
    pub commit_in_flight: bool,
    /// Bytes of outputs that wait for a commit.
    pub outbox_bytes: usize,
    /// Why the core has given up, if it has.
    pub failure: Option<String>,
    /// Why the log cannot be used at present, if it cannot.
    pub trouble: Option<String>,
    /// The group has not said yet what is ours.
    pub joining: bool,
}
