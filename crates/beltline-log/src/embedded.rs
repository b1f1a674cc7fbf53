//! The log inside the process.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_env::{Clock, Files, MemoryFiles, RealFiles, spawn_thread};
use beltline_types::{
    Append, Appended, Batch, BatchPart, CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result,
    TopicInfo, TopicPartition, TopicSpec,
};

use crate::block::{self, BlockHeader};
use crate::catalog::{self, Catalog, Partition, Topic};
use crate::frame::{Changes, FactChange};
use crate::membership::Membership;
use crate::segments::Segments;
use crate::{Fetched, GroupEvent, Log, cleaning, compaction, keys, merging, reading, retention};

/// Size of a segment in memory: nothing has to be opened there, and what is let go is given back sooner.
const MEMORY_SEGMENT_BYTES: u64 = 4 << 20;

/// When a commit reaches the disk itself. A killed process loses nothing with any of them; a power failure may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the commit is answered: nothing that was answered is ever lost.
    Always,
    /// After this time at the latest: a power failure takes back at most what was committed within it.
    Interval(Duration),
    /// When the operating system likes, often half a minute later; a full file within seconds.
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
    /// The log begins a new file when the present one would become larger than this; at most 2 GiB. In a log of more
    /// than thirty files they are made larger. What is let go comes back to the disk a file at a time.
    pub segment_bytes: u64,
    /// An append is cut into blocks of about this size, so that a fetch need not take more.
    pub block_bytes: usize,
    /// So many small blocks that follow one another are made one; at least 2.
    pub merge_blocks: usize,
    /// A changelog is compacted when this much was appended to a partition, and as much as the last compaction left.
    pub compact_min_bytes: u64,
    /// How long a removal stays in a compacted topic, for readers that have not seen it.
    pub tombstone_retention_ms: i64,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            sync: SyncPolicy::default(),
            segment_bytes: 64 << 20,
            block_bytes: 1 << 20,
            merge_blocks: 256,
            compact_min_bytes: 16 << 20,
            // As Kafka's delete.retention.ms.
            tombstone_retention_ms: 24 * 60 * 60 * 1000,
        }
    }
}

/// What the log's own thread and its callers share.
pub(crate) struct Shared {
    pub(crate) segments: Segments,
    pub(crate) catalog: Catalog,
    pub(crate) options: LogOptions,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while something is written, so that offsets are given out in order.
    pub(crate) writing: Mutex<()>,
    version: Mutex<u64>,
    grown: Condvar,
    /// Held by who tidies up: one at a time.
    tidying: Mutex<cleaning::Damaged>,
    unsynced: AtomicBool,
    ended: Mutex<bool>,
    ending: Condvar,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Writes outside of commits: retention, compaction. Nothing is written for a topic that was deleted meanwhile.
    pub(crate) fn rewrite(&self, topic: &Topic, changes: Changes<'_>) -> Result<()> {
        self.rewrite_if(|log| {
            let known = log.catalog.topic(&topic.info.name)?;
            (known.number == topic.number).then_some(changes)
        })
    }

