//! What the I/O threads do for the core, one function each; the simulator calls the same functions.

use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{CommitUnit, LogEvent, PartitionOffsets, TableSpec};
use beltline_env::Clock;
use beltline_log::{Fetched, GroupEvent, Log};
use beltline_store::{Loaded, Store};
use beltline_table::Shard;
use beltline_types::{
    Appended, BatchBuilder, CommitReceipt, Error, ErrorKind, Offset, Result, TopicPartition, TopicSpec,
};

/// Bytes one read of a changelog asks for.
const RESTORE_FETCH_BYTES: usize = 4 << 20;

/// How long a changelog may give nothing before its end is reached.
const RESTORE_DEADLINE: Duration = Duration::from_secs(60);

/// How often it is asked again meanwhile, should nothing be appended.
const RESTORE_PAUSE: Duration = Duration::from_millis(100);

/// Answers a look-up of committed positions.
///
/// # Errors
/// What the log says, naming the partition.
pub fn look_up(log: &dyn Log, group: &str, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffsets>> {
    let committed = log.committed(group, partitions)?;
    let one = |(partition, committed): (&TopicPartition, Option<Offset>)| {
        let range = log.offsets(partition)?;
        Ok(PartitionOffsets { partition: partition.clone(), committed, range })
    };
    partitions.iter().zip(committed).map(one).collect()
}

/// Answers a fetch; with `wait`, nothing to read is no answer.
pub fn fetch(
    log: &dyn Log,
    fetch: u64,
    partition: &TopicPartition,
    offset: Offset,
    max_bytes: usize,
    wait: bool,
) -> Option<LogEvent> {
    let partition = partition.clone();
    match log.fetch(&partition, offset, max_bytes) {
        Ok(found) if found.batches.is_empty() && found.next_offset <= offset && wait => None,
        Ok(Fetched { batches, range, next_offset }) => {
            Some(LogEvent::Fetched { fetch, partition, batches, range, next_offset })
        }
        Err(error) => Some(LogEvent::FetchFailed { fetch, partition, error }),
    }
}

/// What the group said, in the core's words.
pub fn group_event(event: GroupEvent) -> LogEvent {
    match event {
        GroupEvent::Assigned(partitions) => LogEvent::Assigned(partitions),
        GroupEvent::Revoking(partitions) => LogEvent::Revoking(partitions),
        GroupEvent::Lost(partitions) => LogEvent::Lost(partitions),
        GroupEvent::Standby(numbers) => LogEvent::Standby(numbers),
        GroupEvent::Gone { topic, why } => LogEvent::Gone { topic, why },
    }
}

/// Changes of one shard that the log has accepted and the store has not seen yet.
#[derive(Debug)]
pub struct ShardChanges {
    table: Arc<str>,
    changelog: Arc<str>,
    partition: u32,
    records: BatchBuilder,
    base_offset: Offset,
    next_offset: Offset,
}

/// Writes a unit to the log; what comes back belongs into the store, see [`store_unit`].
///
/// # Errors
/// What the log says; then nothing was written.
pub fn write_unit(log: &dyn Log, unit: CommitUnit, names: &[Arc<str>]) -> Result<(CommitReceipt, Vec<ShardChanges>)> {
    let CommitUnit { request, tables } = unit;
    let mut changes: Vec<(usize, ShardChanges)> = Vec::with_capacity(tables.len());
    for change in tables {
        let (Some(table), Some(append)) = (names.get(change.table.index()), request.appends.get(change.append)) else {
            return Err(Error::new(ErrorKind::Internal, "a commit unit names a table or an append it does not have"));
        };
        let (table, changelog, records) = (table.clone(), append.target.topic.clone(), append.records.clone());
        let partition = change.partition;
        let changes_of_shard = ShardChanges { table, changelog, partition, records, base_offset: 0, next_offset: 0 };
        changes.push((change.append, changes_of_shard));
    }
    let appends = request.appends.len();
    let receipt = log.commit(request)?;
    if receipt.appended.len() != appends {
        let message = format!("the log answered a commit of {appends} appends with {}", receipt.appended.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let placed = changes.into_iter().map(|(append, change)| {
        let Appended { base_offset, next_offset, .. } = receipt.appended[append];
        ShardChanges { base_offset, next_offset, ..change }
    });
    let placed = placed.collect();
    Ok((receipt, placed))
}

/// Brings the store up to a unit the log has accepted. A crash before or within leaves the store behind the log,
/// never ahead of it; the next restore catches up. So it does where the log has not said at which offsets the changes are,
/// as brokers with acks=0 do not: the store stays behind.
///
/// # Errors
/// What the disk says; the table and partition are named. `Corrupt` when the changelog was made anew while it was written.
pub fn store_unit(store: &Store, changes: &[ShardChanges]) -> Result<()> {
    for change in changes.iter().filter(|change| change.base_offset >= 0) {
        let stored = store.end(&change.table, change.partition);
        if (0..stored).contains(&change.base_offset) {
            return Err(made_anew(change, stored));
        }
        let mut records = change.records.records().filter_map(|record| record.key.map(|key| (key, record.value)));
        store.apply(&change.table, change.partition, &mut records, change.next_offset)?;
    }
    Ok(())
}

/// A shard that [`restore`] has completed.
#[derive(Debug)]
pub struct Restored {
    /// The shard, ready for events.
    pub shard: Shard,
    /// A sentence for the operator when stored data could not be used.
    pub note: Option<String>,
}

/// Loads a shard: what the store has, then the changelog from there to its end, which goes to the store as well.
///
/// The caller has read the committed positions before, so the end sampled here covers them. `progress` hears
/// changelog offsets read and to read, and says whether to go on; `None` when it did not. Where the changelog holds a
/// transaction that is not finished, nothing behind it can be read yet: that is waited for.
///
/// # Errors
/// What log or store say. `Unavailable` when the changelog has given nothing more for a minute.
pub fn restore(
    log: &dyn Log,
    store: &Store,
    clock: &dyn Clock,
    spec: &TableSpec,
    partition: u32,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Option<Restored>> {
    let changelog = TopicPartition::new(spec.changelog.clone(), partition);
    let range = log.offsets(&changelog)?;
    let (mut shard, found) = load(store, spec, partition)?;
    let (mut position, mut note) = (found.end, found.note);
    if position > range.end && log.keeps_its_tail() {
        return Err(shorter_than_the_store(spec, &changelog, position, range.end));
    }
    // The log may have lost its tail in a power failure that the store survived, or a damaged shard was dropped after
    // it had given a part: only what the log confirms counts.
    if position > range.end || note.is_some() {
        store.clear_shard(&spec.name, partition)?;
        (shard, position) = (Shard::new(spec.values), 0);
        note.get_or_insert_with(|| {
            let end = range.end;
            format!(
                "table {}: shard {partition} reached beyond the end of {changelog} ({end}) and is rebuilt",
                spec.name
            )
        });
    }
    position = position.max(range.start);
    let (first, total) = (position, (range.end - position) as u64);
    let (mut version, mut advanced) = (0, clock.monotonic());
    while position < range.end {
        if !progress((position - first) as u64, total) {
            return Ok(None);
        }
        let found = log.fetch(&changelog, position, RESTORE_FETCH_BYTES)?;
        if found.batches.is_empty() && found.next_offset <= position {
            if clock.monotonic().saturating_sub(advanced) >= RESTORE_DEADLINE {
                return Err(no_end_in_sight(spec, &changelog, position, range.end));
            }
            version = log.wait(version, RESTORE_PAUSE);
            continue;
        }
        advanced = clock.monotonic();
        for batch in &found.batches {
            let from = batch.index_of(position);
            let mut records = (from..batch.len()).filter_map(|index| {
                let record = batch.get(index);
                record.key.map(|key| (key, record.value))
            });
            let mut seen = records.by_ref().inspect(|(key, value)| shard.restore(key, *value));
            store.apply(&spec.name, partition, &mut seen, batch.next_offset())?;
            position = position.max(batch.next_offset());
        }
        position = position.max(found.next_offset);
    }
    progress(total, total);
    Ok(Some(Restored { shard, note }))
}

/// Going on would mean a table that has forgotten what its committed positions stand for.
fn shorter_than_the_store(spec: &TableSpec, changelog: &TopicPartition, stored: Offset, end: Offset) -> Error {
    let (table, topic) = (&spec.name, &changelog.topic);
    let message = format!(
        "table {table}: {changelog} ends at offset {end}, but the table on this disk was made from it up to offset {stored}: \
         the topic {topic} was deleted, or deleted and made anew, or brokers have lost its end; bring it back, or let the \
         command `reset` forget the tables on this disk, and the table begins with what {topic} holds now"
    );
    Error::new(ErrorKind::Corrupt, message)
}

/// Going on would mean a changelog from which nobody can restore the table.
fn made_anew(change: &ShardChanges, stored: Offset) -> Error {
    let ShardChanges { table, changelog, partition, base_offset, .. } = change;
    let message = format!(
        "table {table}: a change was written to {changelog}-{partition} at offset {base_offset}, but the table on this disk was \
         made from it up to offset {stored}: the topic {changelog} was deleted and made anew, or brokers have lost its end, and what it had is on this disk \
         only; bring it back, or let the command `reset` forget the tables on this disk, and the table begins with what \
         {changelog} holds now"
    );
    Error::new(ErrorKind::Corrupt, message)
}

fn no_end_in_sight(spec: &TableSpec, changelog: &TopicPartition, position: Offset, end: Offset) -> Error {
    let (table, seconds) = (&spec.name, RESTORE_DEADLINE.as_secs());
    let message = format!(
        "table {table}: {changelog} ends at offset {end} and has given nothing from offset {position} on for {seconds} s; \
         a transaction of a member that died may be open, it is tried again"
    );
    Error::new(ErrorKind::Unavailable, message)
}

/// Where a shard that is kept warm stands after one step of [`warm`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Where to read on.
    pub position: Offset,
    /// How much was read.
    pub bytes: usize,
}

/// Brings the stored form of a shard that belongs to another member one step closer to its changelog. `position` is what
/// the step before gave, `None` for the first one.
///
/// # Errors
/// What log or store say.
pub fn warm(
    log: &dyn Log,
    store: &Store,
    spec: &TableSpec,
    partition: u32,
    position: Option<Offset>,
    max_bytes: usize,
) -> Result<Warmed> {
    let changelog = TopicPartition::new(spec.changelog.clone(), partition);
    let mut position = match position {
        Some(position) => position,
        None => {
            let range = log.offsets(&changelog)?;
            let found = store.load(&spec.name, partition, &mut |_, _| {})?;
            if found.end > range.end || found.note.is_some() {
                store.clear_shard(&spec.name, partition)?;
                range.start
            } else {
                found.end.max(range.start)
            }
        }
    };
    let found = log.fetch(&changelog, position, max_bytes)?;
    let mut bytes = 0;
    for batch in &found.batches {
        bytes += batch.byte_len();
        let mut records = (batch.index_of(position)..batch.len()).filter_map(|index| {
            let record = batch.get(index);
            record.key.map(|key| (key, record.value))
        });
        store.apply(&spec.name, partition, &mut records, batch.next_offset())?;
        position = position.max(batch.next_offset());
    }
    Ok(Warmed { position: position.max(found.next_offset), bytes })
}

fn load(store: &Store, spec: &TableSpec, partition: u32) -> Result<(Shard, Loaded)> {
    let mut shard = Shard::new(spec.values);
    let loaded = store.load(&spec.name, partition, &mut |key, value| shard.restore(key, value))?;
    Ok((shard, loaded))
}

/// Creates a table's changelog, or checks that the one there fits.
///
/// # Errors
/// `Usage` when the changelog has another number of partitions than the table.
pub fn prepare_changelog(log: &dyn Log, spec: &TableSpec) -> Result<()> {
    log.create_topics(&[TopicSpec::new(spec.changelog.clone(), spec.partitions).compacted()])?;
    let found = log.topic(&spec.changelog)?.map_or(0, |topic| topic.partitions);
    if found == spec.partitions {
        return Ok(());
    }
    let message = format!(
        "table {}: its changelog {} has {found} partitions, the table is to have {}; give the table that many \
         partitions, or give the application another id",
        spec.name, spec.changelog, spec.partitions
    );
    Err(Error::new(ErrorKind::Usage, message))
}
