//! One subscription's way through one partition: a cursor and the set of events in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Batch, Offset};

use crate::queue::PartitionQueue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A handler has it.
    Handed,
    /// Given back unfinished; will be handed out again.
    Returned,
    /// Finished, but an earlier one is not.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    offset: Offset,
    batch: u64,
    index: u32,
    state: State,
}

/// Where a record is found: the number of its batch and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: Offset,
    pub(crate) batch: u64,
    pub(crate) index: u32,
}

/// What [`Lane::finish`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// No such event is in flight here.
    Unknown,
    /// Finished; the position stays within its batch.
    Counted,
    /// Finished, and the position left a batch: memory may be free.
    LeftBatch,
}

#[derive(Debug)]
pub(crate) struct Lane {
    /// Index of the partition's queue.
    pub(crate) queue: usize,
    /// Number of the partition, to find shards.
    pub(crate) partition: u32,
    /// Whether new events may be handed out: the partition is ours and its shards are there.
    pub(crate) ready: bool,
    /// Its topic is gone: it is no way any more until the topic comes back.
    pub(crate) is_closed: bool,
    /// The partition goes to others: events are handed out only up to where the fastest reader was.
    pub(crate) leaving: bool,
    /// Tickets of before this epoch are stale.
    pub(crate) valid_from: u32,
    current: Option<Arc<Batch>>,
    count: u32,
    index: u32,
    batch: u64,
    next_offset: Offset,
    /// Sorted by offset; the front is never `Done`.
    in_flight: VecDeque<InFlight>,
    returned: VecDeque<Place>,
    unfinished: usize,
    front_since: Duration,
}

impl Lane {
    pub(crate) fn new(queue: usize, partition: u32) -> Self {
        Lane {
            queue,
            partition,
            ready: false,
            is_closed: false,
            leaving: false,
            valid_from: 0,
            current: None,
            count: 0,
            index: 0,
            batch: 0,
            next_offset: 0,
            in_flight: VecDeque::new(),
            returned: VecDeque::new(),
            unfinished: 0,
            front_since: Duration::ZERO,
        }
    }

    /// Forgets everything in flight and goes to `offset`, whose batch is found in `queue` or will arrive there.
    pub(crate) fn seek(&mut self, queue: &PartitionQueue, offset: Offset) {
        self.close();
        self.batch = queue.number_of(offset);
        self.next_offset = offset;
    }

    /// Lets go of everything: nobody reads here any more.
    pub(crate) fn close(&mut self) {
        self.current = None;
        self.count = 0;
        self.index = 0;
        self.in_flight.clear();
        self.returned.clear();
        self.unfinished = 0;
    }

    /// The lowest offset that must be read again after a crash.
    #[inline]
    pub(crate) fn position(&self) -> Offset {
        self.in_flight.front().map_or(self.next_offset, |first| first.offset)
    }

    /// The offset after the last event that was handed out.
    #[inline]
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Events given back that nobody has taken again.
    pub(crate) fn returned(&self) -> usize {
        self.returned.len()
    }

    /// Whether a ticket handed out in this epoch may still count; epochs wrap.
    #[inline]
    pub(crate) fn knows(&self, epoch: u32) -> bool {
        epoch.wrapping_sub(self.valid_from) as i32 >= 0
    }

    /// Whether the lane may give out its next event, given where a drain ends.
    pub(crate) fn may_hand_out(&self, limited: bool, drain_target: Offset) -> bool {
        if self.ready && !limited {
            return true;
        }
        (self.ready || self.leaving) && self.next_offset < drain_target
    }

