//! Blocks from the disk.

use std::io;

use beltline_types::{Batch, Error, ErrorKind, TopicPartition};

use crate::block::{self, RawBlock};
use crate::segments::Located;

/// Blocks up to this size are read together with their neighbours; larger ones go straight to where they stay.
const SMALL_BLOCK_BYTES: u64 = 32 << 10;

/// Bytes read at once for small blocks.
const WINDOW_BYTES: u64 = 256 << 10;

/// Bytes between two blocks that are read and thrown away rather than made two reads of.
const MAX_GAP_BYTES: u64 = 8 << 10;

fn start_of(located: &Located) -> u64 {
    located.entry.position.into()
}

fn end_of(located: &Located) -> u64 {
    start_of(located) + u64::from(located.entry.stored_bytes)
}

/// Reads blocks of one partition, in order; ends at the first that cannot be used, and says why.
pub(crate) fn read(name: &TopicPartition, located: &[Located]) -> (Vec<Batch>, Option<Error>) {
    let mut batches = Vec::with_capacity(located.len());
    let mut rest = located;
    let mut window = Vec::new();
    while let Some(first) = rest.first() {
        let count = neighbours(rest);
        let (some, after) = rest.split_at(count);
        rest = after;
        let start = start_of(first);
        let together = count > 1 && {
            window.resize(some.last().map_or(0, |last| (end_of(last) - start) as usize), 0);
            // Where that fails, each block is read on its own and says what is wrong with it.
            first.file.read_exact_at(&mut window, start).is_ok()
        };
        for one in some {
            let mut raw = empty(one);
            let read = if together {
                let at = (start_of(one) - start) as usize;
                let stored = raw.stored_mut();
                stored.copy_from_slice(&window[at..at + stored.len()]);
                Ok(())
            } else {
                one.file.read_exact_at(raw.stored_mut(), start_of(one))
            };
            match read.map_err(|error| unreadable(name, one, error)).and_then(|()| raw.into_batch(name)) {
                Ok(batch) => batches.push(batch),
                Err(error) => return (batches, Some(error)),
            }
        }
    }
    (batches, None)
}

/// Reads one block without checking it.
pub(crate) fn read_raw(located: &Located) -> io::Result<RawBlock> {
    let mut raw = empty(located);
    located.file.read_exact_at(raw.stored_mut(), start_of(located))?;
    Ok(raw)
}

fn empty(located: &Located) -> RawBlock {
    let entry = &located.entry;
    RawBlock::new(located.partition, entry.base_offset, entry.next_offset(), entry.stored_bytes as usize)
}

/// How many of the first blocks are small and lie so near to each other that they are worth one read.
fn neighbours(located: &[Located]) -> usize {
    let is_small = |one: &Located| u64::from(one.entry.stored_bytes) <= SMALL_BLOCK_BYTES;
    let start = start_of(&located[0]);
    if !is_small(&located[0]) {
        return 1;
    }
    let near = |pair: &&[Located]| {
        let (one, next) = (&pair[0], &pair[1]);
        // Compaction and cleaning may have put the next one before this one.
        let gap = start_of(next).checked_sub(end_of(one));
        let is_near = gap.is_some_and(|gap| gap <= MAX_GAP_BYTES) && one.entry.segment == next.entry.segment;
        is_near && is_small(next) && end_of(next) - start <= WINDOW_BYTES
    };
    1 + located.windows(2).take_while(near).count()
}

fn unreadable(name: &TopicPartition, located: &Located, error: io::Error) -> Error {
    let offset = located.entry.base_offset;
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return block::corrupt(name, offset, "is cut short");
    }
    let message = format!("{name}: the block at offset {offset} cannot be read; look after the disk");
    Error::new(ErrorKind::Storage, message).with_source(error)
}
