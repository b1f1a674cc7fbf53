//! Opening a log: what is on the disk becomes the index again, and what a crash has left half written is cut off.
//!
//! Every frame says which frames were known to survive a power failure when it was written. So a frame that cannot be
//! read is one of two things. Either some later frame says that it was safe: then the disk has damaged it, and opening
//! is refused. Or none does: then a crash has taken it back, and it goes, with everything behind it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use beltline_env::{Files, ReadFile};
use beltline_types::{Error, ErrorKind, Result};

use crate::block::{BlockHeader, RawBlock};
use crate::frame::{self, FactChange, FrameHeader, Read};
use crate::index::{BlockEntry, Index, SegmentNumber};
use crate::segment::{self, Walk};

/// Held by whoever has the log open.
pub(crate) const LOCK: &str = "lock";

/// Files by which the store of beltline's first development versions is known.
const FORMER_STORE: [&str; 3] = ["0.jnl", "keyspaces", "version"];

/// A log as it was found.
pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// The segment to go on with; `None` in a new log.
    pub(crate) last: Option<SegmentNumber>,
    /// Sequence of the last frame.
    pub(crate) sequence: u64,
    /// What was cut off, in words.
    pub(crate) notice: Option<String>,
}

/// Reads a log, cuts off what a crash has left, and makes sure that the rest survives a power failure.
///
/// # Errors
/// `DataDirectory` when it is something else or of a newer format, `Corrupt` when it is damaged where it was whole,
/// `Storage` when the disk refuses.
pub(crate) fn recover(files: &dyn Files, directory: &Path) -> Result<Recovered> {
    let mut notice = None;
    loop {
        let numbers = segments_in(files, directory)?;
        let mut replay = Replay::default();
        let torn = match replay.read(files, directory, &numbers)? {
            Some(torn) => Some(torn),
            None => replay.first_torn(directory)?,
        };
        if let Some((number, position)) = torn {
            notice.get_or_insert_with(|| {
                let path = segment::path(directory, number);
                format!(
                    "the last commit in {} was not written to its end before a crash; the log ends at byte {position} now",
                    path.display()
                )
            });
            cut(files, directory, &numbers, number, position)?;
            continue;
        }
        replay.make_durable(files, directory)?;
        let Replay { mut index, sequence, .. } = replay;
        index.prune();
        return Ok(Recovered { index, last: numbers.last().copied(), sequence, notice });
    }
}

fn segments_in(files: &dyn Files, directory: &Path) -> Result<Vec<SegmentNumber>> {
    let mut numbers = Vec::new();
    for name in files.list(directory).map_err(|error| segment::unreadable(directory, error))? {
        match segment::number(&name) {
            Some(number) => numbers.push(number),
            None if name == LOCK => {}
            None => {
                let problem = if FORMER_STORE.contains(&&*name) {
                    "was written by a development version of beltline, before the first release; read it with that \
                     version, or begin with a new directory"
                        .to_owned()
                } else {
                    format!("holds {name}, which is no part of a log; choose an empty or a new directory")
                };
                let message = format!("the log in {} {problem}", directory.display());
                return Err(Error::new(ErrorKind::DataDirectory, message));
            }
        }
    }
    Ok(numbers)
}

/// Removes everything from a place on.
fn cut(
    files: &dyn Files,
    directory: &Path,
    numbers: &[SegmentNumber],
    number: SegmentNumber,
    position: u64,
) -> Result<()> {
    let failed = |error: io::Error| {
        let message = format!("the torn end of the log in {} cannot be cut off", directory.display());
        Error::new(ErrorKind::Storage, message).with_source(error)
    };
    // The last ones first: whatever happens in between, the rest is still torn at its end.
    for later in numbers.iter().rev().take_while(|later| **later > number) {
        files.remove(&segment::path(directory, *later)).map_err(failed)?;
    }
    let path = segment::path(directory, number);
    if position <= segment::HEADER_BYTES {
        files.remove(&path).map_err(failed)?;
    } else {
        let mut file = files.append_to(&path).map_err(failed)?;
        file.truncate(position).and_then(|()| file.sync()).map_err(failed)?;
    }
    files.sync_directory(directory).map_err(failed)
}

/// A segment and a position in it.
type Place = (SegmentNumber, u64);

/// A frame that may not have survived a power failure as a whole.
struct Unproved {
    sequence: u64,
    place: Place,
    /// Its blocks: position, bytes.
    blocks: Vec<(BlockHeader, u64, u32)>,
}

#[derive(Default)]
struct Replay {
    index: Index,
    sequence: u64,
    unproved: VecDeque<Unproved>,
}

impl Replay {
    /// Reads all segments; gives the place of the first frame that a crash has taken back, if there is one.
    fn read(&mut self, files: &dyn Files, directory: &Path, numbers: &[SegmentNumber]) -> Result<Option<Place>> {
        let mut before: Option<(SegmentNumber, u64)> = None;
        for (at, number) in numbers.iter().copied().enumerate() {
            let path = segment::path(directory, number);
            let file: Arc<dyn ReadFile> = files.open(&path).map_err(|error| segment::unreadable(&path, error))?.into();
            let length = file.len().map_err(|error| segment::unreadable(&path, error))?;
            self.index.add_segment(number, file.clone());
            let mut walk = Walk::new(&*file, &path, length);
            let bad = if segment::is_whole(&*file, &path, number)? {
                self.read_segment(number, before, &mut walk)?
            } else {
                Some((number, 0))
            };
            if let Some(bad) = bad {
                let rest = &numbers[at.saturating_sub(usize::from(bad.0 != number))..];
                return self.torn_or_damaged(files, directory, bad, rest).map(Some);
            }
            before = Some((number, length));
        }
        Ok(None)
    }

