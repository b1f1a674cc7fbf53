//! Keeping only the last record of each key in changelogs, in fewer and larger blocks.
//!
//! Two passes over what a partition held at the beginning: which offset is the last of its key, then a rewrite that
//! keeps those. Each new block replaces a run of old ones in one write, under the key of the first of them, so a
//! reader sees either the run or the block. Offsets stay; where records are gone there are gaps.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use beltline_types::{Batch, BatchBuilder, Cleanup, Offset, Result};

use crate::block::{self, BlockHeader};
use crate::block_store::{Change, Space};
use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;
use crate::keys;

/// Compacts the partitions of a topic that are worth it.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    if topic.info.cleanup != Cleanup::Compact {
        return Ok(());
    }
    for partition in &topic.partitions {
        let fresh = partition.fresh_bytes.load(Ordering::Relaxed);
        let worth = log.options.compact_min_bytes.max(partition.compacted_bytes.load(Ordering::Relaxed));
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
    let oldest_tombstone = log.clock.now_ms() - log.options.tombstone_retention_ms;
    let mut run = Run::default();
    let mut left_bytes = 0;
    each_batch(log, partition, end, &mut |batch| {
        run.sources.push(batch.base_offset());
        run.next_offset = batch.next_offset();
        for record in batch.iter() {
            let is_last = record.key.is_some_and(|key| latest.get(key) == Some(&record.offset));
            if is_last && (record.value.is_some() || record.timestamp >= oldest_tombstone) {
                run.records.push_at((record.offset - run.sources[0]) as u32, &record);
            }
        }
        // The delta of a record to its block's base has 32 bits.
        let wide = batch.next_offset() - run.sources[0] >= Offset::from(u32::MAX >> 1);
        if run.records.byte_len() >= log.options.block_bytes || wide {
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
    /// Base offsets of the old blocks.
    sources: Vec<Offset>,
    next_offset: Offset,
    records: BatchBuilder,
}

impl Run {
    /// Replaces the old blocks; returns the bytes of the new one. It stays even without records, because the last one
    /// says where the partition ends.
    fn replace(self, log: &Shared, topic: &Topic, partition: &Partition) -> Result<u64> {
        let Some(first) = self.sources.first().copied() else { return Ok(0) };
        let header = BlockHeader {
            base_offset: first,
            next_offset: self.next_offset,
            last_timestamp: self.records.last_timestamp(),
            count: self.records.len(),
        };
        let bytes = block::write(&header, self.records.as_bytes());
        let size = bytes.len() as u64;
        let mut changes = vec![Change::put(Space::Blocks, partition.key.block(first), bytes)];
        changes.extend(self.sources[1..].iter().map(|base| Change::remove(Space::Blocks, partition.key.block(*base))));
        log.rewrite(topic, changes)?;
        Ok(size)
    }
}

/// Visits the blocks of a partition up to `end`, outside of the store's own iteration so that the visitor may write.
fn each_batch(
    log: &Shared,
    partition: &Partition,
    end: Offset,
    each: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<()> {
    let key = partition.key;
    let mut result = Ok(());
    log.store.scan(Space::Blocks, &key.block(0), &key.block(end), &mut |key, value| {
        let base = keys::block_offset(key).unwrap_or(0);
        result = block::read_batch(&partition.name, base, value).and_then(|batch| each(&batch));
        if result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    result
}
