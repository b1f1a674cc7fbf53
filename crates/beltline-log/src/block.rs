//! A block: the records of one append as they are stored.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | format, [`FORMAT`] |
//! | 3 | zero |
//! | 4 | crc32 of everything after it |
//! | 8 | base offset |
//! | 8 | next offset |
//! | 8 | latest timestamp, ms since the epoch |
//! | 4 | number of records |
//! | … | records, as in [`beltline_types::Batch`] |
//!
//! All numbers are little-endian.

use beltline_types::{Batch, Error, ErrorKind, Offset, Result, Timestamp, TopicPartition};

const FORMAT: u8 = 1;
const HEADER: usize = 36;

/// What a block says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) base_offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) last_timestamp: Timestamp,
    pub(crate) count: u32,
}

/// The bytes of a block.
pub(crate) fn write(header: &BlockHeader, records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + records.len());
    bytes.extend_from_slice(&[FORMAT, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&header.base_offset.to_le_bytes());
    bytes.extend_from_slice(&header.next_offset.to_le_bytes());
    bytes.extend_from_slice(&header.last_timestamp.to_le_bytes());
    bytes.extend_from_slice(&header.count.to_le_bytes());
    bytes.extend_from_slice(records);
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Checks a block that was stored for `base_offset` of `partition`; gives its header and records.
///
/// # Errors
/// `Corrupt`, naming partition and offset, when the checksum is wrong or the block is another one; `DataDirectory` for
/// a newer format.
pub(crate) fn read<'a>(
    partition: &TopicPartition,
    base_offset: Offset,
    bytes: &'a [u8],
) -> Result<(BlockHeader, &'a [u8])> {
    let Some((head, records)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(corrupt(partition, base_offset, "is cut short"));
    };
    if crc32fast::hash(&bytes[8..]) != u32::from_le_bytes([head[4], head[5], head[6], head[7]]) {
        return Err(corrupt(partition, base_offset, "fails its checksum"));
    }
    if head[..4] != [FORMAT, 0, 0, 0] {
        let message = format!(
            "{partition}: the block at offset {base_offset} has format {}, which this version of beltline does not know; \
             use the version that wrote it",
            head[0]
        );
        return Err(Error::new(ErrorKind::DataDirectory, message));
    }
    let eight = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&head[at..at + 8]);
        i64::from_le_bytes(number)
    };
    let count = u32::from_le_bytes([head[32], head[33], head[34], head[35]]);
    let header = BlockHeader { base_offset: eight(8), next_offset: eight(16), last_timestamp: eight(24), count };
    if header.base_offset != base_offset || header.next_offset < base_offset {
        return Err(corrupt(partition, base_offset, "belongs to another offset"));
    }
    Ok((header, records))
}

/// Checks a block and makes its records readable.
///
/// # Errors
/// See [`read`].
pub(crate) fn read_batch(partition: &TopicPartition, base_offset: Offset, bytes: &[u8]) -> Result<Batch> {
    let (header, records) = read(partition, base_offset, bytes)?;
    Batch::parse(header.base_offset, header.next_offset, records)
        .map_err(|error| corrupt(partition, base_offset, "holds records that make no sense").with_source(error))
}

/// The error for a block that cannot be used.
pub(crate) fn corrupt(partition: &TopicPartition, offset: Offset, what: &str) -> Error {
    let message = format!(
        "{partition}: the block at offset {offset} {what}; nothing behind it is read. Restore the data directory from a \
         copy, or delete the topic to give its records up"
    );
    Error::new(ErrorKind::Corrupt, message)
}
