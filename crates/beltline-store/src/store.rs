//! All shards of a worker.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_env::Files;
use beltline_types::{Offset, Result};

use crate::shard_files::{ShardFiles, write_snapshot};

/// Takes keys and values in the order they were written; `None` removes the key.
pub type Visitor<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// When a new snapshot is worth its writing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoreOptions {
    /// A snapshot is written when the changes since the last one are this many times its size …
    pub compact_ratio: f64,
    /// … and at least this many bytes.
    pub compact_min_bytes: u64,
}

impl Default for StoreOptions {
    /// Twice the live data on disk at most, and nothing rewritten for less than 4 MiB.
    fn default() -> Self {
        StoreOptions { compact_ratio: 1.0, compact_min_bytes: 4 << 20 }
    }
}

/// What [`Store::load`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The changelog offset from which on records are missing; 0 when nothing was stored.
    pub end: Offset,
    /// A sentence for the operator when stored data could not be used.
    pub note: Option<String>,
}

/// A shard's files, and who changes more than their end.
struct Shard {
    files: Mutex<ShardFiles>,
    /// Held while a snapshot is written: loading and closing wait for it, changes do not.
    reshaping: Mutex<()>,
}

type Shards = BTreeMap<(Arc<str>, u32), Arc<Shard>>;

/// The durable form of all shards; every method may be called from any thread.
///
/// Not promised: that what was applied is there after a power failure. It is a prefix then, and the changelog, which is
/// what commits are made of, has the rest. [`Store::compact`] brings it to the disk every time.
pub struct Store {
    files: Arc<dyn Files>,
    root: PathBuf,
    options: StoreOptions,
    shards: Mutex<Shards>,
}

impl Store {
    /// A store below `root`, which is made with the first shard. Nothing is read yet.
    pub fn new(files: Arc<dyn Files>, root: PathBuf, options: StoreOptions) -> Store {
        Store { files, root, options, shards: Mutex::default() }
    }

    fn shard(&self, table: &str, partition: u32) -> Arc<Shard> {
        let mut shards = lock(&self.shards);
        let make = || {
            let directory = self.root.join(directory_name(table)).join(partition.to_string());
            let files = Mutex::new(ShardFiles::new(self.files.clone(), directory));
            Arc::new(Shard { files, reshaping: Mutex::default() })
        };
        shards.entry((Arc::from(table), partition)).or_insert_with(make).clone()
    }

    /// Reads a shard: `each` is given keys and values in the order they were written (a key may come several times,
    /// `None` removes it). A torn end is cut off; a damaged snapshot is dropped, and the note says so.
    ///
    /// # Errors
    /// `DataDirectory` when a newer version of beltline wrote it; otherwise what the disk says.
    pub fn load(&self, table: &str, partition: u32, each: &mut Visitor<'_>) -> Result<Loaded> {
        let shard = self.shard(table, partition);
        let _reshaping = lock(&shard.reshaping);
        let found = lock(&shard.files).load(each)?;
        Ok(Loaded { end: found.end, note: found.note })
    }

    /// Appends changes as one frame: after a crash all of them are there or none. `end` is the changelog offset after
    /// the last one. The shard was loaded before.
    ///
    /// # Errors
    /// What the disk says; load the shard again before the next call.
    pub fn apply(
        &self,
        table: &str,
        partition: u32,
        records: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
        end: Offset,
    ) -> Result<()> {
        lock(&self.shard(table, partition).files).append(records, end)
    }

    /// The changelog offset after the last change of a shard that was loaded.
    pub fn end(&self, table: &str, partition: u32) -> Offset {
        lock(&self.shard(table, partition).files).end()
    }

    /// Forgets a shard.
    ///
    /// # Errors
    /// What the disk says.
    pub fn clear_shard(&self, table: &str, partition: u32) -> Result<()> {
        let shard = self.shard(table, partition);
        let _reshaping = lock(&shard.reshaping);
        lock(&shard.files).clear()
    }

    /// Lets go of a shard's files, which stay: it belongs to somebody else from now on, or is loaded again later.
    pub fn close_shard(&self, table: &str, partition: u32) {
        let Some(shard) = lock(&self.shards).get(&(Arc::from(table), partition)).cloned() else { return };
        let _reshaping = lock(&shard.reshaping);
        lock(&shard.files).close();
        lock(&self.shards).remove(&(Arc::from(table), partition));
    }

    /// Brings changes to the disk, and writes new snapshots where they are worth it; called from a background thread
    /// every few seconds, one at a time. Changes go on meanwhile.
    ///
    /// # Errors
    /// What the disk says; nothing is lost then, and the next call tries again.
    pub fn compact(&self) -> Result<()> {
        let shards: Vec<_> = lock(&self.shards).values().cloned().collect();
        for shard in shards {
            let _reshaping = lock(&shard.reshaping);
            let generation = {
                let mut files = lock(&shard.files);
                if files.is_closed() {
                    continue;
                }
                files.sync()?;
                if !self.is_worth_it(files.sizes()) {
                    continue;
                }
                files.rotate()?
            };
            let bytes = write_snapshot(&generation)?;
            lock(&shard.files).adopt(&generation, bytes)?;
        }
        Ok(())
    }

    fn is_worth_it(&self, (snapshot, changes): (u64, u64)) -> bool {
        changes >= self.options.compact_min_bytes && changes as f64 >= snapshot as f64 * self.options.compact_ratio
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A panic under the lock leaves files that the next load repairs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The table's name with everything a file system may dislike as `%` and two hexadecimal digits.
fn directory_name(table: &str) -> String {
    let mut name = String::with_capacity(table.len());
    for byte in table.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}
