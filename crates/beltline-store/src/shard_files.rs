//! The files of one shard.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline_env::{AppendFile, Files};
use beltline_types::{Error, ErrorKind, Offset, Result};

use crate::Visitor;
use crate::frame::{self, FILE_HEADER, Frame};

/// Records per frame of a snapshot, in bytes: one frame is checked at a time.
const SNAPSHOT_FRAME_BYTES: usize = 1 << 20;

const SNAPSHOT: &str = "snapshot-";
const CHANGES: &str = "changes-";
const UNFINISHED: &str = "unfinished-snapshot";

/// A key and its value.
type LiveRecord = (Box<[u8]>, Box<[u8]>);

/// What was found on loading.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) end: Offset,
    pub(crate) note: Option<String>,
}

pub(crate) struct ShardFiles {
    files: Arc<dyn Files>,
    directory: PathBuf,
    /// Generation of the snapshot; 0 has none.
    snapshot: u64,
    /// Generation that changes are appended to.
    changes: u64,
    snapshot_bytes: u64,
    changes_bytes: u64,
    writer: Option<Box<dyn AppendFile>>,
    unsynced: bool,
    closed: bool,
    /// What is appended belongs behind what [`ShardFiles::load`] has found.
    loaded: bool,
    /// The changelog offset after the last change.
    end: Offset,
}

/// A finished generation that [`write_snapshot`] turns into a snapshot.
pub(crate) struct Generation {
    files: Arc<dyn Files>,
    directory: PathBuf,
    snapshot: u64,
    /// The last generation of changes that belongs to it.
    changes: u64,
}

