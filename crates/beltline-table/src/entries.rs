//! The entries of a shard in insertion order, and the index that finds them.

use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::key::StoredKey;
use crate::{Key, Value};

/// Fewer holes than this are never worth a squeeze.
const MIN_HOLES: usize = 64;

/// Where an entry stands in its shard; valid as long as the shard's version stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub(crate) usize);

impl Slot {
    /// Before or at the first entry: where to start stepping with [`crate::Shard::next_from`].
    pub const FIRST: Slot = Slot(0);

    /// The place after this one, which may be empty.
    #[must_use]
    pub fn after(self) -> Slot {
        Slot(self.0 + 1)
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: StoredKey,
    /// `None`: removed, but the removal is not committed yet (or a hole).
    pub(crate) value: Option<Value>,
    hash: u64,
    /// Written in the current unit.
    pub(crate) dirty: bool,
}

/// Insertion-ordered entries with a hash index.
///
/// A removed entry keeps its key and place until its removal is committed, so undoing needs no search.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    index: HashTable<usize>,
    /// Seeded per shard: keys come from outside, nobody should be able to choose colliding ones. Order never
    /// depends on it.
    hasher: RandomState,
    holes: usize,
    foreign_texts: usize,
    /// The entry found last: reading and then writing the same key is the most common thing done to a table.
    /// Atomic only so that a shard may be shared for reading.
    memo: AtomicUsize,
}

impl Entries {
    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<&Entry> {
        self.list.get(slot)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.list.get_mut(slot)
    }

    /// Number of places, holes included.
    pub(crate) fn places(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.list.iter()
    }

    /// The place of a canonical key, also when it is removed and not committed.
    #[inline]
    pub(crate) fn find(&self, key: Key<'_>) -> Option<usize> {
        let memo = self.memo.load(Ordering::Relaxed);
        if self.list.get(memo).is_some_and(|entry| entry.key.is(key)) {
            return Some(memo);
        }
        let hash = key.hash(&self.hasher);
        let list = &self.list;
        let slot = self.index.find(hash, |slot| list.get(*slot).is_some_and(|entry| entry.key.is(key))).copied()?;
        self.memo.store(slot, Ordering::Relaxed);
        Some(slot)
    }

    /// Whether some key is a JSON string in a form of its own.
    pub(crate) fn has_foreign_texts(&self) -> bool {
        self.foreign_texts > 0
    }

    /// Adds an entry for a key that is not there.
    pub(crate) fn push(&mut self, key: Key<'_>, value: Option<Value>) -> usize {
        let hash = key.hash(&self.hasher);
        let slot = self.list.len();
        let key = StoredKey::new(key);
        self.foreign_texts += usize::from(key.is_foreign_text());
        self.list.push(Entry { key, value, hash, dirty: false });
        let list = &self.list;
        self.index.insert_unique(hash, slot, |slot| list.get(*slot).map_or(0, |entry| entry.hash));
        slot
    }

    /// Turns an entry into a hole; places of other entries stay.
    pub(crate) fn free(&mut self, slot: usize) {
        let Some(entry) = self.list.get_mut(slot).filter(|entry| !entry.key.is_hole()) else { return };
        if let Ok(found) = self.index.find_entry(entry.hash, |other| *other == slot) {
            found.remove();
        }
        self.foreign_texts -= usize::from(entry.key.is_foreign_text());
        entry.key = StoredKey::Hole;
        entry.value = None;
        entry.dirty = false;
        self.holes += 1;
    }

    /// Whether more places are empty than used.
    pub(crate) fn wants_squeeze(&self) -> bool {
        self.holes >= MIN_HOLES && self.holes > self.list.len() / 2
    }

    /// Closes the holes; returns the new place of every old one.
    pub(crate) fn squeeze(&mut self) -> Vec<usize> {
        let mut places = Vec::with_capacity(self.list.len());
        let mut next = 0;
        for entry in &self.list {
            places.push(next);
            next += usize::from(!entry.key.is_hole());
        }
        self.list.retain(|entry| !entry.key.is_hole());
        self.list.shrink_to(2 * self.list.len());
        self.index.clear();
        for (slot, entry) in self.list.iter().enumerate() {
            self.index.insert_unique(entry.hash, slot, |slot| self.list.get(*slot).map_or(0, |entry| entry.hash));
        }
        self.holes = 0;
        places
    }
}
