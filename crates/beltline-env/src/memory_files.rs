//! Files in memory that can lose what was not synced, and fill up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{AppendFile, FileLock, Files, Random, ReadFile};

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Bytes from the start that survive a power failure.
    synced: usize,
}

/// What an open file and its name share: as on a real disk, a file that was removed can still be read by who has it.
type SharedContent = Arc<Mutex<Content>>;

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, SharedContent>,
    directories: BTreeSet<PathBuf>,
    /// Who holds a lock, as the number of the lock.
    locked: BTreeMap<PathBuf, u64>,
    locks_taken: u64,
}

/// Bytes that still fit; `None` is no limit.
type Room = Arc<Mutex<Option<u64>>>;

/// A file system in memory; clones share it. Names survive a power failure at once, bytes only when synced.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
    room: Room,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFiles {
    fn state(&self) -> MutexGuard<'_, State> {
        held(&self.state)
    }

    fn content(&self, path: &Path) -> io::Result<SharedContent> {
        self.state().files.get(path).cloned().ok_or_else(|| missing(path))
    }

    /// A power failure: what was not synced is gone, and so are all locks.
    pub fn crash(&self) {
        self.power_failure(|_| 0);
    }

    /// A power failure that leaves a random part of what was not synced.
    pub fn crash_torn(&self, random: &mut dyn Random) {
        self.power_failure(|unsynced| random.below(unsynced as u64 + 1) as usize);
    }

    fn power_failure(&self, mut survives: impl FnMut(usize) -> usize) {
        let mut state = self.state();
        for content in state.files.values() {
            let mut content = held(content);
            let kept = content.synced + survives(content.bytes.len() - content.synced);
            content.bytes.truncate(kept);
            content.synced = kept;
        }
        state.locked.clear();
    }

    /// From now on only this many bytes can be written before the disk is full; `None` takes the limit away.
    pub fn set_room(&self, bytes: Option<u64>) {
        *held(&self.room) = bytes;
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(held(&*self.content(path)?).bytes.clone())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(MemoryRead { content: self.content(path)? }))
    }

    fn append_to(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let content = self.state().files.entry(path.to_owned()).or_default().clone();
        Ok(Box::new(MemoryAppend { content, room: self.room.clone() }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let content = self.state().files.entry(path.to_owned()).or_default().clone();
        *held(&content) = Content::default();
        Ok(Box::new(MemoryAppend { content, room: self.room.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let content = state.files.remove(from).ok_or_else(|| missing(from))?;
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().files.remove(path).map(drop).ok_or_else(|| missing(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.files.retain(|file, _| !file.starts_with(path));
        state.directories.retain(|directory| !directory.starts_with(path));
        Ok(())
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let all = state.files.keys().chain(&state.directories);
        let inside = all.filter_map(|entry| entry.strip_prefix(path).ok()?.components().next());
        let names: BTreeSet<String> = inside.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect();
        if names.is_empty() && !state.directories.contains(path) {
            return Err(missing(path));
        }
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.state();
        state.files.contains_key(path) || state.directories.contains(path)
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>> {
        let mut state = self.state();
        if state.locked.contains_key(path) {
            return Ok(None);
        }
        state.locks_taken += 1;
        let number = state.locks_taken;
        state.locked.insert(path.to_owned(), number);
        let content = state.files.entry(path.to_owned()).or_default().clone();
        Ok(Some(Box::new(MemoryLock { files: self.clone(), path: path.to_owned(), number, content })))
    }
}

struct MemoryRead {
    content: SharedContent,
}

impl ReadFile for MemoryRead {
    fn read_exact_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        let content = held(&self.content);
        let start = position as usize;
        let found = content.bytes.get(start..start.saturating_add(bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.content).bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = held(&self.content);
        content.synced = content.bytes.len();
        Ok(())
    }
}

struct MemoryAppend {
    content: SharedContent,
    room: Room,
}

impl AppendFile for MemoryAppend {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = {
            let mut room = held(&self.room);
            let fits = room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
            if let Some(room) = &mut *room {
                *room -= fits as u64;
            }
            fits
        };
        held(&self.content).bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut content = held(&self.content);
        content.synced = content.bytes.len();
        Ok(())
    }

    fn len(&self) -> u64 {
        held(&self.content).bytes.len() as u64
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut content = held(&self.content);
        content.bytes.truncate(length as usize);
        content.synced = content.synced.min(content.bytes.len());
        Ok(())
    }
}

struct MemoryLock {
    files: MemoryFiles,
    path: PathBuf,
    number: u64,
    content: SharedContent,
}

impl FileLock for MemoryLock {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        *held(&self.content) = Content { bytes: content.to_vec(), synced: content.len() };
        Ok(())
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        // After a power failure somebody else may hold it.
        let mut state = self.files.state();
        if state.locked.get(&self.path) == Some(&self.number) {
            state.locked.remove(&self.path);
        }
    }
}
