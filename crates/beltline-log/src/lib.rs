//! The durable belt: the [`Log`] trait, shaped so that Apache Kafka maps onto it one to one, and the embedded log.
//!
//! - `embedded`: the [`Log`] on this machine; `catalog` knows its topics and where their partitions end
//! - `block`: records as they are stored, with a checksum
//! - `keys`: where what is stored
//! - `block_store`: the ordered store below, on disk (`disk_store`) or in memory (`memory_store`)
//! - `retention`, `compaction`: letting old records go
//! - `data_directory`: who may use a directory

mod block;
mod block_store;
mod catalog;
mod compaction;
mod data_directory;
mod disk_store;
mod embedded;
mod keys;
mod memory_store;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use beltline_types::{
    Batch, CommitReceipt, CommitRequest, Offset, OffsetRange, Result, TopicInfo, TopicPartition, TopicSpec,
};

pub use data_directory::{DataDirectory, Holder};
pub use embedded::{EmbeddedLog, LogOptions, SyncPolicy};

/// What one fetch found.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Whole batches in offset order; the first may begin before the wanted offset. Empty at the end of the partition.
    pub batches: Vec<Batch>,
    /// The offsets the partition held at that moment.
    pub range: OffsetRange,
}

/// A durable, partitioned log. All calls block and may come from any thread.
///
/// It moves whole batches and whole commits, never single records.
pub trait Log: Send + Sync {
    /// Creates the topics that do not exist yet; those that exist stay as they are, whatever the wish says.
    ///
    /// # Errors
    /// A name Kafka would refuse or zero partitions is `Usage`; otherwise what the disk says.
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()>;

    /// All topics, by name.
    ///
    /// # Errors
    /// Only what the disk says.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// One topic, if it exists.
    ///
    /// # Errors
    /// Only what the disk says.
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>>;

    /// Deletes a topic, its records and every group's offsets in it; no effect when it does not exist.
    ///
    /// # Errors
    /// Only what the disk says.
    fn delete_topic(&self, name: &str) -> Result<()>;

    /// Reads batches from the one that holds `offset`, at least one, until `max_bytes` are gathered.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, `OffsetOutOfRange` outside its range (the range is in the
    /// message), `Corrupt` naming partition and offset where a block fails its checksum: nothing is read past it.
    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched>;

    /// The offsets a partition holds.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist.
    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange>;

    /// Waits until the log's version differs from `seen` (something was appended) or `timeout` has passed; returns the
    /// version. Callers start with 0 and pass back what they were given.
    fn wait(&self, seen: u64, timeout: Duration) -> u64;

    /// Ends every [`Log::wait`] that is under way, for whoever wants to end its thread.
    fn interrupt(&self);

    /// Appends records and moves a group's offsets: all of it or nothing.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist; `Storage` when the disk refuses (nothing was written).
    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt>;

    /// The committed offset of each partition, `None` where the group has none.
    ///
    /// # Errors
    /// Only what the disk says.
    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>>;

    /// Forgets every offset of a group.
    ///
    /// # Errors
    /// Only what the disk says.
    fn reset_group(&self, group: &str) -> Result<()>;

    /// Names of the groups that have offsets, sorted.
    ///
    /// # Errors
    /// Only what the disk says.
    fn groups(&self) -> Result<Vec<Arc<str>>>;

    /// Forgets a group's offsets of these partitions; no effect where it has none.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist; otherwise what the disk says.
    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()>;

    /// Makes everything committed so far survive a power failure.
    ///
    /// # Errors
    /// Only what the disk says.
    fn sync(&self) -> Result<()>;

    /// Applies retention and compaction once; called from a background thread every few seconds.
    ///
    /// # Errors
    /// Only what the disk says.
    fn maintain(&self) -> Result<()>;
}
