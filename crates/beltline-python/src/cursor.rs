//! What a task works on right now, as tables see it.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::shard_access::Sight;
use crate::stream::Stream;

/// No event is in hand.
const NOTHING: i64 = -1;

/// An item of a queue that has no partition is in hand.
const BY_KEY: i64 = -2;

/// The context variable holds this and not the stream itself: a stream that its consumer has dropped should be gone, and
/// give its event back, however long the consumer's task still runs.
#[pyclass(frozen, module = "beltline._native")]
pub struct Cursor {
    in_hand: AtomicI64,
    stream: PyOnceLock<Py<PyWeakrefReference>>,
}

impl Cursor {
    pub fn new() -> Cursor {
        Cursor { in_hand: AtomicI64::new(NOTHING), stream: PyOnceLock::new() }
    }

    /// An event of this partition was taken up.
    #[inline]
    pub fn take_up(&self, partition: u32) {
        self.in_hand.store(partition.into(), Ordering::Relaxed);
    }

    /// An item of a queue was taken up.
    pub fn take_item(&self, partition: Option<u32>) {
        self.in_hand.store(partition.map_or(BY_KEY, i64::from), Ordering::Relaxed);
    }

    /// Nothing is in hand any more.
    #[inline]
    pub fn let_go(&self) {
        self.in_hand.store(NOTHING, Ordering::Relaxed);
    }

    /// The partition of the event in hand.
    pub fn partition(&self) -> Option<u32> {
        u32::try_from(self.in_hand.load(Ordering::Relaxed)).ok()
    }

    /// What a table shows to whoever has this.
    #[inline]
    pub fn sight(&self) -> Sight {
        match self.in_hand.load(Ordering::Relaxed) {
            BY_KEY => Sight::ByKey,
            partition => u32::try_from(partition).map_or(Sight::All, Sight::Shard),
        }
    }

    /// Remembers whose cursor this is.
    ///
    /// # Errors
    /// Only when memory is short.
    pub fn belong_to(&self, stream: &Bound<'_, Stream>) -> PyResult<()> {
        self.stream.get_or_try_init(stream.py(), || PyWeakrefReference::new(stream).map(Bound::unbind)).map(drop)
    }

    /// The stream, if it is still there and has an event in hand.
    pub fn stream<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Stream>> {
        if self.in_hand.load(Ordering::Relaxed) == NOTHING {
            return None;
        }
        self.stream.get(py)?.bind(py).upgrade_as::<Stream>().ok().flatten()
    }
}
