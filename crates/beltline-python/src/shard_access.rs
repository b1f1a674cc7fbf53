//! How a table reaches its shards: which of them, through which belt, and what is refused.

use std::sync::atomic::Ordering;

use beltline_engine::{Core, TableId};
use beltline_table::{Shard, Slot, Value};
use beltline_types::partition_of;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use crate::belt::Belt;
use crate::convert::{Given, OwnedKey, ValueKind};
use crate::errors::{raise, taken_back};
use crate::inner::{Inner, UNTOLD};
use crate::known_keys::KnownKeys;
use crate::raw::context;
use crate::raw::guarded::Hold;
use crate::table::Table;

/// The belt a table's shards belong to.
pub(crate) struct Attachment {
    pub(crate) belt: Py<Belt>,
    pub(crate) id: TableId,
    pub(crate) changelog: String,
    pub(crate) partitions: u32,
    pub(crate) known: KnownKeys,
}

/// What the task at hand may see of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// No event is in hand: all shards, to read.
    All,
    /// An event of this partition is in hand.
    Shard(u32),
    /// An item of a queue is in hand, which has no partition: the key decides.
    ByKey,
}

impl Table {
    pub fn is_opaque(&self) -> bool {
        self.codec.kind == ValueKind::Object
    }

    pub fn table_name(&self) -> &str {
        &self.name
    }

    /// Gives the table its shards.
    ///
    /// # Errors
    /// `ImproperlyConfigured` while it belongs to another belt that was not stopped.
    pub fn attach(
        &self,
        py: Python<'_>,
        belt: Py<Belt>,
        id: TableId,
        changelog: String,
        partitions: u32,
    ) -> PyResult<()> {
        let mut attachment = self.attachment.hold(py, "the table")?;
        if let Some(known) = &*attachment
            && !known.belt.is(&belt)
            && known.belt.get().enter(py).is_ok_and(|inner| inner.worker.is_some())
        {
            let message = format!("table {} belongs to another belt, which still runs", self.name);
            return Err(raise(py, "ImproperlyConfigured", message));
        }
        let old = attachment.replace(Attachment { belt, id, changelog, partitions, known: KnownKeys::default() });
        self.told_foreign.store(false, Ordering::Relaxed);
        drop(attachment);
        drop(old);
        Ok(())
    }

