//! What the core asks of the outside world, and what the outside world tells it.

use beltline_table::Shard;
use beltline_types::{Appended, Batch, CommitReceipt, CommitRequest, Error, Offset, OffsetRange, TopicPartition};

use crate::{TableId, TopicId};

/// Something the driver must do. Every command is answered by one [`LogEvent`] (a fetch that was cancelled need
/// not be).
#[derive(Debug)]
pub enum LogCommand {
    /// Read a partition; answered by `Fetched` or `FetchFailed`.
    Fetch {
        /// Names this fetch in its answer.
        fetch: u64,
        /// What to read.
        partition: TopicPartition,
        /// Where to begin.
        offset: Offset,
        /// When to stop; at least one batch is read.
        max_bytes: usize,
        /// Answer only when there is something to read: the core has seen the end of the partition.
        wait: bool,
    },
    /// The answer to this fetch would be ignored.
    CancelFetch {
        /// The fetch.
        fetch: u64,
        /// What it would have read.
        partition: TopicPartition,
    },
    /// Write a unit; answered by `Committed` or `CommitFailed`. After the log's yes its table changes go to the store.
    Commit(CommitUnit),
    /// Load a shard from the store and the changelog; answered by `Restored`. Given only after the committed
    /// positions are known, so the changelog's end sampled now covers them.
    Restore {
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
    },
    /// Look up committed positions and ranges; answered by `Offsets` or `OffsetsFailed`.
    LookupOffsets {
        /// Of these partitions.
        partitions: Vec<TopicPartition>,
    },
}

/// Everything that becomes durable together.
#[derive(Debug)]
pub struct CommitUnit {
    /// Outputs, changelog records, positions.
    pub request: CommitRequest,
    /// Which appends of the request are changes of which shard.
    pub tables: Vec<TableChange>,
}

/// One shard's changes within a [`CommitUnit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table.
    pub table: TableId,
    /// Which of its shards.
    pub partition: u32,
    /// Index into the request's appends.
    pub append: usize,
}

/// What a look-up found for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: TopicPartition,
    /// The group's committed position, if it has one.
    pub committed: Option<Offset>,
    /// The offsets the partition holds.
    pub range: OffsetRange,
}

/// Something that happened outside.
#[derive(Debug)]
pub enum LogEvent {
    /// A fetch was answered.
    Fetched {
        /// Which fetch.
        fetch: u64,
        /// What was read.
        partition: TopicPartition,
        /// The records; empty at the end of the partition.
        batches: Vec<Batch>,
        /// What the partition holds.
        range: OffsetRange,
    },
    /// A fetch went wrong; it is repeated after a pause.
    FetchFailed {
        /// Which fetch.
        fetch: u64,
        /// What was to be read.
        partition: TopicPartition,
        /// Why not.
        error: Error,
    },
    /// The unit in flight is durable.
    Committed(CommitReceipt),
    /// The unit in flight did not happen.
    CommitFailed(Error),
    /// A shard is complete.
    Restored {
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
        /// Its content.
        shard: Shard,
    },
    /// A shard grows.
    RestoreProgress {
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
        /// Changelog offsets read.
        done: u64,
        /// Changelog offsets to read.
        total: u64,
    },
    /// Committed positions and ranges.
    Offsets(Vec<PartitionOffsets>),
    /// The look-up went wrong; it is repeated after a pause.
    OffsetsFailed {
        /// Which partitions were asked for.
        partitions: Vec<TopicPartition>,
        /// Why there is no answer.
        error: Error,
    },
}

/// A send that was accepted into the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Counts the sends to this partition; see [`Receipt`].
    pub sequence: u64,
    /// The partition it goes to.
    pub partition: u32,
}

/// What became of sends to one partition: sequence `first_sequence + n` is the record with number `n`, see [`Receipt::offset`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: u32,
    /// The first send this is about.
    pub first_sequence: u64,
    /// How many sends.
    pub count: u32,
    /// Where they are; `None` when their unit was aborted, and they were not written.
    pub appended: Option<Appended>,
}

impl Receipt {
    /// Offset of the send with this number; `None` when its unit was aborted.
    pub fn offset(&self, sequence: u64) -> Option<Offset> {
        let number = sequence.saturating_sub(self.first_sequence) as u32;
        self.appended.as_ref().map(|appended| appended.offset(number))
    }
}
