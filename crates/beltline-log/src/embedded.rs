//! The log inside the process.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_env::{Clock, spawn_thread};
use beltline_types::{
    Appended, BatchBuilder, CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo,
    TopicPartition, TopicSpec,
};

use crate::block::{self, BlockHeader};
use crate::block_store::{BlockStore, Change, Space};
use crate::catalog::{self, Catalog, Partition, Topic};
use crate::disk_store::DiskStore;
use crate::keys;
use crate::membership::Membership;
use crate::memory_store::MemoryStore;
use crate::{Fetched, GroupEvent, Log, compaction, retention};

/// Version of everything the log writes.
const FORMAT: u32 = 1;

/// When a commit reaches the disk itself. A killed process loses nothing with any of them; a power failure may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the commit is answered: nothing that was answered is ever lost.
    Always,
    /// After this time at the latest: a power failure takes back at most what was committed within it.
    Interval(Duration),
    /// When the operating system likes, often half a minute later.
    Never,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        SyncPolicy::Interval(Duration::from_secs(1))
    }
}

/// Settings of an [`EmbeddedLog`]; every buffer has its limit here.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// When a commit reaches the disk itself.
    pub sync: SyncPolicy,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// Memory for blocks that are in the journal only.
    pub memtable_bytes: u64,
    /// Disk space of the journal; at least 64 MiB.
    pub journal_bytes: u64,
    /// An append is cut into blocks of about this size, so that a fetch need not take more.
    pub block_bytes: usize,
    /// A changelog is compacted when this much was appended to a partition, and as much as the last compaction left.
    pub compact_min_bytes: u64,
    /// How long a removal stays in a compacted topic, for readers that have not seen it.
    pub tombstone_retention_ms: i64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            sync: SyncPolicy::default(),
            cache_bytes: 32 << 20,
            memtable_bytes: 32 << 20,
            journal_bytes: 256 << 20,
            block_bytes: 1 << 20,
            compact_min_bytes: 16 << 20,
            // As Kafka's delete.retention.ms.
            tombstone_retention_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// What the log's own thread and its callers share.
pub(crate) struct Shared {
    pub(crate) store: Box<dyn BlockStore>,
    pub(crate) catalog: Catalog,
    pub(crate) options: LogOptions,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while something is written, so that offsets are given out in order.
    writing: Mutex<()>,
    version: Mutex<u64>,
    grown: Condvar,
    unsynced: AtomicBool,
    ended: Mutex<bool>,
    ending: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Writes outside of commits: retention, compaction. Nothing is written for a topic that was deleted meanwhile.
    pub(crate) fn rewrite(&self, topic: &Topic, changes: Vec<Change>) -> Result<bool> {
        let _writing = lock(&self.writing);
        if self.catalog.topic(&topic.info.name).is_none_or(|known| known.number != topic.number) {
            return Ok(false);
        }
        self.store.write(changes, false)?;
        self.unsynced.store(true, Ordering::Release);
        Ok(true)
    }

    /// Body of the thread that brings commits to the disk.
    fn sync_every(&self, interval: Duration) {
        loop {
            let waited = self.ending.wait_timeout_while(lock(&self.ended), interval, |ended| !*ended);
            let ended = *waited.unwrap_or_else(PoisonError::into_inner).0;
            if self.unsynced.swap(false, Ordering::AcqRel) && self.store.sync().is_err() {
                // The store refuses every later write, and the next commit tells why.
                return;
            }
            if ended {
                return;
            }
        }
    }
}

