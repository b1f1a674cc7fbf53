//! The store in memory: for tests, and for the simulator's power failures.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_types::Result;

use crate::block_store::{BlockStore, Change, Space, Visitor};

/// Entries copied out under the lock at a time.
const PAGE: usize = 64;

type Map = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// A key and what it held before.
type Undo = (Space, Vec<u8>, Option<Arc<[u8]>>);

#[derive(Debug, Default)]
struct Maps {
    blocks: Map,
    meta: Map,
    /// What keys held at the last sync, oldest first.
    unsynced: Vec<Undo>,
}

impl Maps {
    fn of(&mut self, space: Space) -> &mut Map {
        match space {
            Space::Blocks => &mut self.blocks,
            Space::Meta => &mut self.meta,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    maps: Mutex<Maps>,
    /// Whether undo values are kept for [`BlockStore::crash`].
    can_crash: bool,
}

impl MemoryStore {
    pub(crate) fn that_can_crash() -> MemoryStore {
        MemoryStore { can_crash: true, ..MemoryStore::default() }
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockStore for MemoryStore {
    fn write(&self, changes: Vec<Change>, durable: bool) -> Result<()> {
        let mut maps = self.maps();
        for Change { space, key, value } in changes {
            let map = maps.of(space);
            let previous = match value {
                Some(value) => map.insert(key.clone(), value.into()),
                None => map.remove(&key),
            };
            if self.can_crash && !durable {
                maps.unsynced.push((space, key, previous));
            }
        }
        if durable {
            maps.unsynced.clear();
        }
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.maps().of(space).get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Visitor<'_>) -> Result<()> {
        // The lock is let go between pages, so that a visitor may write.
        let mut next = Some(from.to_vec());
        while let Some(start) = next.take() {
            let found: Vec<(Vec<u8>, Arc<[u8]>)> = {
                let mut maps = self.maps();
                let range = maps.of(space).range::<[u8], _>((Bound::Included(&start[..]), Bound::Excluded(to)));
                range.take(PAGE).map(|(key, value)| (key.clone(), value.clone())).collect()
            };
            for (key, value) in &found {
                if each(key, value) == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            if found.len() == PAGE {
                next = found.last().map(|(key, _)| [&key[..], &[0]].concat());
            }
        }
        Ok(())
    }

    fn last_key(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut maps = self.maps();
        let mut range = maps.of(space).range::<[u8], _>((Bound::Included(from), Bound::Included(to)));
        Ok(range.next_back().map(|(key, _)| key.clone()))
    }

    fn sync(&self) -> Result<()> {
        self.maps().unsynced.clear();
        Ok(())
    }

    fn crash(&self) {
        let mut maps = self.maps();
        for (space, key, previous) in std::mem::take(&mut maps.unsynced).into_iter().rev() {
            let map = maps.of(space);
            match previous {
                Some(value) => drop(map.insert(key, value)),
                None => drop(map.remove(&key)),
            }
        }
    }
}