impl ShardFiles {
    pub(crate) fn new(files: Arc<dyn Files>, directory: PathBuf) -> Self {
        ShardFiles {
            files,
            directory,
            snapshot: 0,
            changes: 0,
            snapshot_bytes: 0,
            changes_bytes: 0,
            writer: None,
            unsynced: false,
            closed: false,
            loaded: false,
            end: 0,
        }
    }

    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Lets the file that is written go; nobody else will write through this value.
    pub(crate) fn close(&mut self) {
        self.writer = None;
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Gives back every record in the order it was written, and leaves the files ready for appending.
    pub(crate) fn load(&mut self, each: &mut Visitor<'_>) -> Result<Found> {
        self.writer = None;
        let names = if self.files.exists(&self.directory) {
            self.files.list(&self.directory).map_err(|error| failed("read", &self.directory, error))?
        } else {
            Vec::new()
        };
        let snapshot = generations(&names, SNAPSHOT).last().copied().unwrap_or(0);
        let mut found = Found::default();
        (self.snapshot, self.snapshot_bytes, self.changes_bytes) = (snapshot, 0, 0);
        if snapshot > 0 {
            match self.read_snapshot(snapshot, each)? {
                Some(end) => found.end = end,
                None => {
                    let path = self.path(SNAPSHOT, snapshot);
                    found.note =
                        Some(format!("{} is damaged; the shard is rebuilt from its changelog", path.display()));
                    self.clear()?;
                    self.loaded = true;
                    return Ok(found);
                }
            }
        }
        let following: Vec<u64> =
            generations(&names, CHANGES).into_iter().filter(|generation| *generation >= snapshot).collect();
        self.changes = snapshot;
        let mut whole = true;
        for generation in following {
            let path = self.path(CHANGES, generation);
            if !whole {
                // What follows a torn file has a gap before it.
                self.files.remove(&path).map_err(|error| failed("remove", &path, error))?;
                continue;
            }
            self.changes = generation;
            whole = self.read_changes(&path, &mut found, each)?;
        }
        self.unsynced = true;
        self.remove_older(&names)?;
        self.loaded = true;
        self.end = found.end;
        Ok(found)
    }

    /// `None` when the snapshot is damaged. A whole one ends with a frame without records.
    fn read_snapshot(&mut self, generation: u64, each: &mut Visitor<'_>) -> Result<Option<Offset>> {
        let path = self.path(SNAPSHOT, generation);
        let bytes = self.files.read(&path).map_err(|error| failed("read", &path, error))?;
        let Some(mut rest) = body(&path, &bytes)? else { return Ok(None) };
        self.snapshot_bytes = bytes.len() as u64;
        while let Some(frame) = Frame::read(rest) {
            if frame.is_empty() {
                return Ok(Some(frame.end));
            }
            frame.records().for_each(|(key, value)| each(key, value));
            rest = &rest[frame.byte_len()..];
        }
        Ok(None)
    }

    /// Reads as far as frames are whole and cuts the rest off; says whether nothing was cut.
    fn read_changes(&mut self, path: &Path, found: &mut Found, each: &mut Visitor<'_>) -> Result<bool> {
        let bytes = self.files.read(path).map_err(|error| failed("read", path, error))?;
        // A file without our header holds nothing of ours.
        let mut good = 0;
        if let Some(mut rest) = body(path, &bytes)? {
            while let Some(frame) = Frame::read(rest) {
                frame.records().for_each(|(key, value)| each(key, value));
                found.end = frame.end;
                rest = &rest[frame.byte_len()..];
            }
            good = bytes.len() - rest.len();
        }
        let whole = good > 0 && good == bytes.len();
        self.changes_bytes += good as u64;
        if !whole {
            let cut = || -> io::Result<()> {
                let mut file = self.files.append_to(path)?;
                file.truncate(good as u64)
            };
            cut().map_err(|error| failed("shorten", path, error))?;
        }
        Ok(whole)
    }

    /// Appends one frame.
    pub(crate) fn append(
        &mut self,
        records: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
        end: Offset,
    ) -> Result<()> {
        if !self.loaded {
            let path = self.directory.display();
            return Err(Error::new(ErrorKind::Internal, format!("{path} is written before it was loaded, a defect")));
        }
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes);
        records.for_each(|(key, value)| frame::write_record(&mut bytes, key, value));
        frame::finish(&mut bytes, start, end);
        let path = self.path(CHANGES, self.changes);
        let mut write = || -> io::Result<()> {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                None => {
                    self.files.create_directories(&self.directory)?;
                    let mut file = self.files.append_to(&path)?;
                    if file.is_empty() {
                        file.write_all(&FILE_HEADER)?;
                    }
                    self.writer.insert(file)
                }
            };
            writer.write_all(&bytes)
        };
        if let Err(error) = write() {
            // Half a frame may be there: the next load cuts it off, nothing may be appended behind it.
            self.writer = None;
            return Err(failed("write", &path, error));
        }
        self.changes_bytes += bytes.len() as u64;
        self.unsynced = true;
        self.end = end;
        Ok(())
    }

    /// Makes the changes survive a power failure.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let path = self.path(CHANGES, self.changes);
        let mut sync = || match &mut self.writer {
            Some(writer) => writer.sync(),
            // Written by a process that is gone, maybe, or before a load.
            None if self.files.exists(&path) => self.files.append_to(&path)?.sync(),
            None => Ok(()),
        };
        sync().map_err(|error| failed("sync", &path, error))
    }

    /// Bytes of the snapshot, and of the changes since.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        (self.snapshot_bytes, self.changes_bytes)
    }

    /// Begins a new file of changes; everything before it can be made into a snapshot while changes go on.
    pub(crate) fn rotate(&mut self) -> Result<Generation> {
        self.unsynced = true;
        self.sync()?;
        self.writer = None;
        let changes = self.changes;
        self.changes += 1;
        self.changes_bytes = 0;
        let (files, directory) = (self.files.clone(), self.directory.clone());
        Ok(Generation { files, directory, snapshot: self.snapshot, changes })
    }

    /// The snapshot of everything before the current changes is in place.
    pub(crate) fn adopt(&mut self, generation: &Generation, bytes: u64) -> Result<()> {
        self.snapshot = generation.changes + 1;
        self.snapshot_bytes = bytes;
        let names = self.files.list(&self.directory).map_err(|error| failed("read", &self.directory, error))?;
        self.remove_older(&names)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.writer = None;
        if self.files.exists(&self.directory) {
            self.files.remove_directory(&self.directory).map_err(|error| failed("remove", &self.directory, error))?;
        }
        let loaded = self.loaded;
        *self = ShardFiles::new(self.files.clone(), std::mem::take(&mut self.directory));
        self.loaded = loaded;
        Ok(())
    }

    fn remove_older(&self, names: &[String]) -> Result<()> {
        let old = |prefix: &'static str| {
            let generations = generations(names, prefix).into_iter();
            generations.filter(|generation| *generation < self.snapshot).map(move |generation| (prefix, generation))
        };
        for (prefix, generation) in old(SNAPSHOT).chain(old(CHANGES)) {
            let path = self.path(prefix, generation);
            self.files.remove(&path).map_err(|error| failed("remove", &path, error))?;
        }
        Ok(())
    }

    fn path(&self, prefix: &str, generation: u64) -> PathBuf {
        self.directory.join(format!("{prefix}{generation}"))
    }
}

