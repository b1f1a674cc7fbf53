//! Keeping only the last record of each key in changelogs, in fewer and larger blocks.
//!
//! Two passes over what a partition held at the beginning: which offset is the last of its key, then a rewrite that
//! keeps those. Each new block covers the offsets of a run of old ones and replaces them in one write, so a reader sees
//! either the run or the block. Offsets stay; where records are gone there are gaps.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use beltline_types::{Batch, BatchBuilder, Offset, Result};

use crate::block::BlockHeader;
use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;
use crate::frame::Changes;

/// A block covers no more offsets than this: the delta of a record to its block's base has 32 bits.
const MAX_WIDTH: Offset = (u32::MAX >> 1) as Offset;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Compacts the partitions of a topic that are worth it.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    if !topic.info.cleanup.compacts() {
        return Ok(());
    }
    let set = topic.info.option("segment.bytes").and_then(|bytes| u64::try_from(bytes).ok());
    let min_bytes = set.unwrap_or(log.options.compact_min_bytes);
    for partition in &topic.partitions {
        let fresh = partition.fresh_bytes.load(Ordering::Relaxed);
        let worth = min_bytes.max(partition.compacted_bytes.load(Ordering::Relaxed));
        if fresh >= worth {
            compact(log, topic, partition)?;
            partition.fresh_bytes.fetch_sub(fresh, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn compact(log: &Shared, topic: &Topic, partition: &Partition) -> Result<()> {
    let end = partition.range().end;
    let mut latest: BTreeMap<Box<[u8]>, Offset> = BTreeMap::new();
    each_batch(log, partition, end, &mut |batch| {
        for record in batch.iter() {
            if let Some(key) = record.key {
                match latest.get_mut(key) {
                    Some(offset) => *offset = record.offset,
                    None => drop(latest.insert(key.into(), record.offset)),
                }
            }
        }
        Ok(())
    })?;
    let kept_ms = topic.info.option("delete.retention.ms").unwrap_or(log.options.tombstone_retention_ms);
    let oldest_tombstone = log.clock.now_ms().saturating_sub(kept_ms);
    let mut run = Run::default();
    let mut left_bytes = 0;
    each_batch(log, partition, end, &mut |batch| {
        if run.range.is_some_and(|(base, _)| batch.next_offset() - base > MAX_WIDTH) {
            left_bytes += std::mem::take(&mut run).replace(log, topic, partition)?;
        }
        let base = run.range.map_or(batch.base_offset(), |(base, _)| base);
        run.range = Some((base, batch.next_offset()));
        for record in batch.iter() {
            let is_last = record.key.is_some_and(|key| latest.get(key) == Some(&record.offset));
            if is_last && (record.value.is_some() || record.timestamp >= oldest_tombstone) {
                run.records.push_at((record.offset - base) as u32, &record);
            }
        }
        if run.records.byte_len() >= log.options.block_bytes {
            left_bytes += std::mem::take(&mut run).replace(log, topic, partition)?;
        }
        Ok(())
    })?;
    left_bytes += run.replace(log, topic, partition)?;
    partition.compacted_bytes.store(left_bytes, Ordering::Relaxed);
    Ok(())
}

/// Old blocks that become one.
#[derive(Default)]
struct Run {
    /// Base offset of the first and next offset of the last.
    range: Option<(Offset, Offset)>,
    records: BatchBuilder,
}

impl Run {
    /// Replaces the old blocks; returns the bytes of the new one. It stays even without records, because the last one
    /// says where the partition ends.
    fn replace(self, log: &Shared, topic: &Topic, partition: &Partition) -> Result<u64> {
        let Some((base_offset, next_offset)) = self.range else { return Ok(0) };
        let last_timestamp = self.records.last_timestamp();
        let header = BlockHeader { partition: partition.key, base_offset, next_offset, last_timestamp };
        let blocks = vec![(header, self.records.as_bytes())];
        log.rewrite(topic, Changes { blocks, facts: Vec::new() })?;
        Ok(self.records.byte_len() as u64)
    }
}

/// Visits the blocks of a partition up to `end`.
fn each_batch(
    log: &Shared,
    partition: &Partition,
    end: Offset,
    each: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<()> {
    let mut offset = log.segments.range(partition.key).start;
    while offset < end {
        let batches = log.read(partition, offset, READ_BYTES)?;
        let Some(last) = batches.last() else { return Ok(()) };
        offset = last.next_offset();
        batches.iter().filter(|batch| batch.base_offset() < end).try_for_each(&mut *each)?;
    }
    Ok(())
}
