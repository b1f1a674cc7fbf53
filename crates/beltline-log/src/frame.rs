//! A frame: everything one commit changes, written by one system call, there as a whole or not at all.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | [`MAGIC`] |
//! | 4 | crc32 of the rest of the header and of the table |
//! | 8 | sequence: one more than that of the frame before |
//! | 8 | sequence of the last frame that was known to survive a power failure when this one was written |
//! | 4 | flags, see [`CHECKPOINT`] |
//! | 4 | number of changes in the table |
//! | 4 | bytes of the table |
//! | 4 | bytes of all blocks |
//! | … | the table |
//! | … | the blocks in the order of the table: records, then their checksum, see `block` |
//!
//! A change in the table begins with its kind; all numbers are little-endian.
//!
//! | kind | then |
//! |---|---|
//! | 1, a block | topic 4, partition 4, base offset 8, next offset 8, latest timestamp 8, bytes with checksum 4 |
//! | 2, a fact is put | bytes of the key 2, bytes of the value 4, key, value |
//! | 3, a fact is removed | bytes of the key 2, key |
//!
//! There is no change that removes a block. A later block replaces the earlier ones whose offsets it covers; blocks
//! below a partition's first offset, and those of a topic that is not there, do not count. So a block can never come
//! back to life because what removed it was itself thrown away.

use beltline_types::{Error, ErrorKind, Result};

use crate::block::{BlockHeader, CHECKSUM_BYTES};
use crate::keys::PartitionKey;

/// What a frame begins with; unlikely in text.
pub(crate) const MAGIC: [u8; 4] = [0xb3, b'F', 0xd7, 0x01];

/// Bytes before the table.
pub(crate) const HEADER_BYTES: usize = 40;

/// The largest frame: positions in a segment have 32 bits. A commit is limited far below it.
pub(crate) const MAX_FRAME_BYTES: usize = 1 << 30;

/// Flag: the table holds all facts there are, those not in it are gone.
pub(crate) const CHECKPOINT: u32 = 1;

const BLOCK: u8 = 1;
const PUT: u8 = 2;
const REMOVE: u8 = 3;

/// A change of a fact: topics, offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactChange {
    pub(crate) key: Vec<u8>,
    /// `None` removes it.
    pub(crate) value: Option<Vec<u8>>,
}

impl FactChange {
    pub(crate) fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> FactChange {
        FactChange { key: key.into(), value: Some(value.into()) }
    }

    pub(crate) fn remove(key: impl Into<Vec<u8>>) -> FactChange {
        FactChange { key: key.into(), value: None }
    }
}

/// What is to change together.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    /// Blocks and their records.
    pub(crate) blocks: Vec<(BlockHeader, &'a [u8])>,
    pub(crate) facts: Vec<FactChange>,
}

impl Changes<'_> {
    pub(crate) fn of_facts(facts: Vec<FactChange>) -> Changes<'static> {
        Changes { blocks: Vec::new(), facts }
    }

    /// Bytes of the blocks as they are stored.
    fn payload_bytes(&self) -> usize {
        self.blocks.iter().map(|(_, records)| records.len() + CHECKSUM_BYTES).sum()
    }
}

/// What one frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) sequence: u64,
    pub(crate) synced: u64,
    pub(crate) flags: u32,
    pub(crate) count: u32,
    pub(crate) table_bytes: u32,
    pub(crate) payload_bytes: u32,
}

impl FrameHeader {
    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.table_bytes) + u64::from(self.payload_bytes)
    }

    /// Reads a header without checking its checksum, which needs the table; `None` when it cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<FrameHeader> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        let mut rest = Reader(&bytes[8..]);
        let (sequence, synced) = (rest.u64()?, rest.u64()?);
        let (flags, count, table_bytes, payload_bytes) = (rest.u32()?, rest.u32()?, rest.u32()?, rest.u32()?);
        let header = FrameHeader { sequence, synced, flags, count, table_bytes, payload_bytes };
        (bytes[..4] == MAGIC && header.frame_bytes() <= MAX_FRAME_BYTES as u64).then_some(header)
    }
}

