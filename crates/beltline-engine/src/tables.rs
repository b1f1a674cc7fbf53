//! The shards of all tables and whether they are complete.

use beltline_table::Shard;
use beltline_types::{Append, BatchBuilder, TopicPartition};

use crate::protocol::TableChange;
use crate::{TableId, TableSpec};

#[derive(Debug)]
enum Slot {
    /// Nobody was asked to restore it yet.
    Missing,
    /// On its way.
    Restoring { done: u64, total: u64 },
    /// Complete.
    Ready(Box<Shard>),
}

#[derive(Debug)]
struct Table {
    spec: TableSpec,
    slots: Vec<Slot>,
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
    /// Shards that are complete, of all.
    pub ready: u32,
    /// Number of shards.
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
        self.tables.push(Table { spec, slots });
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

    /// Shards nobody was asked for, marked as asked for.
    pub(crate) fn take_missing(&mut self) -> Vec<(TableId, u32)> {
        let mut missing = Vec::new();
        for (index, table) in self.tables.iter_mut().enumerate() {
            for (partition, slot) in table.slots.iter_mut().enumerate() {
                if matches!(slot, Slot::Missing) {
                    *slot = Slot::Restoring { done: 0, total: 0 };
                    missing.push((TableId(index as u32), partition as u32));
                }
            }
        }
        missing
    }

    pub(crate) fn progress(&mut self, id: TableId, partition: u32, done: u64, total: u64) {
        let slot = self.tables.get_mut(id.index()).and_then(|table| table.slots.get_mut(partition as usize));
        if let Some(slot @ Slot::Restoring { .. }) = slot {
            *slot = Slot::Restoring { done, total };
        }
    }

    pub(crate) fn restored(&mut self, id: TableId, partition: u32, shard: Shard) {
        let slot = self.tables.get_mut(id.index()).and_then(|table| table.slots.get_mut(partition as usize));
        if let Some(slot @ (Slot::Missing | Slot::Restoring { .. })) = slot {
            *slot = Slot::Ready(Box::new(shard));
        }
    }

    /// The first table whose shard `partition` is not complete.
    pub(crate) fn waiting_for(&self, partition: u32) -> Option<&TableSpec> {
        let incomplete =
            |table: &&Table| table.slots.get(partition as usize).is_some_and(|slot| !matches!(slot, Slot::Ready(_)));
        self.tables.iter().find(incomplete).map(|table| &table.spec)
    }

    pub(crate) fn all_ready(&self) -> bool {
        self.tables.iter().flat_map(|table| &table.slots).all(|slot| matches!(slot, Slot::Ready(_)))
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

    pub(crate) fn health(&self) -> Vec<TableHealth> {
        let one = |table: &Table| {
            let name = table.spec.name.clone();
            let partitions = table.spec.partitions;
            let mut health = TableHealth { name, ready: 0, partitions, done: 0, total: 0, restoring: Vec::new() };
            for (slot, partition) in table.slots.iter().zip(0..) {
                match slot {
                    Slot::Missing => health.restoring.push((partition, 0, 0)),
                    Slot::Restoring { done, total } => {
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
