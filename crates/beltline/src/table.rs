//! Tables as handlers see them: typed maps over shards.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use beltline_engine::{Core, TableId};
use beltline_table::Shard;
use beltline_types::{Error, ErrorKind, Result, partition_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::belt::Shared;
use crate::{TableKey, json};

/// A table's name and types; made by [`crate::App::table`], read and written through [`crate::Belt::table`].
pub struct Table<K, V> {
    pub(crate) index: usize,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    pub(crate) fn new(index: usize) -> Self {
        Table { index, types: PhantomData }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Table").field(&self.index).finish()
    }
}

/// A table at this moment: one shard while an event is worked on, otherwise all of them, to read.
pub struct TableView<'a, K, V> {
    core: &'a mut Core,
    shared: &'a mut Shared,
    index: usize,
    partition: Option<u32>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<'a, K, V> TableView<'a, K, V> {
    pub(crate) fn new(core: &'a mut Core, shared: &'a mut Shared, index: usize, partition: Option<u32>) -> Self {
        TableView { core, shared, index, partition, types: PhantomData }
    }

    fn id(&self) -> Result<TableId> {
        self.shared.tables.get(self.index).copied().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "this table was declared for another app; declare it with this app's `table`")
        })
    }

    /// The shards that can be read here.
    fn shards(&self) -> Result<impl Iterator<Item = &Shard>> {
        let id = self.id()?;
        let count = self.core.table_spec(id).map_or(0, |spec| spec.partitions);
        let (first, last) = self.partition.map_or((0, count), |partition| (partition, partition + 1));
        Ok((first..last).filter_map(move |partition| self.core.shard(id, partition)))
    }

    fn writable(&mut self) -> Result<(&mut Shard, u32)> {
        let id = self.id()?;
        let Some(partition) = self.partition else {
            let name = self.name(id);
            let message = format!(
                "table {name} is written outside of an event; an entry belongs to the partition of an event: send one to \
                 a topic instead, and write in its handler"
            );
            return Err(Error::new(ErrorKind::Usage, message));
        };
        if self.core.shard(id, partition).is_none() {
            let (name, count) = (self.name(id), self.core.table_spec(id).map_or(0, |spec| spec.partitions));
            let message = format!(
                "table {name} has {count} partitions and the event comes from partition {partition}; give the topic and \
                 the table the same number of partitions"
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let shard = self.core.shard_mut(id, partition).ok_or_else(|| Error::new(ErrorKind::Internal, "no shard"))?;
        Ok((shard, partition))
    }

    fn name(&self, id: TableId) -> String {
        self.core.table_spec(id).map_or_else(String::new, |spec| spec.name.to_string())
    }

    /// Number of entries that can be read here.
    ///
    /// # Errors
    /// `Usage` for a table of another app.
    pub fn len(&self) -> Result<usize> {
        Ok(self.shards()?.map(Shard::len).sum())
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    /// `Usage` for a table of another app.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
}

impl<'a, K: TableKey, V: Serialize + DeserializeOwned> TableView<'a, K, V> {
    /// The value of a key.
    ///
    /// # Errors
    /// `Decode` when what is stored is no `V`.
    pub fn get(&self, key: &K::Borrowed) -> Result<Option<V>> {
        for shard in self.shards()? {
            if let Some(value) = K::with_key(key, |key| shard.get(key)) {
                return json::from_value(value).map(Some).map_err(|error| self.no_value(error));
            }
        }
        Ok(None)
    }

    /// Keys and values in the order of insertion, partition after partition; a copy.
    ///
    /// # Errors
    /// `Decode` when what is stored is no `K` or no `V`.
    pub fn entries(&self) -> Result<Vec<(K, V)>> {
        let mut entries = Vec::with_capacity(self.len()?);
        for (key, value) in self.shards()?.flat_map(Shard::iter) {
            let key = K::from_key(key).ok_or_else(|| {
                let message = format!("table {} holds the key {key:?}, which is no {}", self.label(), type_name::<K>());
                Error::new(ErrorKind::Decode, message)
            })?;
            entries.push((key, json::from_value(value).map_err(|error| self.no_value(error))?));
        }
        Ok(entries)
    }

    /// Writes a value.
    ///
    /// # Errors
    /// `Usage` outside of an event, or when the value cannot be written as JSON.
    pub fn insert(&mut self, key: &K::Borrowed, value: &V) -> Result<()> {
        let value = json::to_value(value).map_err(|error| not_json(&self.label(), error))?;
        let (shard, _) = self.writable()?;
        let known = shard.len();
        K::with_key(key, |key| shard.insert(key, value));
        if shard.len() > known {
            self.check_partition(key);
        }
        Ok(())
    }

    /// Takes an entry out; says whether it was there.
    ///
    /// # Errors
    /// `Usage` outside of an event.
    pub fn remove(&mut self, key: &K::Borrowed) -> Result<bool> {
        let (shard, _) = self.writable()?;
        Ok(K::with_key(key, |key| shard.remove(key)).is_some())
    }

    /// An entry to change in place, with the default where there is none; it is written when the guard is dropped.
    ///
    /// # Errors
    /// `Usage` outside of an event, `Decode` when what is stored is no `V`.
    pub fn entry<'k>(mut self, key: &'k K::Borrowed) -> Result<Entry<'a, 'k, K, V>>
    where
        V: Default,
    {
        self.writable()?;
        let value = self.get(key)?.unwrap_or_default();
        Ok(Entry { view: self, key, value, changed: false })
    }

    /// Tells once per table about a key that other partitions may hold as well.
    fn check_partition(&mut self, key: &K::Borrowed) {
        let Some(told) = self.shared.warned.get_mut(self.index).filter(|told| !**told) else { return };
        let (Some(partition), Some(bytes)) = (self.partition, K::record_key(key)) else { return };
        let Some(spec) = self.shared.tables.get(self.index).and_then(|id| self.core.table_spec(*id)) else { return };
        let expected = partition_of(&bytes, spec.partitions);
        if expected != partition {
            *told = true;
            self.shared.notices.push(format!(
                "table {}: the key {} was written from partition {partition}, its hash maps to {expected}: events of one \
                 key come from several partitions, and each holds a part of the result; bring them together with `by`",
                spec.name,
                String::from_utf8_lossy(&bytes)
            ));
        }
    }

    fn label(&self) -> String {
        self.id().map_or_else(|_| String::new(), |id| self.name(id))
    }

    fn no_value(&self, error: serde_json::Error) -> Error {
        let message = format!("table {} holds a value that is no {}", self.label(), type_name::<V>());
        Error::new(ErrorKind::Decode, message).with_source(error)
    }
}

/// One entry, changed in place; see [`TableView::entry`].
pub struct Entry<'a, 'k, K: TableKey, V: Serialize + DeserializeOwned> {
    view: TableView<'a, K, V>,
    key: &'k K::Borrowed,
    value: V,
    changed: bool,
}

impl<K: TableKey, V: Serialize + DeserializeOwned> Deref for Entry<'_, '_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<K: TableKey, V: Serialize + DeserializeOwned> DerefMut for Entry<'_, '_, K, V> {
    fn deref_mut(&mut self) -> &mut V {
        self.changed = true;
        &mut self.value
    }
}

impl<K: TableKey, V: Serialize + DeserializeOwned> Drop for Entry<'_, '_, K, V> {
    /// Writes the value back; should that fail, the handler's event counts as failed.
    fn drop(&mut self) {
        if self.changed
            && let Err(error) = self.view.insert(self.key, &self.value)
        {
            self.view.shared.pending.get_or_insert(error);
        }
    }
}

fn not_json(table: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("a value for table {table} cannot be written as JSON")).with_source(error)
}

fn type_name<T>() -> &'static str {
    std::any::type_name::<T>()
}
