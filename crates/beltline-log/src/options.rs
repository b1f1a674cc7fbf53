//! Settings of the embedded log.

use std::time::Duration;

/// When a commit reaches the disk itself. A killed process loses nothing with any of them; a power failure may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the commit is answered: nothing that was answered is ever lost.
    Always,
    /// After this time at the latest: a power failure takes back at most what was committed within it.
    Interval(Duration),
    /// When the operating system likes, often half a minute later; a full file within seconds.
    Never,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        SyncPolicy::Interval(Duration::from_secs(1))
    }
}

/// Settings of an [`EmbeddedLog`]; every buffer has its limit here.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// When a commit reaches the disk itself.
    pub sync: SyncPolicy,
    /// The log begins a new file when the present one would become larger than this; at most 2 GiB. In a log of more
    /// than thirty files they are made larger. What is let go comes back to the disk a file at a time.
    pub segment_bytes: u64,
    /// An append is cut into blocks of about this size, so that a fetch need not take more.
    pub block_bytes: usize,
    /// So many small blocks that follow one another are made one; at least 2.
    pub merge_blocks: usize,
    /// A changelog is compacted when this much was appended to a partition, and as much as the last compaction left.
    pub compact_min_bytes: u64,
    /// How long a removal stays in a compacted topic, for readers that have not seen it.
    pub tombstone_retention_ms: i64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            sync: SyncPolicy::default(),
            segment_bytes: 64 << 20,
            block_bytes: 1 << 20,
            merge_blocks: 256,
            compact_min_bytes: 16 << 20,
            // As Kafka's delete.retention.ms.
            tombstone_retention_ms: 24 * 60 * 60 * 1000,
        }
    }
}