    /// Takes the belt in hand and calls `work` with it; nothing in there may call into Python.
    #[inline]
    pub(crate) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Inner, TableId, u32) -> R) -> PyResult<R> {
        let attachment: Hold<'_, Option<Attachment>> = self.attachment.hold(py, "the table")?;
        let Some(attached) = &*attachment else { return Err(self.unattached()) };
        let mut inner = attached.belt.get().enter(py)?;
        Ok(work(&mut inner, attached.id, attached.partitions))
    }

    /// As [`Table::with`], for what changes the table: refused in the middle of an event that was taken back.
    #[inline]
    pub(crate) fn change<R>(&self, py: Python<'_>, work: impl FnOnce(&mut Inner, TableId, u32) -> R) -> PyResult<R> {
        if !context::is_of_event(py) {
            self.tell_of_change_outside(py)?;
        }
        let unless_taken_back =
            |inner: &mut Inner, id, partitions| (!inner.is_taken_back(py)).then(|| work(inner, id, partitions));
        let changed = self.with(py, unless_taken_back)?;
        changed.ok_or_else(|| taken_back(py))
    }

    /// See [`Core::changed_outside`].
    #[cold]
    fn tell_of_change_outside(&self, py: Python<'_>) -> PyResult<()> {
        let number = context::task_number(py);
        let attachment: Hold<'_, Option<Attachment>> = self.attachment.hold(py, "the table")?;
        let Some(attached) = &*attachment else { return Err(self.unattached()) };
        let belt = attached.belt.get();
        let mut inner = belt.enter(py)?;
        if let Ok(core) = inner.core_mut() {
            core.changed_outside(number);
            if belt.shared.tell_senders() {
                // What this one has sent so far cannot be told from what others have.
                core.changed_outside(UNTOLD);
            }
        }
        Ok(())
    }

    #[cold]
    fn unattached(&self) -> PyErr {
        PyRuntimeError::new_err(format!("table {} has no content yet: the app has not started", self.name))
    }

    /// What the running task may see, from the stream it iterates.
    #[inline]
    pub fn sight(&self, py: Python<'_>) -> PyResult<Sight> {
        Ok(context::current(py)?.map_or(Sight::All, |cursor| cursor.get().sight()))
    }

    /// Reads a value out, so that it can be decoded without the belt in hand.
    #[inline]
    pub fn read(&self, py: Python<'_>, sight: Sight, key: &Given<'_>) -> PyResult<Option<Value>> {
        self.with(py, |inner, id, partitions| {
            let core = inner.core()?;
            match self.resolve(sight, key, partitions) {
                Sight::Shard(partition) => core.shard(id, partition)?.get(key.key()).cloned(),
                _ => shards(core, id, partitions).find_map(|shard| shard.get(key.key()).cloned()),
            }
        })
    }

    fn resolve(&self, sight: Sight, key: &Given<'_>, partitions: u32) -> Sight {
        if sight == Sight::ByKey { Sight::Shard(partition_of(&key.record_key(), partitions)) } else { sight }
    }

    /// The partition writes of this key go to.
    pub(crate) fn target(&self, py: Python<'_>, sight: Sight, key: &Given<'_>) -> PyResult<u32> {
        let partitions = self.with(py, |_, _, partitions| partitions)?;
        match self.resolve(sight, key, partitions) {
            Sight::Shard(partition) => Ok(partition),
            _ => Err(PyTypeError::new_err(format!(
                "table {} is written outside of an event; an entry belongs to the partition of an event: send one to a \
                 topic and write in its handler, or name the partition with set_in()",
                self.name
            ))),
        }
    }

    pub(crate) fn write(slf: &Bound<'_, Self>, partition: u32, key: &Given<'_>, value: Value) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let (written, is_new, partitions) = this.change(py, |inner, id, partitions| {
            let Some(shard) = inner.core_mut().ok().and_then(|core| core.shard_mut(id, partition)) else {
                return (false, false, partitions);
            };
            let known = shard.len();
            shard.insert(key.key(), value);
            (true, shard.len() > known, partitions)
        })?;
        if !written {
            return Err(this.no_shard(py, partition, partitions));
        }
        if is_new && this.on_foreign_key.is_some() && !this.told_foreign.load(Ordering::Relaxed) {
            Table::check_partition(slf, partition, key, partitions)?;
        }
        Ok(())
    }

    pub(crate) fn take(&self, py: Python<'_>, partition: u32, key: &Given<'_>) -> PyResult<Option<Value>> {
        let (found, partitions) = self.change(py, |inner, id, partitions| {
            let shard = inner.core_mut().ok().and_then(|core| core.shard_mut(id, partition));
            (shard.map(|shard| shard.remove(key.key())), partitions)
        })?;
        found.ok_or_else(|| self.no_shard(py, partition, partitions))
    }

    #[cold]
    fn no_shard(&self, py: Python<'_>, partition: u32, partitions: u32) -> PyErr {
        let name = &self.name;
        if partition >= partitions {
            let message = format!(
                "table {name} has {partitions} partitions and is written from partition {partition}; give the topic and \
                 the table the same number of partitions"
            );
            return raise(py, "ImproperlyConfigured", message);
        }
        PyRuntimeError::new_err(format!("table {name}: shard {partition} is not restored, or the app has stopped"))
    }

    /// Tells once about a key that other partitions may hold as well.
    #[cold]
    fn check_partition(slf: &Bound<'_, Self>, partition: u32, key: &Given<'_>, partitions: u32) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let expected = partition_of(&key.record_key(), partitions);
        let Some(callback) = &this.on_foreign_key else { return Ok(()) };
        if expected == partition || this.told_foreign.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let key = this.codec.key_to(py, &OwnedKey::from(key.key()))?;
        callback.call1(py, (slf, key, partition, expected)).map(drop)
    }

    /// The next entry at or behind a place, for iterators.
    pub fn next_entry(
        &self,
        py: Python<'_>,
        partition: u32,
        from: Slot,
    ) -> PyResult<Option<(Slot, OwnedKey, Value, u64)>> {
        self.with(py, |inner, id, _| {
            let shard = inner.core()?.shard(id, partition)?;
            let (slot, key, value) = shard.next_from(from)?;
            Some((slot, OwnedKey::from(key), value.clone(), shard.version()))
        })
    }

    /// Version of a shard's key set; 0 where there is none.
    pub fn version(&self, py: Python<'_>, partition: u32) -> PyResult<u64> {
        self.with(py, |inner, id, _| inner.core().and_then(|core| core.shard(id, partition)).map_or(0, Shard::version))
    }

    /// The partitions in sight.
    pub fn partitions_in(&self, py: Python<'_>, sight: Sight) -> PyResult<std::ops::Range<u32>> {
        let all = self.with(py, |_, _, partitions| partitions)?;
        Ok(match sight {
            Sight::Shard(partition) => partition..partition + 1,
            _ => 0..all,
        })
    }
}

fn shards(core: &Core, id: TableId, partitions: u32) -> impl Iterator<Item = &Shard> {
    (0..partitions).filter_map(move |partition| core.shard(id, partition))
}
