//! A block: the records of one append, and the checksum behind them.
//!
//! What a block is (its partition, its offsets) stands in the table of the frame that holds it, see `frame`. The
//! checksum covers that too, so a block read from a wrong place is found out.

use beltline_types::{BATCH_PADDING, Batch, Error, ErrorKind, Offset, Result, Timestamp, TopicPartition};

use crate::keys::PartitionKey;

/// Bytes of the checksum behind the records.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) partition: PartitionKey,
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) last_timestamp: Timestamp,
}

/// The checksum of a block.
pub(crate) fn checksum(partition: PartitionKey, base_offset: Offset, next_offset: Offset, records: &[u8]) -> u32 {
    let mut identity = [0; 24];
    identity[..4].copy_from_slice(&partition.topic.to_le_bytes());
    identity[4..8].copy_from_slice(&partition.partition.to_le_bytes());
    identity[8..16].copy_from_slice(&base_offset.to_le_bytes());
    identity[16..].copy_from_slice(&next_offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity);
    hasher.update(records);
    hasher.finalize()
}

/// A block as it was read, not checked yet: its records, its checksum, and room for the rest of a batch's padding.
#[derive(Debug)]
pub(crate) struct RawBlock {
    pub(crate) partition: PartitionKey,
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    bytes: Vec<u8>,
}

impl RawBlock {
    /// An empty one for `stored_bytes`, checksum included.
    pub(crate) fn new(
        partition: PartitionKey,
        base_offset: Offset,
        next_offset: Offset,
        stored_bytes: usize,
    ) -> RawBlock {
        let length = stored_bytes - CHECKSUM_BYTES + BATCH_PADDING;
        let mut bytes = Batch::memory(length);
        bytes.resize(length, 0);
        RawBlock { partition, base_offset, next_offset, bytes }
    }

    /// Where what is stored goes.
    pub(crate) fn stored_mut(&mut self) -> &mut [u8] {
        let end = self.bytes.len() - BATCH_PADDING + CHECKSUM_BYTES;
        &mut self.bytes[..end]
    }

    /// Its records.
    pub(crate) fn records(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - BATCH_PADDING]
    }

    /// Whether the checksum fits.
    pub(crate) fn is_whole(&self) -> bool {
        let records = self.records();
        let stored = &self.bytes[records.len()..records.len() + CHECKSUM_BYTES];
        checksum(self.partition, self.base_offset, self.next_offset, records).to_le_bytes() == stored
    }

    /// Checks the block and makes its records readable where they lie.
    ///
    /// # Errors
    /// `Corrupt`, naming partition and offset.
    pub(crate) fn into_batch(mut self, name: &TopicPartition) -> Result<Batch> {
        if !self.is_whole() {
            return Err(corrupt(name, self.base_offset, "fails its checksum"));
        }
        let end = self.bytes.len() - BATCH_PADDING;
        self.bytes[end..].fill(0);
        Batch::from_padded(self.base_offset, self.next_offset, self.bytes)
            .map_err(|error| corrupt(name, self.base_offset, "holds records that make no sense").with_source(error))
    }
}

/// The error for a block that cannot be used.
pub(crate) fn corrupt(partition: &TopicPartition, offset: Offset, what: &str) -> Error {
    let message = format!(
        "{partition}: the block at offset {offset} {what}; nothing behind it is read. Restore the data directory from a \
         copy, or delete the topic to give its records up"
    );
    Error::new(ErrorKind::Corrupt, message)
}
