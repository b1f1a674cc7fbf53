//! What the log knows without asking the disk: where every block lies, and the facts (topics, offsets).
//!
//! The blocks of a partition follow one another without gaps in their offsets, from the first that retention has left
//! to the end. A block takes 32 bytes here.

use std::collections::BTreeMap;
use std::sync::Arc;

use beltline_env::ReadFile;
use beltline_types::{Offset, OffsetRange, Timestamp};

use crate::block::BlockHeader;
use crate::frame::FactChange;
use crate::keys::{self, PartitionKey};

/// Number of a segment file; later ones have larger numbers.
pub(crate) type SegmentNumber = u32;

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) base_offset: Offset,
    pub(crate) last_timestamp: Timestamp,
    /// Next offset − base offset.
    width: u32,
    pub(crate) segment: SegmentNumber,
    pub(crate) position: u32,
    /// Bytes in the file, checksum included.
    pub(crate) stored_bytes: u32,
}

impl BlockEntry {
    pub(crate) fn new(header: &BlockHeader, segment: SegmentNumber, position: u64, stored_bytes: u32) -> BlockEntry {
        BlockEntry {
            base_offset: header.base_offset,
            last_timestamp: header.last_timestamp,
            // Checked where headers are read; compaction keeps far below it.
            width: (header.next_offset - header.base_offset) as u32,
            segment,
            // A segment ends before its positions need more, see `frame::MAX_FRAME_BYTES`.
            position: position as u32,
            stored_bytes,
        }
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.width)
    }

    pub(crate) fn header(&self, partition: PartitionKey) -> BlockHeader {
        let (base_offset, next_offset) = (self.base_offset, self.next_offset());
        BlockHeader { partition, base_offset, next_offset, last_timestamp: self.last_timestamp }
    }
}

/// A segment file and how much of it still counts.
#[derive(Clone)]
pub(crate) struct SegmentState {
    /// Kept open: whoever reads may go on after the file was removed.
    pub(crate) file: Arc<dyn ReadFile>,
    /// Bytes of all blocks in it.
    pub(crate) block_bytes: u64,
    /// Bytes of those that still count.
    pub(crate) live_bytes: u64,
    /// How many still count.
    pub(crate) live_blocks: u64,
}

impl SegmentState {
    pub(crate) fn new(file: Arc<dyn ReadFile>) -> SegmentState {
        SegmentState { file, block_bytes: 0, live_bytes: 0, live_blocks: 0 }
    }
}

/// Everything the log knows.
#[derive(Default)]
pub(crate) struct Index {
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
    partitions: BTreeMap<PartitionKey, Vec<BlockEntry>>,
    segments: BTreeMap<SegmentNumber, SegmentState>,
}

impl Index {
    pub(crate) fn fact(&self, key: &[u8]) -> Option<&[u8]> {
        self.facts.get(key).map(Vec::as_slice)
    }