/// Writes the snapshot of a finished generation; returns its size. Nobody else writes these files meanwhile.
pub(crate) fn write_snapshot(generation: &Generation) -> Result<u64> {
    let mut reader = ShardFiles::new(generation.files.clone(), generation.directory.clone());
    let mut live: Vec<Option<LiveRecord>> = Vec::new();
    let mut places: BTreeMap<Box<[u8]>, usize> = BTreeMap::new();
    let mut each = |key: &[u8], value: Option<&[u8]>| match (places.get(key).copied(), value) {
        (Some(place), Some(value)) => {
            if let Some(Some(entry)) = live.get_mut(place) {
                entry.1 = value.into();
            }
        }
        (Some(place), None) => {
            live[place] = None;
            places.remove(key);
        }
        (None, Some(value)) => {
            places.insert(key.into(), live.len());
            live.push(Some((key.into(), value.into())));
        }
        (None, None) => {}
    };
    let mut found = Found::default();
    if generation.snapshot > 0 {
        found.end = reader.read_snapshot(generation.snapshot, &mut each)?.ok_or_else(|| {
            let path = reader.path(SNAPSHOT, generation.snapshot);
            Error::new(ErrorKind::Corrupt, format!("{} is damaged; start again to rebuild it", path.display()))
        })?;
    }
    for number in generation.snapshot..=generation.changes {
        let path = reader.path(CHANGES, number);
        if generation.files.exists(&path) {
            reader.read_changes(&path, &mut found, &mut each)?;
        }
    }
    let unfinished = generation.directory.join(UNFINISHED);
    let target = reader.path(SNAPSHOT, generation.changes + 1);
    let entries = live.iter().flatten().map(|(key, value)| (&**key, &**value));
    let write = || -> io::Result<u64> {
        let bytes = write_entries(&mut *generation.files.create(&unfinished)?, entries, found.end)?;
        generation.files.rename(&unfinished, &target)?;
        generation.files.sync_directory(&generation.directory)?;
        Ok(bytes)
    };
    write().map_err(|error| failed("write", &target, error))
}

fn write_entries<'a>(
    file: &mut dyn AppendFile,
    entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    end: Offset,
) -> io::Result<u64> {
    file.write_all(&FILE_HEADER)?;
    let mut bytes = Vec::with_capacity(SNAPSHOT_FRAME_BYTES + SNAPSHOT_FRAME_BYTES / 4);
    let mut start = frame::begin(&mut bytes);
    for (key, value) in entries {
        frame::write_record(&mut bytes, key, Some(value));
        if bytes.len() >= SNAPSHOT_FRAME_BYTES {
            frame::finish(&mut bytes, start, end);
            file.write_all(&bytes)?;
            bytes.clear();
            start = frame::begin(&mut bytes);
        }
    }
    if bytes.len() > start + frame::FRAME_HEAD {
        frame::finish(&mut bytes, start, end);
        start = frame::begin(&mut bytes);
    }
    // The frame without records says that the snapshot is whole.
    frame::finish(&mut bytes, start, end);
    file.write_all(&bytes)?;
    file.sync()?;
    Ok(file.len())
}

/// The generations among the names, in order.
fn generations(names: &[String], prefix: &str) -> Vec<u64> {
    let mut found: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// What follows the header; `None` where even the header is torn.
fn body<'a>(path: &Path, bytes: &'a [u8]) -> Result<Option<&'a [u8]>> {
    let Some((header, rest)) = bytes.split_first_chunk::<{ FILE_HEADER.len() }>() else { return Ok(None) };
    if *header == FILE_HEADER {
        return Ok(Some(rest));
    }
    if header[..6] != FILE_HEADER[..6] {
        return Ok(None);
    }
    let version = u16::from_be_bytes([header[6], header[7]]);
    let message = format!(
        "{} has format {version}, which this version of beltline does not know; use the version that wrote it, or remove \
         the directory `tables` and let the changelogs rebuild it",
        path.display()
    );
    Err(Error::new(ErrorKind::DataDirectory, message))
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot {what} {}", path.display())).with_source(error)
}
