//! One shard of a table.

use beltline_codec::json;

use crate::entries::{Entries, Slot};
use crate::key::Canonical;
use crate::{Key, Value, ValueForm};

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
    layout: u32,
    /// First writes of the current unit.
    dirty: Vec<Undo>,
    dirty_bytes: usize,
    /// First writes of the units that are sealed and not committed, oldest first.
    in_flight: Vec<Undo>,
}

/// What a shard has to count from that takes the place of another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Succession {
    version: u64,
    layout: u32,
}

impl Succession {
    /// Beyond both.
    #[must_use]
    pub fn max(self, other: Succession) -> Succession {
        Succession { version: self.version.max(other.version), layout: self.layout.max(other.layout) }
    }
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

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Changes whenever a key appears, goes or moves: a [`Slot`] is good for as long as it stays the same, and so is an
    /// iteration.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What a shard that takes this one's place counts from: it must never look like this one.
    pub fn successor(&self) -> Succession {
        Succession { version: self.version + 1, layout: self.layout.wrapping_add(1) }
    }

    /// Takes the place of another shard.
    pub fn succeed(&mut self, before: Succession) {
        self.version = self.version.max(before.version);
        self.layout = self.layout.max(before.layout);
    }

    /// Changes when keys move: as long as it stays the same, a [`Slot`] belongs to the key it was found for, or is empty.
    #[inline]
    pub fn layout(&self) -> u32 {
        self.layout
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

    /// The first entry at `from` or behind it; go on from [`Slot::after`]. For those who cannot hold a borrow between two
    /// steps, as [`Shard::iter`] does.
    pub fn next_from(&self, from: Slot) -> Option<(Slot, Key<'_>, &Value)> {
        (from.0..self.entries.places()).find_map(|slot| {
            let entry = self.entries.get(slot)?;
            Some((Slot(slot), entry.key.view()?, entry.value.as_ref()?))
        })
    }

    /// Keys and values in the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, &Value)> {
        self.entries.iter().filter_map(|entry| Some((entry.key.view()?, entry.value.as_ref()?)))
    }

    /// Writes a new value to a key that is there; returns whether it was (a place may have gone stale: see
    /// [`Shard::version`]). This is the hot path of `table[key] += 1`.
    #[inline]
    pub fn set_slot(&mut self, slot: Slot, value: Value) -> bool {
        match self.entries.get(slot.0) {
            Some(entry) if entry.value.is_some() => self.write(slot.0, Some(value)),
            _ => return false,
        }
        true
    }

    /// Writes a value, whether or not the key is there; returns its place.
    pub fn insert(&mut self, key: Key<'_>, value: Value) -> Slot {
        let slot = match self.place(key) {
            Some(slot) => slot,
            None => self.push(key),
        };
        self.write(slot, Some(value));
        Slot(slot)
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: Key<'_>) -> Option<Value> {
        let slot = self.find(key)?;
        let value = self.value(slot).cloned();
        self.write(slot.0, None);
        value
    }

    /// Takes every key out.
    pub fn clear(&mut self) {
        for slot in 0..self.entries.places() {
            if self.entries.get(slot).is_some_and(|entry| entry.value.is_some()) {
                self.write(slot, None);
            }
        }
    }

    /// Number of keys written since the last [`Shard::seal`].
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Roughly how many changelog bytes they will need.
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// Moves what was written into the unit in flight: `each` is given the changelog key and value of every written key
    /// once, the last value, `None` where the key was removed. A key that came and went within the unit is left out.
    pub fn seal(&mut self, each: &mut impl FnMut(&[u8], Option<&[u8]>)) {
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        for undo in &self.dirty {
            let Some(entry) = self.entries.get_mut(undo.slot) else { continue };
            entry.dirty = false;
            let Some(key) = entry.key.view() else { continue };
            if entry.value.is_none() && undo.previous.is_none() {
                continue;
            }
            key_bytes.clear();
            key.encode(&mut key_bytes);
            let value = entry.value.as_ref().map(|value| {
                value_bytes.clear();
                value.encode(&mut value_bytes);
                &value_bytes[..]
            });
            each(&key_bytes, value);
        }
        self.in_flight.append(&mut self.dirty);
        self.dirty_bytes = 0;
    }