    /// Facts whose keys begin with `prefix`, in order.
    pub(crate) fn facts<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let from_prefix = self.facts.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from_prefix.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, value)| (&key[..], &value[..]))
    }

    /// The blocks of a partition, in order.
    pub(crate) fn blocks(&self, partition: PartitionKey) -> &[BlockEntry] {
        self.partitions.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// The offsets a partition holds.
    pub(crate) fn range(&self, partition: PartitionKey) -> OffsetRange {
        let blocks = self.blocks(partition);
        let told = self.fact(&keys::start(partition)).and_then(keys::stored_offset).unwrap_or(0);
        let start = told.max(blocks.first().map_or(0, |block| block.base_offset));
        OffsetRange { start, end: blocks.last().map_or(start, BlockEntry::next_offset).max(start) }
    }

    pub(crate) fn segments(&self) -> &BTreeMap<SegmentNumber, SegmentState> {
        &self.segments
    }

    pub(crate) fn add_segment(&mut self, number: SegmentNumber, file: Arc<dyn ReadFile>) {
        self.segments.insert(number, SegmentState::new(file));
    }

    pub(crate) fn forget_segment(&mut self, number: SegmentNumber) {
        self.segments.remove(&number);
    }

    /// All blocks of a segment that still count.
    pub(crate) fn blocks_in(&self, segment: SegmentNumber) -> Vec<(PartitionKey, BlockEntry)> {
        let all = self.partitions.iter().flat_map(|(key, blocks)| blocks.iter().map(move |block| (*key, *block)));
        all.filter(|(_, block)| block.segment == segment).collect()
    }

    /// Whether a block still lies where it was found.
    pub(crate) fn holds(&self, partition: PartitionKey, block: &BlockEntry) -> bool {
        let blocks = self.blocks(partition);
        let at = blocks.partition_point(|other| other.base_offset < block.base_offset);
        blocks.get(at) == Some(block)
    }

    /// Takes a block in; it replaces those whose offsets it covers.
    pub(crate) fn put_block(&mut self, partition: PartitionKey, block: BlockEntry) {
        if let Some(segment) = self.segments.get_mut(&block.segment) {
            segment.block_bytes += u64::from(block.stored_bytes);
            segment.live_bytes += u64::from(block.stored_bytes);
            segment.live_blocks += 1;
        }
        let blocks = self.partitions.entry(partition).or_default();
        if blocks.last().is_some_and(|last| last.next_offset() <= block.base_offset) {
            blocks.push(block);
            return;
        }
        // One that was made from blocks which were let go meanwhile must not bring them back.
        let start = self.facts.get(&keys::start(partition)).and_then(|start| keys::stored_offset(start)).unwrap_or(0);
        if block.next_offset() <= start {
            bury(&mut self.segments, &block);
            return;
        }
        let from = blocks.partition_point(|other| other.next_offset() <= block.base_offset);
        let to = blocks.partition_point(|other| other.base_offset < block.next_offset());
        for old in blocks.splice(from..to.max(from), [block]) {
            bury(&mut self.segments, &old);
        }
    }

    /// Changes a fact, and lets the blocks go that do not count any more because of it.
    pub(crate) fn apply(&mut self, change: FactChange) {
        let FactChange { key, value } = change;
        if key.starts_with(keys::START)
            && let (Some(partition), Some(start)) =
                (keys::partition_of(&key), value.as_deref().and_then(keys::stored_offset))
        {
            self.trim(partition, start);
        }
        match value {
            Some(value) => drop(self.facts.insert(key, value)),
            None => {
                let old = self.facts.remove(&key);
                if key.starts_with(keys::TOPIC)
                    && let Some(number) = old.as_deref().and_then(keys::stored_number)
                {
                    self.drop_blocks(|partition| partition.topic == number);
                }
            }
        }
    }

    /// Forgets all facts, before those of a checkpoint are put.
    pub(crate) fn clear_facts(&mut self) {
        self.facts.clear();
    }

    /// All facts, as changes that bring them about.
    pub(crate) fn checkpoint(&self) -> Vec<FactChange> {
        self.facts.iter().map(|(key, value)| FactChange::put(key.clone(), value.clone())).collect()
    }

    /// Lets the blocks go of topics that are not there, after everything was read: the change that removed them may be
    /// gone itself. What retention has let go needs no such care, its fact is in every later checkpoint.
    pub(crate) fn prune(&mut self) {
        let known: Vec<u32> = self.facts(keys::TOPIC).filter_map(|(_, value)| keys::stored_number(value)).collect();
        self.drop_blocks(|partition| !known.contains(&partition.topic));
    }

    fn trim(&mut self, partition: PartitionKey, start: Offset) {
        let Some(blocks) = self.partitions.get_mut(&partition) else { return };
        let gone = blocks.partition_point(|block| block.next_offset() <= start);
        for old in blocks.drain(..gone) {
            bury(&mut self.segments, &old);
        }
    }

    fn drop_blocks(&mut self, gone: impl Fn(PartitionKey) -> bool) {
        self.partitions.retain(|partition, blocks| {
            let gone = gone(*partition);
            if gone {
                blocks.iter().for_each(|block| bury(&mut self.segments, block));
            }
            !gone
        });
    }
}

fn bury(segments: &mut BTreeMap<SegmentNumber, SegmentState>, block: &BlockEntry) {
    if let Some(segment) = segments.get_mut(&block.segment) {
        segment.live_bytes -= u64::from(block.stored_bytes);
        segment.live_blocks -= 1;
    }
}