    /// Takes in the frames of one segment; gives the first place that cannot be read.
    fn read_segment(
        &mut self,
        number: SegmentNumber,
        before: Option<Place>,
        walk: &mut Walk<'_>,
    ) -> Result<Option<Place>> {
        let mut is_first = true;
        while let Some(found) = walk.next()? {
            let follows = found.header.sequence == self.sequence + 1;
            let is_checkpoint = found.header.flags & frame::CHECKPOINT != 0;
            if is_first && !is_checkpoint {
                return Ok(Some((number, 0)));
            }
            if !follows {
                // Between segments there may be some that were cleaned away.
                let neighbour = before.filter(|(before, _)| before + 1 == number);
                match (is_first, neighbour) {
                    (true, Some(end)) => return Ok(Some(end)),
                    (true, None) if found.header.sequence > self.sequence => {}
                    _ => return Ok(Some((number, found.position))),
                }
            }
            is_first = false;
            self.take_in(number, &found);
        }
        let is_empty = is_first;
        Ok(if is_empty {
            Some((number, 0))
        } else if walk.is_at_end() {
            None
        } else {
            Some((number, walk.position()))
        })
    }

    fn take_in(&mut self, number: SegmentNumber, found: &segment::Found<'_>) {
        let header = &found.header;
        if header.flags & frame::CHECKPOINT != 0 {
            self.index.clear_facts();
        }
        let mut position = found.payload;
        let mut blocks = Vec::new();
        for change in &found.changes {
            match change {
                Read::Block(block, stored_bytes) => {
                    let entry = BlockEntry::new(block, number, position, *stored_bytes);
                    self.index.put_block(block.partition, entry);
                    blocks.push((*block, position, *stored_bytes));
                    position += u64::from(*stored_bytes);
                }
                Read::Fact(key, value) => {
                    self.index.apply(FactChange { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
                }
            }
        }
        self.sequence = header.sequence;
        while self.unproved.front().is_some_and(|frame| frame.sequence <= header.synced) {
            self.unproved.pop_front();
        }
        self.unproved.push_back(Unproved { sequence: header.sequence, place: (number, found.position), blocks });
    }

    /// What a frame that cannot be read is: torn by a crash, then its place is given, or damaged.
    fn torn_or_damaged(
        &self,
        files: &dyn Files,
        directory: &Path,
        bad: Place,
        rest: &[SegmentNumber],
    ) -> Result<Place> {
        for number in rest {
            let path = segment::path(directory, *number);
            let bytes = files.read(&path).map_err(|error| segment::unreadable(&path, error))?;
            let from = if *number == bad.0 { bad.1 as usize } else { 0 };
            if proves(bytes.get(from..).unwrap_or_default(), self.sequence + 1) {
                let message = format!(
                    "the log's file {} is damaged at byte {}: a commit that was whole cannot be read, nor what follows; \
                     restore the data directory from a copy",
                    segment::path(directory, bad.0).display(),
                    bad.1
                );
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        }
        Ok(bad)
    }

    /// Reads the blocks nobody has vouched for; gives the place of the first frame with one that is not whole.
    fn first_torn(&self, directory: &Path) -> Result<Option<Place>> {
        for frame in &self.unproved {
            let Some(state) = self.index.segments().get(&frame.place.0) else { continue };
            for (header, position, stored_bytes) in &frame.blocks {
                let BlockHeader { partition, base_offset, next_offset, .. } = *header;
                let mut block = RawBlock::new(partition, base_offset, next_offset, *stored_bytes as usize);
                state
                    .file
                    .read_exact_at(block.stored_mut(), *position)
                    .map_err(|error| segment::unreadable(&segment::path(directory, frame.place.0), error))?;
                if !block.is_whole() {
                    return Ok(Some(frame.place));
                }
            }
        }
        Ok(None)
    }

    /// From now on no frame is unproved any more.
    fn make_durable(&self, files: &dyn Files, directory: &Path) -> Result<()> {
        let Some(first) = self.unproved.front() else { return Ok(()) };
        for (number, state) in self.index.segments().range(first.place.0..) {
            state.file.sync().map_err(|error| segment::unreadable(&segment::path(directory, *number), error))?;
        }
        files.sync_directory(directory).map_err(|error| segment::unreadable(directory, error))
    }
}

/// Whether some whole frame in `bytes`, wherever it begins, says that the frame `sequence` was safe.
fn proves(bytes: &[u8], sequence: u64) -> bool {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(frame::MAGIC.len()).position(|four| four == frame::MAGIC) {
        let rest = &bytes[at + found..];
        if let Some(header) = FrameHeader::parse(rest)
            && header.synced >= sequence
            && rest
                .get(..frame::HEADER_BYTES + header.table_bytes as usize)
                .is_some_and(|whole| frame::decode(&header, whole).is_some())
        {
            return true;
        }
        at += found + 1;
    }
    false
}