/// A durable, partitioned log inside the process.
///
/// One commit is one atomic write: outputs, changelogs and positions are there together after a crash, or none of them.
/// Not promised: that a power failure takes nothing, see [`SyncPolicy`]; that two processes can open it, see
/// [`crate::DataDirectory`].
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    membership: Membership,
    syncing: Option<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log in a directory, which is made when it is missing.
    ///
    /// # Errors
    /// `DataDirectory` when it is open already or was written by a newer version; `Corrupt` when its index makes no
    /// sense; `Storage` when the disk refuses.
    pub fn open(path: &Path, options: LogOptions, clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        let store = DiskStore::open(path, &options)?;
        EmbeddedLog::on(Box::new(store), options, clock)
    }

    /// A log in memory, gone with its value; the same code on another store.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        let options = LogOptions { sync: SyncPolicy::Never, ..LogOptions::default() };
        EmbeddedLog::on(Box::new(MemoryStore::default()), options, clock)
    }

    /// A log in memory that [`EmbeddedLog::crash`] can take back to its last sync, for the simulator.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn in_memory_with(options: LogOptions, clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        let options = LogOptions { sync: SyncPolicy::Never, ..options };
        EmbeddedLog::on(Box::new(MemoryStore::that_can_crash()), options, clock)
    }

    fn on(store: Box<dyn BlockStore>, options: LogOptions, clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        check_format(&*store)?;
        let catalog = Catalog::load(&*store)?;
        let shared = Arc::new(Shared {
            store,
            catalog,
            options,
            clock,
            writing: Mutex::default(),
            version: Mutex::new(1),
            grown: Condvar::new(),
            unsynced: AtomicBool::new(false),
            ended: Mutex::default(),
            ending: Condvar::new(),
        });
        let mut syncing = None;
        if let SyncPolicy::Interval(interval) = shared.options.sync {
            let thread = shared.clone();
            let started = spawn_thread("beltline-sync", move || thread.sync_every(interval));
            syncing = Some(started.map_err(|error| {
                Error::new(ErrorKind::Internal, "the system gives no thread for syncing the log").with_source(error)
            })?);
        }
        Ok(EmbeddedLog { shared, membership: Membership::default(), syncing })
    }

    /// A power failure: everything since the last sync is gone. Only a log made by [`EmbeddedLog::in_memory_with`] has
    /// one; the value must not be used by anybody meanwhile.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn crash(&self) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        self.shared.store.crash();
        self.shared.catalog.replace(Catalog::load(&*self.shared.store)?);
        Ok(())
    }

    /// Changes of one append, cut into blocks.
    fn append_changes(
        &self,
        partition: &Partition,
        base_offset: Offset,
        mut records: BatchBuilder,
        changes: &mut Vec<Change>,
    ) -> u64 {
        records.stamp_missing(self.shared.clock.now_ms());
        let (mut bytes, mut base_offset) = (0, base_offset);
        for part in records.split(self.shared.options.block_bytes) {
            let header = BlockHeader {
                base_offset,
                next_offset: base_offset + Offset::from(part.len()),
                last_timestamp: part.last_timestamp(),
                count: part.len(),
            };
            let block = block::write(&header, part.as_bytes());
            bytes += block.len() as u64;
            changes.push(Change::put(Space::Blocks, partition.key.block(base_offset), block));
            base_offset = header.next_offset;
        }
        bytes
    }
}

fn check_format(store: &dyn BlockStore) -> Result<()> {
    match store.get(Space::Meta, keys::FORMAT)? {
        None => store.write(vec![Change::put(Space::Meta, keys::FORMAT, FORMAT.to_le_bytes().to_vec())], true),
        Some(bytes) if bytes == FORMAT.to_le_bytes() => Ok(()),
        Some(bytes) => {
            let number = bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            let message = format!(
                "the log has format {number}, this version of beltline reads format {FORMAT}; use the version that wrote it"
            );
            Err(Error::new(ErrorKind::DataDirectory, message))
        }
    }
}

