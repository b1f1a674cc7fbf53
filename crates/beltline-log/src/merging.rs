//! Making one block of many small ones.
//!
//! A belt with little on it gets a block of a few records with every commit. Each of them takes a place in the index and
//! a step when it is read, so after a week there would be millions. A run of small blocks is written once more as one;
//! its segment is then empty, or nearly so, and goes.

use std::sync::atomic::Ordering;

use beltline_types::{BatchBuilder, Offset, Result};

use crate::block::BlockHeader;
use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;
use crate::frame::Changes;
use crate::reading;

/// A block from this size on stays as it is.
const LARGE_BLOCK_BYTES: u32 = 8 << 10;

/// A run ends when it has gathered this much.
const RUN_BYTES: u64 = 128 << 10;

/// Runs of one partition that one call writes at most, so that it ends; the next one goes on.
const RUNS_PER_CALL: usize = 64;

/// Small blocks that follow one another.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    base_offset: Offset,
    next_offset: Offset,
    blocks: usize,
    bytes: u64,
}

/// Merges small blocks of a topic; compaction does it for changelogs.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    if topic.info.cleanup.compacts() {
        return Ok(());
    }
    topic.partitions.iter().try_for_each(|partition| {
        let runs = runs(log, partition);
        runs.iter().try_for_each(|run| merge(log, topic, partition, run))
    })
}

/// Runs worth it among the blocks that were not looked at before.
fn runs(log: &Shared, partition: &Partition) -> Vec<Run> {
    let index = log.segments.index();
    let blocks = index.blocks(partition.key);
    let looked_at = partition.merged_to.load(Ordering::Relaxed);
    let (mut found, mut run) = (Vec::new(), Run::default());
    for block in &blocks[blocks.partition_point(|block| block.base_offset < looked_at)..] {
        if block.stored_bytes >= LARGE_BLOCK_BYTES {
            run = Run::default();
        } else {
            let base_offset = if run.blocks == 0 { block.base_offset } else { run.base_offset };
            let (blocks, bytes) = (run.blocks + 1, run.bytes + u64::from(block.stored_bytes));
            run = Run { base_offset, next_offset: block.next_offset(), blocks, bytes };
            if run.blocks >= log.options.merge_blocks || run.bytes >= RUN_BYTES {
                found.push(run);
                run = Run::default();
            }
        }
        if run.blocks == 0 {
            partition.merged_to.store(block.next_offset(), Ordering::Relaxed);
        }
        if found.len() == RUNS_PER_CALL {
            break;
        }
    }
    found
}

fn merge(log: &Shared, topic: &Topic, partition: &Partition, run: &Run) -> Result<()> {
    let mut located = log.segments.locate(partition.key, run.base_offset, run.bytes as usize);
    located.truncate(run.blocks);
    let (batches, failure) = reading::read(&partition.name, &located);
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
    let is_run = first.base_offset() == run.base_offset && last.next_offset() == run.next_offset;
    if failure.is_some() || !is_run {
        // Damage stays where it is, for those who want to read there; they are told.
        return Ok(());
    }
    let mut records = BatchBuilder::default();
    for record in batches.iter().flat_map(|batch| batch.iter()) {
        records.push_at((record.offset - run.base_offset) as u32, &record);
    }
    let header = BlockHeader {
        partition: partition.key,
        base_offset: run.base_offset,
        next_offset: run.next_offset,
        last_timestamp: records.last_timestamp(),
    };
    log.rewrite(topic, Changes { blocks: vec![(header, records.as_bytes())], facts: Vec::new() })
}
