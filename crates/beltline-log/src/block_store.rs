//! The ordered store below the log.

use std::ops::ControlFlow;

use beltline_types::Result;

/// One of the two ordered maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Blocks of records.
    Blocks,
    /// Topics, offsets, the format.
    Meta,
}

/// A change of one key; `None` removes it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) space: Space,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Change {
    pub(crate) fn put(space: Space, key: impl Into<Vec<u8>>, value: Vec<u8>) -> Change {
        Change { space, key: key.into(), value: Some(value) }
    }

    pub(crate) fn remove(space: Space, key: impl Into<Vec<u8>>) -> Change {
        Change { space, key: key.into(), value: None }
    }
}

/// Is given keys and values, and says whether to go on.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Two ordered maps that change together. Readers see a change altogether or not at all.
pub(crate) trait BlockStore: Send + Sync {
    /// Makes all changes or none; with `durable` they survive a power failure when this returns.
    fn write(&self, changes: Vec<Change>, durable: bool) -> Result<()>;

    /// The value of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Visits keys from `from` on, before `to`, in order.
    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Visitor<'_>) -> Result<()>;

    /// The last key from `from` on and up to `to`, which is included.
    fn last_key(&self, space: Space, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Makes everything written so far survive a power failure.
    fn sync(&self) -> Result<()>;

    /// A power failure, where one can be had: what was not synced is gone.
    fn crash(&self) {}
}