impl Log for EmbeddedLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let stored = self.shared.store.get(Space::Meta, keys::NEXT_TOPIC)?;
        let mut number =
            stored.and_then(|bytes| bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))).unwrap_or(0);
        let (mut topics, mut changes): (Vec<Topic>, Vec<Change>) = Default::default();
        for spec in wanted {
            catalog::check(spec)?;
            let twice = topics.iter().any(|topic| topic.info.name == spec.name);
            if twice || self.shared.catalog.topic(&spec.name).is_some() {
                continue;
            }
            let topic = Topic::empty(number, spec.clone());
            changes.push(Change::put(Space::Meta, keys::topic(&spec.name), topic.encode()));
            topics.push(topic);
            number += 1;
        }
        if topics.is_empty() {
            return Ok(());
        }
        changes.push(Change::put(Space::Meta, keys::NEXT_TOPIC, number.to_le_bytes().to_vec()));
        self.shared.store.write(changes, self.shared.options.sync == SyncPolicy::Always)?;
        self.shared.unsynced.store(true, Ordering::Release);
        topics.into_iter().for_each(|topic| self.shared.catalog.insert(topic));
        Ok(())
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.shared.catalog.all().iter().map(|topic| topic.info.clone()).collect())
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        Ok(self.shared.catalog.topic(name).map(|topic| topic.info.clone()))
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let Some(topic) = self.shared.catalog.topic(name) else { return Ok(()) };
        let mut changes = vec![Change::remove(Space::Meta, keys::topic(name))];
        for partition in &topic.partitions {
            let key = partition.key;
            self.shared.store.scan(Space::Blocks, &key.block(0), &key.end(), &mut |key, _| {
                changes.push(Change::remove(Space::Blocks, key));
                ControlFlow::Continue(())
            })?;
        }
        let number = topic.number.to_be_bytes();
        let end = [keys::OFFSET, &[0xff]].concat();
        self.shared.store.scan(Space::Meta, keys::OFFSET, &end, &mut |key, _| {
            if key.len() >= 8 && key[key.len() - 8..key.len() - 4] == number {
                changes.push(Change::remove(Space::Meta, key));
            }
            ControlFlow::Continue(())
        })?;
        self.shared.store.write(changes, self.shared.options.sync == SyncPolicy::Always)?;
        self.shared.unsynced.store(true, Ordering::Release);
        self.shared.catalog.remove(name);
        Ok(())
    }

    fn fetch(&self, wanted: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        let partition = self.shared.catalog.partition(wanted)?;
        let range = partition.range();
        if offset < range.start || offset > range.end {
            let (start, end) = (range.start, range.end);
            let message = format!("{wanted}: there is no offset {offset}, the partition holds {start} to {end}");
            return Err(Error::new(ErrorKind::OffsetOutOfRange, message));
        }
        let mut found = Fetched { batches: Vec::new(), range, next_offset: offset };
        if offset == range.end {
            return Ok(found);
        }
        let (store, key) = (&self.shared.store, partition.key);
        let located = |error: Error| Error::new(error.kind(), format!("{wanted}, offset {offset}")).with_source(error);
        let first = store.last_key(Space::Blocks, &key.block(0), &key.block(offset)).map_err(located)?;
        let first = first.unwrap_or_else(|| key.block(offset).to_vec());
        let (mut bytes, mut failure) = (0, None);
        store
            .scan(Space::Blocks, &first, &key.end(), &mut |key, value| {
                let base = keys::block_offset(key).unwrap_or(0);
                match block::read_batch(wanted, base, value) {
                    Ok(batch) if batch.next_offset() <= offset => {}
                    Ok(batch) => {
                        bytes += value.len();
                        found.next_offset = batch.next_offset();
                        found.batches.push(batch);
                    }
                    Err(error) => failure = Some(error),
                }
                if bytes >= max_bytes || failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(located)?;
        match failure {
            // What lies before the damage is still good; the next fetch begins at the damage.
            Some(error) if found.batches.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        Ok(self.shared.catalog.partition(partition)?.range())
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let version =
            self.shared.grown.wait_timeout_while(lock(&self.shared.version), timeout, |version| *version == seen);
        *version.unwrap_or_else(PoisonError::into_inner).0
    }

    fn interrupt(&self) {
        *lock(&self.shared.version) += 1;
        self.shared.grown.notify_all();
        self.membership.interrupt();
    }

    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt> {
        let CommitRequest { group, appends, offsets } = request;
        let _writing = lock(&self.shared.writing);
        let mut changes = Vec::with_capacity(appends.len() + offsets.len());
        let mut ends: Vec<(Arc<Partition>, Offset, u64)> = Vec::with_capacity(appends.len());
        let mut appended = Vec::with_capacity(appends.len());
        for append in appends {
            let partition = self.shared.catalog.partition(&append.target)?;
            // The same partition may come twice in one commit.
            let known = ends.iter().rev().find(|(other, ..)| other.key == partition.key);
            let base = known.map_or_else(|| partition.range().end, |(_, end, _)| *end);
            let end = base + Offset::from(append.records.len());
            appended.push(Appended::contiguous(base, append.records.len()));
            if append.records.is_empty() {
                continue;
            }
            let bytes = self.append_changes(&partition, base, append.records, &mut changes);
            ends.push((partition, end, bytes));
        }
        for (partition, offset) in &offsets {
            let key = self.shared.catalog.partition(partition)?.key;
            changes.push(Change::put(Space::Meta, keys::offset(&group, key), offset.to_le_bytes().to_vec()));
        }
        if changes.is_empty() {
            return Ok(CommitReceipt { appended });
        }
        self.shared.store.write(changes, self.shared.options.sync == SyncPolicy::Always)?;
        self.shared.unsynced.store(true, Ordering::Release);
        for (partition, end, bytes) in &ends {
            partition.set_end(*end);
            partition.fresh_bytes.fetch_add(*bytes, Ordering::Relaxed);
        }
        if !ends.is_empty() {
            *lock(&self.shared.version) += 1;
            self.shared.grown.notify_all();
        }
        Ok(CommitReceipt { appended })
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        let one = |partition: &TopicPartition| {
            let key = self.shared.catalog.partition(partition)?.key;
            let stored = self.shared.store.get(Space::Meta, &keys::offset(group, key))?;
            Ok(stored.and_then(|bytes| Some(Offset::from_le_bytes(*bytes.first_chunk()?))))
        };
        partitions.iter().map(one).collect()
    }

    fn reset_group(&self, group: &str) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let start = keys::group(group);
        let end = [&start[..], &[0xff; 9]].concat();
        let mut changes = Vec::new();
        self.shared.store.scan(Space::Meta, &start, &end, &mut |key, _| {
            changes.push(Change::remove(Space::Meta, key));
            ControlFlow::Continue(())
        })?;
        self.shared.store.write(changes, self.shared.options.sync == SyncPolicy::Always)?;
        self.shared.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    fn groups(&self) -> Result<Vec<Arc<str>>> {
        let mut groups: Vec<Arc<str>> = Vec::new();
        let end = [keys::OFFSET, &[0xff]].concat();
        self.shared.store.scan(Space::Meta, keys::OFFSET, &end, &mut |key, _| {
            if let Some(name) = keys::group_of(key)
                && groups.last().is_none_or(|last| **last != *name)
            {
                groups.push(Arc::from(name));
            }
            ControlFlow::Continue(())
        })?;
        // Keys sort by the length of the name first.
        groups.sort_unstable();
        Ok(groups)
    }

    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let mut changes = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let key = self.shared.catalog.partition(partition)?.key;
            changes.push(Change::remove(Space::Meta, keys::offset(group, key)));
        }
        self.shared.store.write(changes, self.shared.options.sync == SyncPolicy::Always)?;
        self.shared.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.shared.unsynced.store(false, Ordering::Release);
        self.shared.store.sync()
    }

    fn join(&self, _group: &str, topics: &[Arc<str>]) -> Result<()> {
        let mut partitions = Vec::with_capacity(topics.len());
        for name in topics {
            let topic = self.shared.catalog.topic(name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no topic {name} to read; declare it first"))
            })?;
            partitions.push((name.clone(), topic.info.partitions));
        }
        self.membership.join(&partitions);
        Ok(())
    }

    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        Ok(self.membership.poll(timeout))
    }

    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.membership.release(partitions);
        Ok(())
    }

    fn leave(&self) -> Result<()> {
        self.membership.leave();
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn maintain(&self) -> Result<()> {
        for topic in self.shared.catalog.all() {
            retention::apply(&self.shared, &topic)?;
            compaction::apply(&self.shared, &topic)?;
        }
        Ok(())
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.ending.notify_all();
        if let Some(thread) = self.syncing.take() {
            // It ends with a last sync; a failure there has nobody to be told to.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedLog").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