    /// What was sealed is durable: it cannot be undone any more.
    pub fn committed(&mut self) {
        for undo in std::mem::take(&mut self.in_flight) {
            self.free_if_gone(undo.slot);
        }
        if !self.entries.wants_squeeze() {
            return;
        }
        let places = self.entries.squeeze();
        for undo in &mut self.dirty {
            undo.slot = places.get(undo.slot).copied().unwrap_or(undo.slot);
        }
        self.version += 1;
        self.layout = self.layout.wrapping_add(1);
    }

    /// Back to what was last [`Shard::committed`]: undoes the current unit and the one in flight.
    pub fn rollback(&mut self) {
        let undone: Vec<Undo> = self.in_flight.drain(..).chain(self.dirty.drain(..)).rev().collect();
        let mut slots = Vec::with_capacity(undone.len());
        for undo in undone {
            let Some(entry) = self.entries.get_mut(undo.slot) else { continue };
            entry.dirty = false;
            let (had, has) = (entry.value.is_some(), undo.previous.is_some());
            entry.value = undo.previous;
            self.live = self.live + usize::from(has) - usize::from(had);
            slots.push(undo.slot);
        }
        slots.into_iter().for_each(|slot| self.free_if_gone(slot));
        self.dirty_bytes = 0;
        self.version += 1;
    }

    /// Takes in a record of the store or the changelog: no unit of ours wrote it, so it is neither sealed nor undone.
    /// Only for a shard nobody writes to yet.
    pub fn restore(&mut self, key_bytes: &[u8], value_bytes: Option<&[u8]>) {
        let canonical = Canonical::of(key_bytes);
        let place = self.entries.find(canonical.key());
        self.version += 1;
        match (place, value_bytes) {
            (Some(slot), Some(bytes)) => {
                let value = Value::decode(self.form, bytes);
                if let Some(entry) = self.entries.get_mut(slot) {
                    self.live += usize::from(entry.value.replace(value).is_none());
                }
            }
            (Some(slot), None) => {
                self.live -= usize::from(self.entries.get(slot).is_some_and(|entry| entry.value.is_some()));
                self.entries.free(slot);
            }
            (None, Some(bytes)) => {
                self.entries.push(canonical.key(), Some(Value::decode(self.form, bytes)));
                self.live += 1;
            }
            (None, None) => {}
        }
    }

    /// The place of a key, also of one that is removed and not committed.
    #[inline]
    fn place(&self, key: Key<'_>) -> Option<usize> {
        match key {
            Key::Encoded(bytes) => self.entries.find(Canonical::of(bytes).key()),
            Key::Text(text) => self.entries.find(key).or_else(|| self.place_of_foreign(text)),
            Key::Int(_) => self.entries.find(key),
        }
    }

    /// Text that another writer left in the changelog as plain UTF-8.
    #[inline]
    fn place_of_foreign(&self, text: &str) -> Option<usize> {
        if !self.entries.has_foreign_texts() || text.is_ascii() {
            return None;
        }
        let mut bytes = Vec::with_capacity(text.len() + 2);
        json::write_string_utf8(&mut bytes, text);
        self.entries.find(Key::Encoded(&bytes))
    }

    fn push(&mut self, key: Key<'_>) -> usize {
        match key {
            Key::Encoded(bytes) => self.entries.push(Canonical::of(bytes).key(), None),
            key => self.entries.push(key, None),
        }
    }

    /// The one place where a value changes: keeps the undo value, the count, the version and the bytes right.
    #[inline]
    fn write(&mut self, slot: usize, value: Option<Value>) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let weight = value.as_ref().map_or(0, Value::weight);
        let has = value.is_some();
        let previous = std::mem::replace(&mut entry.value, value);
        let had = previous.is_some();
        if has != had {
            self.live = self.live + usize::from(has) - usize::from(had);
            self.version += 1;
        }
        if entry.dirty {
            self.dirty_bytes = self.dirty_bytes + weight - previous.as_ref().map_or(0, Value::weight);
        } else {
            entry.dirty = true;
            self.dirty_bytes += weight + entry.key.view().map_or(0, Key::weight);
            self.dirty.push(Undo { slot, previous });
        }
    }

    /// Gives the place of a removed key back, unless the current unit may still need to undo the removal.
    fn free_if_gone(&mut self, slot: usize) {
        if self.entries.get(slot).is_some_and(|entry| entry.value.is_none() && !entry.dirty) {
            self.entries.free(slot);
        }
    }
}
