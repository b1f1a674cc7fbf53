//! The log's files: one sequence of segments that is only ever written at its end, each byte once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use beltline_env::{AppendFile, FileLock, Files, ReadFile};
use beltline_types::{Error, ErrorKind, Offset, OffsetRange, Result};

use crate::block::{self, CHECKSUM_BYTES};
use crate::frame::{self, Changes, FactChange};
use crate::index::{BlockEntry, Index, SegmentNumber, SegmentState};
use crate::keys::PartitionKey;
use crate::recovery::{self, Recovered};
use crate::segment;

/// A segment is never made to hold more: positions in it have 32 bits, and the last frame may be large.
const MAX_SEGMENT_BYTES: u64 = 2 << 30;

/// Each segment is an open file, and systems give a process 256 of them or more: segments of a large log are larger.
const MANY_SEGMENTS: u64 = 32;

/// The end of the log.
struct Writer {
    active: SegmentNumber,
    file: Box<dyn AppendFile>,
    /// Bytes of the active segment before its first commit: a large checkpoint must not make every commit roll.
    preface: u64,
    /// Sequence of the last frame.
    sequence: u64,
    /// Sequence of the last frame that survives a power failure.
    synced: u64,
    /// Segments with frames behind `synced`, oldest first.
    unsynced: Vec<(SegmentNumber, Arc<dyn ReadFile>)>,
    /// Whether a segment was made whose name may not survive a power failure.
    unsynced_name: bool,
    /// The disk has failed in a way after which nobody knows what is on it.
    refuses: bool,
}

/// Where a block lies, and the file to read it from.
#[derive(Clone)]
pub(crate) struct Located {
    pub(crate) partition: PartitionKey,
    pub(crate) entry: BlockEntry,
    pub(crate) file: Arc<dyn ReadFile>,
}

/// The files of a log and what is known about them. Readers see a commit altogether or not at all, and never wait for
/// the disk because of a writer.
pub(crate) struct Segments {
    files: Arc<dyn Files>,
    directory: PathBuf,
    segment_bytes: u64,
    index: RwLock<Index>,
    writer: Mutex<Writer>,
    /// One sync at a time: what it makes safe is told in order.
    syncing: Mutex<()>,
    notice: Option<String>,
    _lock: Box<dyn FileLock>,
}

fn refused(error: io::Error) -> Error {
    let message = if error.kind() == io::ErrorKind::StorageFull {
        "the disk is full: nothing of this commit was written; free space and start again, nothing is lost"
    } else {
        "the disk refused a write: nothing of this commit counts; look after the disk and start again"
    };
    Error::new(ErrorKind::Storage, message).with_source(error)
}