    /// Passes over batches without records, so that the position follows the log where there is nothing to do.
    pub(crate) fn pass_empty(&mut self, queue: &PartitionQueue) {
        while !self.loaded()
            && let Some(batch) = queue.batch(self.batch).filter(|batch| batch.is_empty())
        {
            self.batch += 1;
            self.next_offset = self.next_offset.max(batch.next_offset());
        }
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Offset of the oldest unfinished event, and since when it holds the position back.
    pub(crate) fn oldest(&self) -> Option<(Offset, Duration)> {
        self.in_flight.front().map(|first| (first.offset, self.front_since))
    }

    /// Whether [`Lane::step`] has a record to give.
    #[inline]
    pub(crate) fn loaded(&self) -> bool {
        self.index < self.count
    }

    /// Whether the queue holds a batch that was not read to its end.
    pub(crate) fn has_batch(&self, queue: &PartitionQueue) -> bool {
        queue.batch(self.batch).is_some()
    }

    /// Makes the next record of the queue current; says whether there is one.
    pub(crate) fn load(&mut self, queue: &PartitionQueue) -> bool {
        while !self.loaded() {
            let Some(batch) = queue.batch(self.batch) else { return false };
            let index = batch.index_of(self.next_offset);
            if index == batch.len() {
                self.batch += 1;
                self.next_offset = self.next_offset.max(batch.next_offset());
                continue;
            }
            self.count = batch.len() as u32;
            self.index = index as u32;
            self.current = Some(Arc::clone(batch));
        }
        true
    }

    /// Takes the current record; the caller has seen that the lane is loaded.
    #[inline]
    pub(crate) fn step(&mut self, now: Duration) -> Option<Place> {
        let batch = self.current.as_ref()?;
        let place = Place { offset: batch.offset(self.index as usize), batch: self.batch, index: self.index };
        self.index += 1;
        self.next_offset = place.offset + 1;
        if self.index == self.count {
            self.next_offset = batch.next_offset();
            self.batch += 1;
            self.count = 0;
            self.index = 0;
            self.current = None;
        }
        if self.in_flight.is_empty() {
            self.front_since = now;
        }
        let Place { offset, batch, index } = place;
        self.in_flight.push_back(InFlight { offset, batch, index, state: State::Handed });
        self.unfinished += 1;
        Some(place)
    }

    /// [`Lane::finish`] and [`Lane::step`] in one, for the only event in flight and when neither leaves the batch: its
    /// entry is written over. Returns offset and index of the next event; `None` changes nothing.
    // A result this large would go through memory, which costs more than everything else in here.
    #[inline(always)]
    pub(crate) fn advance(&mut self, offset: Offset, now: Duration) -> Option<(Offset, u32)> {
        let index = self.index;
        if index + 1 >= self.count || self.in_flight.len() != 1 {
            return None;
        }
        let only = self.in_flight.front_mut()?;
        if only.offset != offset || only.state != State::Handed || only.batch != self.batch {
            return None;
        }
        let next = self.current.as_ref()?.offset(index as usize);
        only.offset = next;
        only.index = index;
        self.index = index + 1;
        self.next_offset = next + 1;
        self.front_since = now;
        Some((next, index))
    }

    /// Marks an event as finished and moves the position as far as it goes.
    #[inline]
    pub(crate) fn finish(&mut self, offset: Offset, now: Duration) -> Finished {
        let Some(front) = self.in_flight.front() else { return Finished::Unknown };
        if front.offset != offset {
            return self.finish_behind(offset);
        }
        if front.state != State::Handed {
            return Finished::Unknown;
        }
        let batch = front.batch;
        self.in_flight.pop_front();
        self.unfinished -= 1;
        while self.in_flight.front().is_some_and(|next| next.state == State::Done) {
            self.in_flight.pop_front();
        }
        self.front_since = now;
        let reached = self.in_flight.front().map_or(self.batch, |next| next.batch);
        if reached == batch { Finished::Counted } else { Finished::LeftBatch }
    }

    fn finish_behind(&mut self, offset: Offset) -> Finished {
        match self.find(offset) {
            Some(entry) if entry.state == State::Handed => {
                entry.state = State::Done;
                self.unfinished -= 1;
                Finished::Counted
            }
            _ => Finished::Unknown,
        }
    }

    fn find(&mut self, offset: Offset) -> Option<&mut InFlight> {
        let index = self.in_flight.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
        self.in_flight.get_mut(index)
    }

    /// Takes an unfinished event back; says whether it was in flight.
    pub(crate) fn give_back(&mut self, offset: Offset) -> bool {
        let Some(entry) = self.find(offset).filter(|entry| entry.state == State::Handed) else { return false };
        entry.state = State::Returned;
        let place = Place { offset, batch: entry.batch, index: entry.index };
        let at = self.returned.partition_point(|other| other.offset < offset);
        self.returned.insert(at, place);
        true
    }

    /// Hands out the oldest event that was given back.
    pub(crate) fn take_returned(&mut self) -> Option<Place> {
        let place = self.returned.pop_front()?;
        if let Some(entry) = self.find(place.offset) {
            entry.state = State::Handed;
        }
        Some(place)
    }

    /// The log lost records: goes on at `offset` if everything before was handed out.
    pub(crate) fn skip_to(&mut self, queue: &PartitionQueue, offset: Offset) {
        if !self.loaded() && self.batch == queue.end_number() {
            self.next_offset = offset;
        }
    }
}
