//! The shards of all tables and whether they are complete.

use std::time::Duration;

use beltline_table::{Shard, Succession};
use beltline_types::{Append, BatchBuilder, TopicPartition};

use crate::protocol::TableChange;
use crate::{TableId, TableSpec};

#[derive(Debug)]
enum Slot {
    /// Nobody was asked to restore it yet.
    Missing,
    /// On its way.
    Restoring { restore: u64, done: u64, total: u64 },
    /// The log or the store could not give it; asked for again then.
    Failed { retry_at: Duration, error: String },
    /// Complete.
    Ready(Box<Shard>),
}

#[derive(Debug)]
struct Table {
    spec: TableSpec,
    slots: Vec<Slot>,
    /// Beyond the version of every shard that was dropped: one that comes back never looks like one that went.
    next: Succession,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    tables: Vec<Table>,
}

/// How far one table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHealth {
    /// Name of the table.
    pub name: std::sync::Arc<str>,
    /// Shards that are complete, of those that are ours.
    pub ready: u32,
    /// Number of shards that are ours.
    pub partitions: u32,
    /// Changelog offsets read so far by the shards still restoring.
    pub done: u64,
    /// Changelog offsets these shards have to read.
    pub total: u64,
    /// Partition, offsets read and offsets to read of every shard that is not complete.
    pub restoring: Vec<(u32, u64, u64)>,
}

impl Tables {
    pub(crate) fn add(&mut self, spec: TableSpec) -> TableId {
        if let Some(index) = self.tables.iter().position(|table| table.spec.name == spec.name) {
            return TableId(index as u32);
        }
        let slots = (0..spec.partitions).map(|_| Slot::Missing).collect();
        self.tables.push(Table { spec, slots, next: Succession::default() });
        TableId(self.tables.len() as u32 - 1)
    }

    pub(crate) fn spec(&self, id: TableId) -> Option<&TableSpec> {
        self.tables.get(id.index()).map(|table| &table.spec)
    }

    pub(crate) fn specs(&self) -> impl Iterator<Item = (TableId, &TableSpec)> {
        self.tables.iter().enumerate().map(|(index, table)| (TableId(index as u32), &table.spec))
    }

    #[inline]
    pub(crate) fn shard(&self, id: TableId, partition: u32) -> Option<&Shard> {
        match self.tables.get(id.index())?.slots.get(partition as usize)? {
            Slot::Ready(shard) => Some(shard),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn shard_mut(&mut self, id: TableId, partition: u32) -> Option<&mut Shard> {
        match self.tables.get_mut(id.index())?.slots.get_mut(partition as usize)? {
            Slot::Ready(shard) => Some(shard),
            _ => None,
        }
    }

    fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.tables.iter_mut().flat_map(|table| &mut table.slots).filter_map(|slot| match slot {
            Slot::Ready(shard) => Some(&mut **shard),
            _ => None,
        })
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.tables.iter().flat_map(|table| &table.slots).filter_map(|slot| match slot {
            Slot::Ready(shard) => Some(&**shard),
            _ => None,
        })
    }

    /// Shards of these partitions nobody was asked for, marked as asked for; each gets a number of its own.
    pub(crate) fn take_missing(
        &mut self,
        now: Duration,
        next_number: &mut u64,
        wanted: impl Fn(u32) -> bool,
    ) -> Vec<(u64, TableId, u32)> {
        let mut missing = Vec::new();
        for (index, table) in self.tables.iter_mut().enumerate() {
            for (slot, partition) in table.slots.iter_mut().zip(0..) {
                let due = match slot {
                    Slot::Missing => true,
                    Slot::Failed { retry_at, .. } => *retry_at <= now,
                    _ => false,
                };
                if due && wanted(partition) {
                    *slot = Slot::Restoring { restore: *next_number, done: 0, total: 0 };
                    missing.push((*next_number, TableId(index as u32), partition));
                    *next_number += 1;
                }
            }
        }
        missing
    }

    /// The slot of a restore that still counts.
    fn restoring(&mut self, restore: u64, id: TableId, partition: u32) -> Option<&mut Slot> {
        let slot = self.tables.get_mut(id.index())?.slots.get_mut(partition as usize)?;
        matches!(slot, Slot::Restoring { restore: asked, .. } if *asked == restore).then_some(slot)
    }

    pub(crate) fn progress(&mut self, restore: u64, id: TableId, partition: u32, done: u64, total: u64) {
        if let Some(slot) = self.restoring(restore, id, partition) {
            *slot = Slot::Restoring { restore, done, total };
        }
    }

    pub(crate) fn restored(&mut self, restore: u64, id: TableId, partition: u32, mut shard: Shard) {
        let next = self.tables.get(id.index()).map(|table| table.next).unwrap_or_default();
        if let Some(slot) = self.restoring(restore, id, partition) {
            shard.succeed(next);
            *slot = Slot::Ready(Box::new(shard));
        }
    }

    /// The pause before the next attempt is a second: a log that fails is asked by fetches meanwhile as well.
    pub(crate) fn restore_failed(&mut self, restore: u64, id: TableId, partition: u32, error: String, now: Duration) {
        if let Some(slot) = self.restoring(restore, id, partition) {
            *slot = Slot::Failed { retry_at: now + Duration::from_secs(1), error };
        }
    }

    /// When a restore is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Duration> {
        let slots = self.tables.iter().flat_map(|table| &table.slots);
        slots.filter_map(|slot| if let Slot::Failed { retry_at, .. } = slot { Some(*retry_at) } else { None }).min()
    }

