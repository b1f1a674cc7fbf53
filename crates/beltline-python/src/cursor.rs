//! What a task works on right now, as tables see it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use beltline_engine::{Core, Ticket};
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
    /// When the last event was handed out; [`NOTHING`] for what no log takes back, and at the end of the stream.
    epoch: AtomicI64,
    /// Another number for each event, so that [`Within`] knows when one is over.
    number: AtomicU64,
    /// Of a task that was made in the middle of an event: which one.
    within: Option<Within>,
    stream: PyOnceLock<Py<PyWeakrefReference>>,
    /// What messages call the event of a task that iterates no stream.
    address: Option<String>,
}

/// An event of another cursor, for as long as that one has it in hand.
struct Within {
    cursor: Py<Cursor>,
    number: u64,
    epoch: Option<u32>,
}

/// The event in hand.
#[derive(Clone, Copy)]
pub struct InHand {
    pub partition: u32,
    epoch: Option<u32>,
}

impl InHand {
    /// Whether it is an event of a log, and no item of a queue.
    #[inline]
    pub fn comes_from_log(self) -> bool {
        self.epoch.is_some()
    }

    /// Whether it was taken back: nothing may be done with it any more.
    #[inline]
    pub fn is_taken_back(self, core: &Core) -> bool {
        core.has_taken_back() && self.epoch.is_some_and(|epoch| core.is_taken_back(epoch))
    }
}

impl Cursor {
    pub fn new() -> Cursor {
        let (in_hand, epoch) = (AtomicI64::new(NOTHING), AtomicI64::new(NOTHING));
        let (number, stream) = (AtomicU64::new(0), PyOnceLock::new());
        Cursor { in_hand, epoch, number, within: None, stream, address: None }
    }

    /// The cursor of a task that works on one event, without a stream.
    pub fn of_one(partition: u32, ticket: &Ticket, address: String) -> Cursor {
        let cursor = Cursor { address: Some(address), ..Cursor::new() };
        cursor.take_up(partition, ticket);
        cursor
    }

    /// The cursor of a task that is made by the one that has `cursor`: it shows the same until the event in hand is over,
    /// and nothing afterwards. `None` where that is so with `cursor` itself.
    pub fn within(cursor: &Bound<'_, Cursor>) -> Option<Cursor> {
        let this = cursor.get();
        if this.within.is_some() || this.address.is_some() {
            return None;
        }
        let within = Within {
            cursor: cursor.clone().unbind(),
            number: this.number.load(Ordering::Relaxed),
            epoch: this.epoch(),
        };
        Some(Cursor { within: Some(within), ..Cursor::new() })
    }

    /// The cursor that has the event in hand; `None` when that event is over.
    #[inline]
    fn live(&self) -> Option<&Cursor> {
        let Some(within) = &self.within else { return Some(self) };
        let cursor = within.cursor.get();
        (cursor.number.load(Ordering::Relaxed) == within.number).then_some(cursor)
    }

    /// Another event is in hand, or none; only the thread of the belt comes here.
    #[inline]
    fn hold(&self, in_hand: i64) {
        self.in_hand.store(in_hand, Ordering::Relaxed);
        self.number.store(self.number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// An event of this partition was taken up.
    #[inline]
    pub fn take_up(&self, partition: u32, ticket: &Ticket) {
        self.hold(partition.into());
        self.epoch.store(ticket.epoch().into(), Ordering::Relaxed);
    }

    /// The next event was taken up, or one of a list; it is as old as the one before.
    #[inline]
    pub fn move_to(&self, partition: u32) {
        self.hold(partition.into());
    }

    /// An item of a queue was taken up.
    pub fn take_item(&self, partition: Option<u32>) {
        self.hold(partition.map_or(BY_KEY, i64::from));
        self.epoch.store(NOTHING, Ordering::Relaxed);
    }

    /// Nothing is in hand any more, or a list of events is.
    #[inline]
    pub fn let_go(&self) {
        self.hold(NOTHING);
    }

    /// Nothing will be in hand any more.
    pub fn end(&self) {
        self.let_go();
        self.epoch.store(NOTHING, Ordering::Relaxed);
    }

    /// The partition of the event in hand.
    pub fn partition(&self) -> Option<u32> {
        u32::try_from(self.live()?.in_hand.load(Ordering::Relaxed)).ok()
    }

    /// The event in hand, if it has a partition.
    #[inline]
    pub fn in_hand(&self) -> Option<InHand> {
        let this = self.live()?;
        let partition = this.partition()?;
        Some(InHand { partition, epoch: u32::try_from(this.epoch.load(Ordering::Relaxed)).ok() })
    }

    /// When the event was handed out that is in hand, the last one of a list that is, or the one within which this task was
    /// made; `None` for what no log takes back.
    #[inline]
    pub fn epoch(&self) -> Option<u32> {
        match &self.within {
            Some(within) => within.epoch,
            None => u32::try_from(self.epoch.load(Ordering::Relaxed)).ok(),
        }
    }

    /// What messages call the event in hand.
    ///
    /// # Errors
    /// `RuntimeError` in another thread than the belt's.
    pub fn address(&self, py: Python<'_>) -> PyResult<Option<String>> {
        if self.address.is_some() {
            return Ok(self.address.clone());
        }
        if self.live().is_none() {
            return Ok(Some("the event within which this task was made".to_owned()));
        }
        let Some(stream) = self.stream(py) else { return Ok(None) };
        Ok(stream.get().message(py)?.map(|message| message.get().address()))
    }

    /// What a table shows to whoever has this.
    #[inline]
    pub fn sight(&self) -> Sight {
        let Some(this) = self.live() else { return Sight::All };
        match this.in_hand.load(Ordering::Relaxed) {
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
        let this = self.live()?;
        if this.in_hand.load(Ordering::Relaxed) == NOTHING {
            return None;
        }
        this.stream.get(py)?.bind(py).upgrade_as::<Stream>().ok().flatten()
    }
}
