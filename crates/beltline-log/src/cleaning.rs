//! Giving the disk back what does not count any more.
//!
//! Segments of which nothing counts are removed. When more than half of all that is sealed does not count, what still
//! does in the emptiest segments is written again at the end of the log, and they are removed in their turn: so the log
//! takes at most about twice the bytes that count, and a byte is written again at most about once for each that goes.

use std::collections::BTreeSet;

use beltline_types::Result;

use crate::block::{BlockHeader, RawBlock};
use crate::embedded::Shared;
use crate::frame::Changes;
use crate::index::SegmentNumber;
use crate::reading;
use crate::segments::Located;

/// Bytes copied by one call at most, so that it ends; the next one goes on.
const MAX_COPIED_BYTES: u64 = 64 << 20;

/// Bytes of blocks that are copied by one write, while commits wait.
const COPY_BYTES: u64 = 1 << 20;

/// Segments with damaged blocks that still count: they cannot be emptied, and those who read there are told.
pub(crate) type Damaged = BTreeSet<SegmentNumber>;

/// Cleans once.
pub(crate) fn apply(log: &Shared, damaged: &mut Damaged) -> Result<()> {
    log.segments.roll_if_dead(log.options.segment_bytes / 2)?;
    log.segments.sync_sealed()?;
    remove_dead(log)?;
    let mut left = MAX_COPIED_BYTES;
    while let Some(victim) = worst(log, damaged) {
        let copied = copy_out(log, victim, left, damaged)?;
        left = left.saturating_sub(copied);
        if left == 0 {
            break;
        }
    }
    remove_dead(log)
}

fn remove_dead(log: &Shared) -> Result<()> {
    let dead: Vec<SegmentNumber> = log
        .segments
        .sealed()
        .into_iter()
        .filter(|(_, state)| state.live_blocks == 0)
        .map(|(number, _)| number)
        .collect();
    if dead.is_empty() {
        return Ok(());
    }
    // What took the place of the blocks must not be lost when they are.
    log.segments.sync()?;
    dead.into_iter().try_for_each(|number| log.segments.remove(number))
}

/// The sealed segment with the smallest share of bytes that count, if more than half of all bytes do not.
fn worst(log: &Shared, damaged: &Damaged) -> Option<SegmentNumber> {
    // Those of which nothing counts any more are on their way out.
    let mut sealed = log.segments.sealed();
    sealed.retain(|(number, state)| state.live_blocks > 0 && !damaged.contains(number));
    let (all, live) =
        sealed.iter().fold((0, 0), |(all, live), (_, state)| (all + state.block_bytes, live + state.live_bytes));
    let candidates = sealed.iter().filter(|(_, state)| state.live_bytes < state.block_bytes);
    // As thousandths, in whole numbers.
    let worst = candidates.min_by_key(|(_, state)| state.live_bytes * 1000 / state.block_bytes);
    worst.filter(|_| live * 2 < all).map(|(number, _)| *number)
}

/// Writes what still counts in a segment at the end of the log; returns the bytes.
fn copy_out(log: &Shared, segment: SegmentNumber, max_bytes: u64, damaged: &mut Damaged) -> Result<u64> {
    let located: Vec<Located> = {
        let index = log.segments.index();
        let Some(state) = index.segments().get(&segment) else { return Ok(0) };
        let blocks = index.blocks_in(segment).into_iter();
        blocks.map(|(partition, entry)| Located { partition, entry, file: state.file.clone() }).collect()
    };
    let (mut copied, mut rest) = (0, &located[..]);
    while !rest.is_empty() && copied < max_bytes {
        let mut bytes = 0;
        let count = rest
            .iter()
            .take_while(|one| {
                let before = bytes;
                bytes += u64::from(one.entry.stored_bytes);
                before < COPY_BYTES
            })
            .count();
        let (some, after) = rest.split_at(count);
        rest = after;
        // Damage must not be given a good checksum.
        let read = |one| Some((one, reading::read_raw(one).ok().filter(RawBlock::is_whole)?));
        let read: Vec<(&Located, RawBlock)> = some.iter().filter_map(read).collect();
        if read.len() < some.len() {
            damaged.insert(segment);
        }
        log.rewrite_if(|log| {
            // Meanwhile some may have been replaced or let go.
            let index = log.segments.index();
            let still = read.iter().filter(|(one, _)| index.holds(one.partition, &one.entry));
            let blocks: Vec<(BlockHeader, &[u8])> =
                still.map(|(one, raw)| (one.entry.header(one.partition), raw.records())).collect();
            Some(Changes { blocks, facts: Vec::new() }).filter(|changes| !changes.blocks.is_empty())
        })?;
        copied += some.iter().map(|one| u64::from(one.entry.stored_bytes)).sum::<u64>();
    }
    Ok(copied)
}