    /// Lets the shards of a partition go, with what was not committed in them.
    pub(crate) fn drop_shards(&mut self, partition: u32) {
        for table in &mut self.tables {
            let Some(slot) = table.slots.get_mut(partition as usize) else { continue };
            if let Slot::Ready(shard) = std::mem::replace(slot, Slot::Missing) {
                table.next = table.next.max(shard.successor());
            }
        }
    }

    /// Whether a shard of this partition holds changes that no unit has.
    pub(crate) fn is_dirty_in(&self, partition: u32) -> bool {
        self.tables.iter().any(
            |table| matches!(table.slots.get(partition as usize), Some(Slot::Ready(shard)) if shard.dirty_len() > 0),
        )
    }

    /// Offsets read by the shards of a partition that are restoring: what shows that they advance.
    pub(crate) fn restore_progress(&self, partition: u32) -> u64 {
        let slots = self.tables.iter().filter_map(|table| table.slots.get(partition as usize));
        slots.map(|slot| if let Slot::Restoring { done, .. } = slot { done + 1 } else { 0 }).sum()
    }

    /// The first table whose shard `partition` is not complete.
    pub(crate) fn waiting_for(&self, partition: u32) -> Option<&TableSpec> {
        let incomplete =
            |table: &&Table| table.slots.get(partition as usize).is_some_and(|slot| !matches!(slot, Slot::Ready(_)));
        self.tables.iter().find(incomplete).map(|table| &table.spec)
    }

    /// How far the first incomplete shard of a partition is: table, offsets read, offsets to read, what went wrong.
    pub(crate) fn incomplete(&self, partition: u32) -> Option<(&TableSpec, u64, u64, Option<&str>)> {
        self.tables.iter().find_map(|table| match table.slots.get(partition as usize)? {
            Slot::Ready(_) => None,
            Slot::Missing => Some((&table.spec, 0, 0, None)),
            Slot::Restoring { done, total, .. } => Some((&table.spec, *done, *total, None)),
            Slot::Failed { error, .. } => Some((&table.spec, 0, 0, Some(error.as_str()))),
        })
    }

    /// Whether every shard of the wanted partitions is complete.
    pub(crate) fn all_ready(&self, wanted: impl Fn(u32) -> bool) -> bool {
        self.tables.iter().all(|table| {
            table.slots.iter().zip(0..).all(|(slot, partition)| !wanted(partition) || matches!(slot, Slot::Ready(_)))
        })
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.shards().any(|shard| shard.dirty_len() > 0)
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.shards().map(Shard::dirty_bytes).sum()
    }

    /// Moves dirty entries into appends to the changelogs: the last value per key.
    pub(crate) fn seal(&mut self, appends: &mut Vec<Append>) -> Vec<TableChange> {
        let mut changes = Vec::new();
        for (index, table) in self.tables.iter_mut().enumerate() {
            for (partition, slot) in table.slots.iter_mut().enumerate() {
                let Slot::Ready(shard) = slot else { continue };
                if shard.dirty_len() == 0 {
                    continue;
                }
                let mut records = BatchBuilder::default();
                // A negative timestamp is stamped by the log: a changelog record is as old as its commit.
                shard.seal(&mut |key, value| records.push(Some(key), value, &[], -1));
                if records.is_empty() {
                    continue;
                }
                let partition = partition as u32;
                changes.push(TableChange { table: TableId(index as u32), partition, append: appends.len() });
                appends.push(Append { target: TopicPartition::new(table.spec.changelog.clone(), partition), records });
            }
        }
        changes
    }

    /// The sealed unit is durable.
    pub(crate) fn committed(&mut self) {
        self.shards_mut().for_each(Shard::committed);
    }

    /// Back to the last durable unit.
    pub(crate) fn roll_back(&mut self) {
        self.shards_mut().for_each(Shard::rollback);
    }

    pub(crate) fn health(&self, wanted: impl Fn(u32) -> bool) -> Vec<TableHealth> {
        let one = |table: &Table| {
            let name = table.spec.name.clone();
            let mut health = TableHealth { name, ready: 0, partitions: 0, done: 0, total: 0, restoring: Vec::new() };
            for (slot, partition) in table.slots.iter().zip(0..).filter(|(_, partition)| wanted(*partition)) {
                health.partitions += 1;
                match slot {
                    Slot::Missing | Slot::Failed { .. } => health.restoring.push((partition, 0, 0)),
                    Slot::Restoring { done, total, .. } => {
                        health.done += done;
                        health.total += total;
                        health.restoring.push((partition, *done, *total));
                    }
                    Slot::Ready(_) => health.ready += 1,
                }
            }
            health
        };
        self.tables.iter().map(one).collect()
    }
}