    /// Writes what `decide` says, while nobody else writes.
    pub(crate) fn rewrite_if<'a>(&self, decide: impl FnOnce(&Shared) -> Option<Changes<'a>>) -> Result<()> {
        let _writing = lock(&self.writing);
        match decide(self) {
            Some(changes) => self.write(changes, false),
            None => Ok(()),
        }
    }

    /// Writes while `writing` is held.
    pub(crate) fn write(&self, changes: Changes<'_>, durable: bool) -> Result<()> {
        self.segments.write(changes, durable)?;
        self.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.options.sync == SyncPolicy::Always
    }

    /// Batches of a partition from the one that holds `offset`. What lies before damage is still good; only a read
    /// that begins at the damage fails.
    pub(crate) fn read(&self, partition: &Partition, offset: Offset, max_bytes: usize) -> Result<Vec<Batch>> {
        let located = self.segments.locate(partition.key, offset, max_bytes);
        let (batches, failure) = reading::read(&partition.name, &located);
        match failure {
            Some(error) if batches.is_empty() => Err(error),
            _ => Ok(batches),
        }
    }

    /// Body of the thread that brings commits to the disk.
    fn sync_every(&self, interval: Duration) {
        loop {
            let waited = self.ending.wait_timeout_while(lock(&self.ended), interval, |ended| !*ended);
            let ended = *waited.unwrap_or_else(PoisonError::into_inner).0;
            if self.unsynced.swap(false, Ordering::AcqRel) && self.segments.sync().is_err() {
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
    /// `DataDirectory` when it is open already, was written by a newer version or is something else; `Corrupt` when it
    /// is damaged so that nobody knows what is missing; `Storage` when the disk refuses.
    pub fn open(path: &Path, options: LogOptions, clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        EmbeddedLog::open_in(Arc::new(RealFiles), path, options, clock)
    }

    /// A log in memory, gone with its value; the same code on other files.
    ///
    /// # Errors
    /// None that can be expected.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<EmbeddedLog> {
        let options =
            LogOptions { sync: SyncPolicy::Never, segment_bytes: MEMORY_SEGMENT_BYTES, ..LogOptions::default() };
        EmbeddedLog::open_in(Arc::new(MemoryFiles::default()), Path::new("log"), options, clock)
    }

    /// Opens the log in a directory of any file system, such as one that loses power.
    ///
    /// # Errors
    /// See [`EmbeddedLog::open`].
    pub fn open_in(
        files: Arc<dyn Files>,
        path: &Path,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<EmbeddedLog> {
        let segments = Segments::open(files, path, options.segment_bytes)?;
        let catalog = Catalog::load(&segments)?;
        let shared = Arc::new(Shared {
            segments,
            catalog,
            options,
            clock,
            writing: Mutex::default(),
            version: Mutex::new(1),
            grown: Condvar::new(),
            tidying: Mutex::default(),
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

    /// What opening had to cut off, as a sentence for the user: the end of a commit that a crash has interrupted.
    pub fn notice(&self) -> Option<&str> {
        self.shared.segments.notice()
    }
}

/// Where the records of one append go.
struct Place {
    partition: Arc<Partition>,
    base_offset: Offset,
    end: Offset,
    parts: Vec<BatchPart>,
}

impl Place {
    /// The blocks of the append; `records` are all of its records.
    fn blocks<'a>(&self, records: &'a [u8]) -> impl Iterator<Item = (BlockHeader, &'a [u8])> {
        let mut next_offset = self.base_offset;
        self.parts.iter().map(move |part| {
            let base_offset = next_offset;
            next_offset += Offset::from(part.count);
            let (partition, last_timestamp) = (self.partition.key, part.last_timestamp);
            (BlockHeader { partition, base_offset, next_offset, last_timestamp }, &records[part.range.clone()])
        })
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.range.len() as u64).sum()
    }
}

impl Shared {
    /// Gives the records of a commit their places, while `writing` is held.
    fn place(&self, appends: &mut [Append]) -> Result<(Vec<Option<Place>>, Vec<Appended>)> {
        let mut places: Vec<Option<Place>> = Vec::with_capacity(appends.len());
        let mut appended = Vec::with_capacity(appends.len());
        for Append { target, records } in appends {
            let partition = self.catalog.partition(target)?;
            // The same partition may come twice in one commit.
            let known = places.iter().rev().flatten().find(|other| other.partition.key == partition.key);
            let base_offset = known.map_or_else(|| partition.range().end, |other| other.end);
            let mut went = Appended::contiguous(base_offset, records.len());
            if records.is_empty() {
                appended.push(went);
                places.push(None);
                continue;
            }
            let end = base_offset + Offset::from(records.len());
            if partition.stamps_all() {
                let now_ms = self.clock.now_ms();
                records.stamp_all(now_ms);
                went.stamped_ms = Some(now_ms);
            } else {
                records.stamp_missing(self.clock.now_ms());
            }
            appended.push(went);
            let parts = records.cut(self.options.block_bytes);
            places.push(Some(Place { partition, base_offset, end, parts }));
        }
        Ok((places, appended))
    }
}

/// The offsets of a partition, if `offset` is one of them or the end.
pub(crate) fn within(partition: &Partition, offset: Offset) -> Result<OffsetRange> {
    let range = partition.range();
    if offset < range.start || offset > range.end {
        let (name, start, end) = (&partition.name, range.start, range.end);
        let message = format!("{name}: there is no offset {offset}, the partition holds {start} to {end}");
        return Err(Error::new(ErrorKind::OffsetOutOfRange, message));
    }
    Ok(range)
}

impl Log for EmbeddedLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let stored = self.shared.segments.fact(keys::NEXT_TOPIC);
        let mut number = stored.as_deref().and_then(keys::stored_number).unwrap_or(0);
        let (mut topics, mut changes): (Vec<Topic>, Vec<FactChange>) = Default::default();
        for spec in wanted {
            catalog::check_topic(spec)?;
            let twice = topics.iter().any(|topic| topic.info.name == spec.name);
            if twice || self.shared.catalog.topic(&spec.name).is_some() {
                continue;
            }
            let topic = Topic::empty(number, spec.clone());
            changes.push(FactChange::put(keys::topic(&spec.name), Topic::fact(topic.number, &topic.info)));
            topics.push(topic);
            number += 1;
        }
        if topics.is_empty() {
            return Ok(());
        }
        changes.push(FactChange::put(keys::NEXT_TOPIC, number.to_le_bytes()));
        self.shared.write(Changes::of_facts(changes), self.shared.is_durable())?;
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
        // Its blocks do not count once it is gone.
        let mut changes = vec![FactChange::remove(keys::topic(name))];
        {
            let index = self.shared.segments.index();
            let facts = index.facts(keys::OFFSET).chain(index.facts(keys::START));
            let its = facts.filter(|(key, _)| keys::partition_of(key).is_some_and(|key| key.topic == topic.number));
            changes.extend(its.map(|(key, _)| FactChange::remove(key)));
        }
        self.shared.write(Changes::of_facts(changes), self.shared.is_durable())?;
        self.shared.catalog.remove(name);
        Ok(())
    }

    fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.shared.grow_topic(name, partitions)
    }

    fn change_topic(&self, wanted: &TopicSpec) -> Result<()> {
        self.shared.change_topic(wanted)
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<Offset> {
        self.shared.delete_records(partition, before)
    }

    fn fetch(&self, wanted: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        let partition = self.shared.catalog.partition(wanted)?;
        let range = within(&partition, offset)?;
        if offset == range.end {
            return Ok(Fetched { batches: Vec::new(), range, next_offset: offset });
        }
        let batches = self.shared.read(&partition, offset, max_bytes)?;
        if batches.is_empty() {
            // Unless retention was quicker, there must have been something.
            within(&partition, offset)?;
            return Err(block::corrupt(wanted, offset, "is missing"));
        }
        let next_offset = batches.last().map_or(offset, Batch::next_offset);
        Ok(Fetched { batches, range, next_offset })
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
        let CommitRequest { group, mut appends, offsets, losses: _ } = request;
        let _writing = lock(&self.shared.writing);
        let (places, appended) = self.shared.place(&mut appends)?;
        let mut changes = Changes::default();
        for (append, place) in appends.iter().zip(&places) {
            if let Some(place) = place {
                changes.blocks.extend(place.blocks(append.records.as_bytes()));
            }
        }
        for (partition, offset) in &offsets {
            let key = self.shared.catalog.partition(partition)?.key;
            changes.facts.push(FactChange::put(keys::offset(&group, key), offset.to_le_bytes()));
        }
        if changes.blocks.is_empty() && changes.facts.is_empty() {
            return Ok(CommitReceipt { appended });
        }
        let has_grown = !changes.blocks.is_empty();
        self.shared.write(changes, self.shared.is_durable())?;
        for place in places.iter().flatten() {
            place.partition.set_end(place.end);
            place.partition.fresh_bytes.fetch_add(place.bytes(), Ordering::Relaxed);
        }
        if has_grown {
            *lock(&self.shared.version) += 1;
            self.shared.grown.notify_all();
        }
        Ok(CommitReceipt { appended })
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        let one = |partition: &TopicPartition| {
            let key = self.shared.catalog.partition(partition)?.key;
            Ok(self.shared.segments.index().fact(&keys::offset(group, key)).and_then(keys::stored_offset))
        };
        partitions.iter().map(one).collect()
    }

    fn reset_group(&self, group: &str) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let changes: Vec<FactChange> = {
            let (index, prefix) = (self.shared.segments.index(), keys::group(group));
            index.facts(&prefix).map(|(key, _)| FactChange::remove(key)).collect()
        };
        if changes.is_empty() {
            return Ok(());
        }
        self.shared.write(Changes::of_facts(changes), self.shared.is_durable())
    }

    fn groups(&self) -> Result<Vec<Arc<str>>> {
        let mut groups: Vec<Arc<str>> = Vec::new();
        for (key, _) in self.shared.segments.index().facts(keys::OFFSET) {
            if let Some(name) = keys::group_of(key)
                && groups.last().is_none_or(|last| **last != *name)
            {
                groups.push(Arc::from(name));
            }
        }
        // Keys sort by the length of the name first.
        groups.sort_unstable();
        Ok(groups)
    }

    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let _writing = lock(&self.shared.writing);
        let mut changes = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let key = keys::offset(group, self.shared.catalog.partition(partition)?.key);
            if self.shared.segments.index().facts(&key).next().is_some() {
                changes.push(FactChange::remove(key));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.shared.write(Changes::of_facts(changes), self.shared.is_durable())
    }

    fn sync(&self) -> Result<()> {
        self.shared.unsynced.store(false, Ordering::Release);
        self.shared.segments.sync()
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
        let mut damaged = lock(&self.shared.tidying);
        // What goes wrong in one place must not keep the others from being tidied; the first cause is told.
        let mut result = Ok(());
        for topic in self.shared.catalog.all() {
            result = result.and(retention::apply(&self.shared, &topic));
            result = result.and(compaction::apply(&self.shared, &topic));
            result = result.and(merging::apply(&self.shared, &topic));
        }
        result.and(cleaning::apply(&self.shared, &mut damaged))
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
