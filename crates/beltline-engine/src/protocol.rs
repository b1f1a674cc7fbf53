//! What the core asks of the outside world, and what the outside world tells it.

use std::sync::Arc;

use beltline_table::Shard;
use beltline_types::{
    Appended, Batch, CommitReceipt, CommitRequest, Error, Offset, OffsetRange, TopicInfo, TopicPartition,
};

use crate::{TableId, TopicId};

/// Something the driver must do. Every command up to `LookupOffsets` is answered by one [`LogEvent`] (a fetch that was
/// cancelled, and a restore of a shard that was dropped, need not be); the others are repeated by the driver until they
/// are done, and need no answer.
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
        /// Names this restore in its answers.
        restore: u64,
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
    },
    /// Look up committed positions and ranges; answered by `Offsets` or `OffsetsFailed`.
    LookupOffsets {
        /// Names this look-up in its answer.
        lookup: u64,
        /// Of these partitions.
        partitions: Vec<TopicPartition>,
    },
    /// Become a member of the group that reads these topics, or change what is read. The group answers by `Assigned`.
    Join {
        /// All topics that are read from now on.
        topics: Vec<Arc<str>>,
    },
    /// Nothing of these partitions is under way any more: others may have them.
    Release {
        /// The partitions.
        partitions: Vec<TopicPartition>,
    },
    /// The shards of these partition numbers belong to somebody else now: stop restoring them and close their files, which
    /// stay for the day they come back.
    DropShards {
        /// Numbers of the partitions, of every table.
        partitions: Vec<u32>,
    },
    /// Keep the stored shards of these partition numbers close to their changelogs, and no others.
    Standby {
        /// Numbers of the partitions, of every table.
        partitions: Vec<u32>,
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
        /// Where to read on: behind the batches and what the log skipped.
        next_offset: Offset,
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
        /// Which restore.
        restore: u64,
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
        /// Its content.
        shard: Shard,
    },
    /// A shard grows.
    RestoreProgress {
        /// Which restore.
        restore: u64,
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
        /// Changelog offsets read.
        done: u64,
        /// Changelog offsets to read.
        total: u64,
    },
    /// A restore could not go on; it is repeated after a pause.
    RestoreFailed {
        /// Which restore.
        restore: u64,
        /// The table.
        table: TableId,
        /// Which of its shards.
        partition: u32,
        /// Why not.
        error: Error,
    },
    /// Committed positions and ranges.
    Offsets {
        /// Which look-up.
        lookup: u64,
        /// What it found.
        found: Vec<PartitionOffsets>,
    },
    /// The look-up went wrong; it is repeated after a pause.
    OffsetsFailed {
        /// Which look-up.
        lookup: u64,
        /// Which partitions were asked for.
        partitions: Vec<TopicPartition>,
        /// Why there is no answer.
        error: Error,
    },
    /// From now on these are ours too; may be empty.
    Assigned(Vec<TopicPartition>),
    /// Others are to get these: they are finished, committed and released; the rest goes on.
    Revoking(Vec<TopicPartition>),
    /// Gone already: nothing of them may be committed.
    Lost(Vec<TopicPartition>),
    /// The whole list of partition numbers whose shards are kept warm for others.
    Standby(Vec<u32>),
    /// A topic that is read does not exist any more.
    Gone {
        /// Its name.
        topic: Arc<str>,
        /// What the log says.
        why: String,
    },
    /// Why nothing can be read or written at present; `None` when all is well again.
    Trouble(Option<String>),
    /// All topics of the log, as it has them now.
    Topics(Vec<TopicInfo>),
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
    /// Where they are; `None` when their unit was rolled back, and they were not written.
    pub appended: Option<Appended>,
    /// The place of the first of them among the records that were appended.
    pub place: u32,
    /// Whether they were sent on behalf of events, which come again when their unit was rolled back.
    pub comes_again: bool,
}

impl Receipt {
    /// Offset of the send with this number; `None` when its unit was rolled back.
    pub fn offset(&self, sequence: u64) -> Option<Offset> {
        let number = sequence.saturating_sub(self.first_sequence) as u32;
        self.appended.as_ref().map(|appended| appended.offset(self.place + number))
    }
}