fn refused_for_good() -> Error {
    let message =
        "the disk refused an earlier write, so nothing is written any more; look after the disk and start again";
    Error::new(ErrorKind::Storage, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segments {
    /// Opens the log in a directory, which is made when it is missing.
    ///
    /// # Errors
    /// `DataDirectory` when somebody has it open, and those of [`recovery::recover`].
    pub(crate) fn open(files: Arc<dyn Files>, directory: &Path, segment_bytes: u64) -> Result<Segments> {
        let failed = |error: io::Error| {
            let message = format!("the log in {} cannot be opened", directory.display());
            Error::new(ErrorKind::Storage, message).with_source(error)
        };
        files.create_directories(directory).map_err(failed)?;
        let Some(held) = files.lock(&directory.join(recovery::LOCK)).map_err(failed)? else {
            let message = format!("the log in {} is open already; close it first", directory.display());
            return Err(Error::new(ErrorKind::DataDirectory, message));
        };
        let Recovered { mut index, last, sequence, notice } = recovery::recover(&*files, directory)?;
        let (active, file, written) = match last {
            Some(last) => (last, files.append_to(&segment::path(directory, last)).map_err(failed)?, sequence),
            None => {
                // Of a new log not even the directory may survive a power failure yet.
                let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
                files.sync_directory(parent.unwrap_or(Path::new("."))).map_err(failed)?;
                let (file, reader) =
                    begin(&*files, directory, 1, index.checkpoint(), [sequence + 1, 0]).map_err(refused_at_begin)?;
                index.add_segment(1, reader);
                (1, file, sequence + 1)
            }
        };
        let unsynced = match index.segments().get(&active) {
            Some(state) if last.is_none() => vec![(active, state.file.clone())],
            _ => Vec::new(),
        };
        let writer = Writer {
            active,
            file,
            preface: segment::HEADER_BYTES,
            sequence: written,
            synced: sequence,
            unsynced_name: !unsynced.is_empty(),
            unsynced,
            refuses: false,
        };
        let segments = Segments {
            files,
            directory: directory.to_owned(),
            segment_bytes: segment_bytes.min(MAX_SEGMENT_BYTES),
            index: RwLock::new(index),
            writer: Mutex::new(writer),
            syncing: Mutex::default(),
            notice,
            _lock: held,
        };
        segments.sync()?;
        Ok(segments)
    }

    /// What was cut off when the log was opened, in words.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// What is known; nothing that waits for the disk may be done while it is held.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_index(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The value of a fact.
    pub(crate) fn fact(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.index().fact(key).map(<[u8]>::to_vec)
    }

    /// The offsets a partition holds.
    pub(crate) fn range(&self, partition: PartitionKey) -> OffsetRange {
        self.index().range(partition)
    }

    /// Blocks of a partition from the one that holds `offset`, at least one if there is one, until `max_bytes` are
    /// gathered; only as far as they follow one another.
    pub(crate) fn locate(&self, partition: PartitionKey, offset: Offset, max_bytes: usize) -> Vec<Located> {
        let index = self.index();
        let blocks = index.blocks(partition);
        let first = blocks.partition_point(|block| block.next_offset() <= offset);
        let (mut found, mut bytes, mut next) = (Vec::new(), 0, offset);
        for entry in &blocks[first..] {
            let Some(state) = index.segments().get(&entry.segment) else { break };
            if entry.base_offset > next || (bytes >= max_bytes && !found.is_empty()) {
                break;
            }
            bytes += entry.stored_bytes as usize;
            next = entry.next_offset();
            found.push(Located { partition, entry: *entry, file: state.file.clone() });
        }
        found
    }

    /// Makes all changes or none; with `durable` they survive a power failure when this returns.
    ///
    /// # Errors
    /// `Storage` when the disk refuses, `Limit` when it is too much at once; nothing was changed then.
    pub(crate) fn write(&self, changes: Changes<'_>, durable: bool) -> Result<()> {
        let mut writer = lock(&self.writer);
        if writer.refuses {
            return Err(refused_for_good());
        }
        // Encoded once to know its size, and again in the rare case that a new segment takes a number before it.
        let mut head = frame::encode(&changes, writer.sequence + 1, writer.synced, 0)?;
        let payload: u64 = changes.blocks.iter().map(|(_, records)| (records.len() + CHECKSUM_BYTES) as u64).sum();
        let filled = writer.file.len() - writer.preface;
        let filled_then = filled + head.len() as u64 + payload;
        if filled > 0 && filled_then > self.segment_bytes && filled_then > self.enough_bytes() {
            self.roll(&mut writer)?;
            head = frame::encode(&changes, writer.sequence + 1, writer.synced, 0)?;
        }
        let start = writer.file.len();
        let sums: Vec<[u8; CHECKSUM_BYTES]> = changes.blocks.iter().map(checksum_of).collect();
        let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + 2 * sums.len());
        parts.push(&head);
        for ((_, records), sum) in changes.blocks.iter().zip(&sums) {
            parts.extend([records, &sum[..]]);
        }
        let written = writer.file.write_parts(&parts);
        writer.sequence += 1;
        let result = match written {
            Ok(()) if durable => self.sync_all(&mut writer),
            result => result,
        };
        if let Err(error) = result {
            writer.sequence -= 1;
            writer.refuses |= writer.file.truncate(start).is_err();
            return Err(refused(error));
        }
        let (active, mut position) = (writer.active, start + head.len() as u64);
        self.change_index(|index| {
            for (header, records) in &changes.blocks {
                let stored_bytes = records.len() + CHECKSUM_BYTES;
                index.put_block(header.partition, BlockEntry::new(header, active, position, stored_bytes as u32));
                position += stored_bytes as u64;
            }
            changes.facts.into_iter().for_each(|change| index.apply(change));
        });
        if !durable && writer.unsynced.last().is_none_or(|(number, _)| *number != active) {
            self.remember_unsynced(&mut writer);
        }
        Ok(())
    }

    /// How large a segment must be in a log as large as this one.
    fn enough_bytes(&self) -> u64 {
        let all: u64 = self.index().segments().values().map(|state| state.block_bytes).sum();
        (all / MANY_SEGMENTS).min(MAX_SEGMENT_BYTES)
    }

    fn remember_unsynced(&self, writer: &mut Writer) {
        if let Some(SegmentState { file, .. }) = self.index().segments().get(&writer.active) {
            writer.unsynced.push((writer.active, file.clone()));
        }
    }

    /// Begins a new segment.
    fn roll(&self, writer: &mut Writer) -> Result<()> {
        let number = writer.active + 1;
        let facts = self.index().checkpoint();
        let begun = begin(&*self.files, &self.directory, number, facts, [writer.sequence + 1, writer.synced]);
        let (file, reader) = match begun {
            Ok(begun) => begun,
            Err(Begin::Limit(error)) => return Err(error),
            Err(Begin::Io(error)) => {
                // A segment that stayed behind would be taken for the end of the log.
                let path = segment::path(&self.directory, number);
                writer.refuses |= self.files.exists(&path) && self.files.remove(&path).is_err();
                return Err(refused(error));
            }
        };
        self.change_index(|index| index.add_segment(number, reader.clone()));
        writer.sequence += 1;
        writer.preface = file.len();
        writer.active = number;
        writer.file = file;
        writer.unsynced.push((number, reader));
        writer.unsynced_name = true;
        Ok(())
    }

    /// Makes everything written so far survive a power failure, while nobody else writes.
    fn sync_all(&self, writer: &mut Writer) -> io::Result<()> {
        let older = std::mem::take(&mut writer.unsynced);
        let names = std::mem::take(&mut writer.unsynced_name);
        let synced = older
            .iter()
            .filter(|(number, _)| *number != writer.active)
            .try_for_each(|(_, file)| file.sync())
            .and_then(|()| writer.file.sync())
            .and_then(|()| if names { self.files.sync_directory(&self.directory) } else { Ok(()) });
        // What a failed sync has left on the disk nobody knows.
        writer.refuses |= synced.is_err();
        if synced.is_ok() {
            writer.synced = writer.sequence;
        }
        synced
    }

    /// Makes everything written so far survive a power failure; others may write meanwhile.
    ///
    /// # Errors
    /// `Storage` when the disk refuses; then every later write is refused too.
    pub(crate) fn sync(&self) -> Result<()> {
        let _syncing = lock(&self.syncing);
        let (unsynced, names, sequence, active) = {
            let writer = lock(&self.writer);
            if writer.refuses {
                return Err(refused_for_good());
            }
            (writer.unsynced.clone(), writer.unsynced_name, writer.sequence, writer.active)
        };
        let synced = unsynced
            .iter()
            .try_for_each(|(_, file)| file.sync())
            .and_then(|()| if names { self.files.sync_directory(&self.directory) } else { Ok(()) });
        let mut writer = lock(&self.writer);
        if let Err(error) = synced {
            writer.refuses = true;
            return Err(refused(error));
        }
        // What was written meanwhile is left for the next time.
        let grown = writer.sequence != sequence;
        writer.unsynced.retain(|(number, _)| grown && *number >= active);
        writer.unsynced_name &= writer.active != active;
        writer.synced = writer.synced.max(sequence);
        Ok(())
    }

    /// Begins a new segment when the present one holds more than `dead_bytes` that do not count any more, so that they
    /// can be cleaned away.
    pub(crate) fn roll_if_dead(&self, dead_bytes: u64) -> Result<()> {
        let mut writer = lock(&self.writer);
        let dead = self.index().segments().get(&writer.active).map_or(0, |state| state.block_bytes - state.live_bytes);
        if writer.refuses || dead <= dead_bytes {
            return Ok(());
        }
        self.roll(&mut writer)
    }

    /// Syncs when a segment that is full was not synced yet, whatever the policy: opening the log must not have to look
    /// at more than one.
    ///
    /// # Errors
    /// See [`Segments::sync`].
    pub(crate) fn sync_sealed(&self) -> Result<()> {
        let is_waiting = {
            let writer = lock(&self.writer);
            writer.unsynced.first().is_some_and(|(number, _)| *number < writer.active)
        };
        if is_waiting { self.sync() } else { Ok(()) }
    }

    /// The segments that are not written to any more.
    pub(crate) fn sealed(&self) -> Vec<(SegmentNumber, SegmentState)> {
        let active = lock(&self.writer).active;
        self.index().segments().range(..active).map(|(number, state)| (*number, state.clone())).collect()
    }

    /// Removes a sealed segment of which nothing counts any more. Everything must have been synced since: what made its
    /// blocks not count must not be lost when they are.
    pub(crate) fn remove(&self, number: SegmentNumber) -> Result<()> {
        self.files.remove(&segment::path(&self.directory, number)).map_err(|error| {
            let message = format!("the log's segment {number} in {} cannot be removed", self.directory.display());
            Error::new(ErrorKind::Storage, message).with_source(error)
        })?;
        self.change_index(|index| index.forget_segment(number));
        Ok(())
    }
}

fn checksum_of((header, records): &(block::BlockHeader, &[u8])) -> [u8; CHECKSUM_BYTES] {
    block::checksum(header.partition, header.base_offset, header.next_offset, records).to_le_bytes()
}

/// A new segment, open for writing and for reading.
type Begun = (Box<dyn AppendFile>, Arc<dyn ReadFile>);

/// Why a segment could not be begun.
enum Begin {
    Limit(Error),
    Io(io::Error),
}

impl From<io::Error> for Begin {
    fn from(error: io::Error) -> Begin {
        Begin::Io(error)
    }
}

fn refused_at_begin(failure: Begin) -> Error {
    match failure {
        Begin::Limit(error) => error,
        Begin::Io(error) => refused(error),
    }
}

/// Makes a segment that begins with a checkpoint of all facts.
fn begin(
    files: &dyn Files,
    directory: &Path,
    number: SegmentNumber,
    facts: Vec<FactChange>,
    [sequence, synced]: [u64; 2],
) -> Result<Begun, Begin> {
    let changes = Changes::of_facts(facts);
    let checkpoint = frame::encode(&changes, sequence, synced, frame::CHECKPOINT).map_err(Begin::Limit)?;
    let path = segment::path(directory, number);
    let mut file = files.create(&path)?;
    file.write_parts(&[&segment::header(number), &checkpoint])?;
    Ok((file, files.open(&path)?.into()))
}
