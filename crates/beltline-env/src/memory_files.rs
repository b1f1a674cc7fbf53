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

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Content>,
    directories: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    /// Bytes that still fit; `None` is no limit.
    room: Option<u64>,
}

/// A file system in memory; clones share it. Names survive a power failure at once, bytes only when synced.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
}

impl MemoryFiles {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        for content in state.files.values_mut() {
            let kept = content.synced + survives(content.bytes.len() - content.synced);
            content.bytes.truncate(kept);
            content.synced = kept;
        }
        state.locked.clear();
    }

    /// From now on only this many bytes can be written before the disk is full; `None` takes the limit away.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.state().files.get(path).map(|content| content.bytes.clone()).ok_or_else(|| missing(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        if !self.state().files.contains_key(path) {
            return Err(missing(path));
        }
        Ok(Box::new(MemoryRead { files: self.clone(), path: path.to_owned() }))
    }

    fn append_to(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        self.state().files.entry(path.to_owned()).or_default();
        Ok(Box::new(MemoryAppend { files: self.clone(), path: path.to_owned() }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        self.state().files.insert(path.to_owned(), Content::default());
        Ok(Box::new(MemoryAppend { files: self.clone(), path: path.to_owned() }))
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
        state.files.entry(path.to_owned()).or_default();
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock { files: self.clone(), path: path.to_owned() })))
    }
}

fn sync(files: &MemoryFiles, path: &Path) -> io::Result<()> {
    let mut state = files.state();
    let content = state.files.get_mut(path).ok_or_else(|| missing(path))?;
    content.synced = content.bytes.len();
    Ok(())
}

struct MemoryRead {
    files: MemoryFiles,
    path: PathBuf,
}

impl ReadFile for MemoryRead {
    fn read_exact_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        let state = self.files.state();
        let content = state.files.get(&self.path).ok_or_else(|| missing(&self.path))?;
        let start = position as usize;
        let found = content.bytes.get(start..start.saturating_add(bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.files, &self.path)
    }
}

struct MemoryAppend {
    files: MemoryFiles,
    path: PathBuf,
}

impl AppendFile for MemoryAppend {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.files.state();
        let fits = state.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        if let Some(room) = &mut state.room {
            *room -= fits as u64;
        }
        let content = state.files.get_mut(&self.path).ok_or_else(|| missing(&self.path))?;
        content.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        sync(&self.files, &self.path)
    }

    fn len(&self) -> u64 {
        self.files.state().files.get(&self.path).map_or(0, |content| content.bytes.len() as u64)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.files.state();
        let content = state.files.get_mut(&self.path).ok_or_else(|| missing(&self.path))?;
        content.bytes.truncate(length as usize);
        content.synced = content.synced.min(content.bytes.len());
        Ok(())
    }
}

struct MemoryLock {
    files: MemoryFiles,
    path: PathBuf,
}

impl FileLock for MemoryLock {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let synced = content.len();
        self.files.state().files.insert(self.path.clone(), Content { bytes: content.to_vec(), synced });
        Ok(())
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.files.state().locked.remove(&self.path);
    }
}
