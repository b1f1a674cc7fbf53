//! One shard of a table.

use crate::entries::{Entries, Entry, Slot};
use crate::key::Canonical;
use crate::{Key, Value, ValueForm, json};

/// What a key held before a unit first wrote it.
#[derive(Debug)]
struct Undo {
    slot: usize,
    previous: Option<Value>,
}

/// The part of a table that belongs to one partition, in memory.
///
/// Iteration follows insertion. A key that is removed and written again before the removal is committed keeps its old
/// place; after a restart the order is that of the store. A single owner writes; nothing here locks.
#[derive(Debug, Default)]
pub struct Shard {
    form: ValueForm,
    entries: Entries,
    live: usize,
    version: u64,
    /// First writes of the current unit.
    dirty: Vec<Undo>,
    dirty_bytes: usize,
    /// First writes of the units that are sealed and not committed, oldest first.
    in_flight: Vec<Undo>,
}

impl Shard {
    /// An empty shard whose values are written to the changelog in `form`.
    pub fn new(form: ValueForm) -> Self {
        Shard { form, ..Shard::default() }
    }

    /// How the changelog writes the values.
    pub fn form(&self) -> ValueForm {
        self.form
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: Key<'_>) -> Option<&Value> {
        self.value(self.find(key)?)
    }

    /// The place of a key that is there, for [`Shard::value`] and [`Shard::set_slot`].
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<Slot> {
        let slot = self.place(key)?;
        self.entries.get(slot)?.value.as_ref()?;
        Some(Slot(slot))
    }

    /// The value at a place; `None` when nothing stands there.
    #[inline]
    pub fn value(&self, slot: Slot) -> Option<&Value> {
        self.entries.get(slot.0)?.value.as_ref()
    }

    /// The key at a place; `None` when nothing stands there.
    #[inline]
    pub fn key(&self, slot: Slot) -> Option<Key<'_>> {
        self.entries.get(slot.0).filter(|entry| entry.value.is_some())?.key.view()
    }

    /// Writes a new value to a key that is there; returns whether it was (a place may have gone stale: see
    /// [`Shard::version`]). This is the hot path of `table[key] += 1`.
    #[inline]
    pub fn set_slot(&mut self, slot: Slot, value: Value) -> bool {
        let Some(entry) = self.entries.get_mut(slot.0) else { return false };
        let Some(own) = &mut entry.value else { return false };
        let weight = value.weight();
        let previous = std::mem::replace(own, value);
        if entry.dirty {
            self.dirty_bytes = self.dirty_bytes + weight - previous.weight();
        } else {
            self.mark(slot.0, Some(previous));
        }
        true
    }

    /// Writes a value, whether or not the key is there; returns its place.
    pub fn insert(&mut self, key: Key<'_>, value: Value) -> Slot {
        let slot = match self.place(key) {
            Some(slot) => slot,
            None => {
                self.squeeze_if_worth();
                self.push(key)
            }
        };
        if self.set_slot(Slot(slot), value.clone_if_needed()) {
            return Slot(slot);
        }
        Slot(slot)
    }
}
