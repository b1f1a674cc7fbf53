//! Plain data every other crate speaks of: topics and partitions, records and batches, settings of a
//! topic, and the one public error.
//!
//! Nothing here does I/O, reads a clock, or knows what the bytes of a record mean.

mod batch;
mod error;
mod headers;
mod spare;
mod topic;

pub use batch::{BATCH_PADDING, Batch, BatchBuilder, BatchPart, RecordView};
pub use error::{Error, ErrorKind, Result};
pub use headers::{HeaderIter, encode_headers};
pub use spare::release_spare;
pub use topic::{
    Append, Appended, Cleanup, CommitReceipt, CommitRequest, OffsetRange, TimestampType, TopicInfo, TopicPartition,
    TopicSpec,
};

/// Position of a record within its partition; the first is 0.
pub type Offset = i64;

/// Milliseconds since the Unix epoch, as Kafka counts them.
pub type Timestamp = i64;

/// Which partition a key belongs to: Java's murmur2 over the key bytes, as Kafka's default
/// partitioner computes it (`org.apache.kafka.common.utils.Utils.murmur2`).
///
/// ```
/// assert_eq!(beltline_types::murmur2(b"the"), 3404073679);
/// assert_eq!(beltline_types::partition_of(b"the", 8), (3404073679u32 & 0x7fff_ffff) % 8);
/// ```
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The 32-bit murmur2 hash with Kafka's seed.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        word = word.wrapping_mul(MIX);
        word ^= word >> 24;
        word = word.wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ word;
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}