/// Header and table of a frame; the blocks are written behind it.
///
/// # Errors
/// `Limit` when the frame would be larger than [`MAX_FRAME_BYTES`].
pub(crate) fn encode(changes: &Changes<'_>, sequence: u64, synced: u64, flags: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    for (header, records) in &changes.blocks {
        bytes.push(BLOCK);
        bytes.extend_from_slice(&header.partition.topic.to_le_bytes());
        bytes.extend_from_slice(&header.partition.partition.to_le_bytes());
        bytes.extend_from_slice(&header.base_offset.to_le_bytes());
        bytes.extend_from_slice(&header.next_offset.to_le_bytes());
        bytes.extend_from_slice(&header.last_timestamp.to_le_bytes());
        bytes.extend_from_slice(&((records.len() + CHECKSUM_BYTES) as u32).to_le_bytes());
    }
    for FactChange { key, value } in &changes.facts {
        bytes.push(if value.is_some() { PUT } else { REMOVE });
        let key_bytes = u16::try_from(key.len())
            .map_err(|_| Error::new(ErrorKind::Limit, "a group's name is longer than 65,000 bytes; shorten it"))?;
        bytes.extend_from_slice(&key_bytes.to_le_bytes());
        if let Some(value) = value {
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    let payload_bytes = changes.payload_bytes();
    let frame_bytes = bytes.len() + payload_bytes;
    if frame_bytes > MAX_FRAME_BYTES {
        let message = format!(
            "a commit of {frame_bytes} bytes is larger than the {MAX_FRAME_BYTES} the log takes at once; commit more often"
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let table_bytes = (bytes.len() - HEADER_BYTES) as u32;
    let count = (changes.blocks.len() + changes.facts.len()) as u32;
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16..24].copy_from_slice(&synced.to_le_bytes());
    for (at, number) in [(24, flags), (28, count), (32, table_bytes), (36, payload_bytes as u32)] {
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// A change as it is read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    /// A block and its bytes, checksum included; blocks follow one another in this order.
    Block(BlockHeader, u32),
    /// A fact; `None` is removed.
    Fact(&'a [u8], Option<&'a [u8]>),
}

/// Checks a header and its table, `bytes` being both; gives the changes. `None` when they are damaged.
pub(crate) fn decode<'a>(header: &FrameHeader, bytes: &'a [u8]) -> Option<Vec<Read<'a>>> {
    let (head, table) = bytes.split_at_checked(HEADER_BYTES)?;
    if table.len() != header.table_bytes as usize || crc32fast::hash(&bytes[8..]).to_le_bytes() != head[4..8] {
        return None;
    }
    let mut reader = Reader(table);
    let mut found = Vec::with_capacity((header.count as usize).min(table.len()));
    let mut payload = 0u64;
    for _ in 0..header.count {
        found.push(match reader.take(1)?[0] {
            BLOCK => {
                let partition = PartitionKey { topic: reader.u32()?, partition: reader.u32()? };
                let (base_offset, next_offset) = (reader.u64()? as i64, reader.u64()? as i64);
                let last_timestamp = reader.u64()? as i64;
                let stored_bytes = reader.u32()?;
                // The width of a block is kept in 32 bits, see `index`.
                let width = u32::try_from(next_offset.checked_sub(base_offset)?).ok()?;
                if base_offset < 0 || width == 0 || (stored_bytes as usize) < CHECKSUM_BYTES {
                    return None;
                }
                payload += u64::from(stored_bytes);
                Read::Block(BlockHeader { partition, base_offset, next_offset, last_timestamp }, stored_bytes)
            }
            PUT => {
                let (key_bytes, value_bytes) = (reader.u16()?, reader.u32()?);
                let key = reader.take(key_bytes.into())?;
                Read::Fact(key, Some(reader.take(value_bytes as usize)?))
            }
            REMOVE => {
                let key_bytes = reader.u16()?;
                Read::Fact(reader.take(key_bytes.into())?, None)
            }
            _ => return None,
        });
    }
    (reader.0.is_empty() && payload == u64::from(header.payload_bytes)).then_some(found)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.number().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.number().map(u64::from_le_bytes)
    }
}
