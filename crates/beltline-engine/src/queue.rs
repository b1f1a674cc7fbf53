//! The fetched batches of one partition, shared by all its subscriptions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Batch, Offset, OffsetRange, TopicPartition};

use crate::TopicId;

/// How far the core knows where to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nobody has asked the log yet.
    Nothing,
    /// The look-up with this number is on its way.
    Asked(u64),
    /// The position is known.
    Position,
}

#[derive(Debug)]
pub(crate) struct PartitionQueue {
    pub(crate) name: TopicPartition,
    pub(crate) topic: TopicId,
    pub(crate) known: Known,
    batches: VecDeque<Arc<Batch>>,
    /// Number of the batch at the front; numbers never repeat, so a ticket finds its batch by arithmetic.
    first_number: u64,
    bytes: usize,
    /// Offset the next fetch begins at.
    pub(crate) fetch_offset: Offset,
    /// The fetch that has not been answered.
    pub(crate) outstanding: Option<u64>,
    /// The last fetch found nothing.
    pub(crate) at_end: bool,
    pub(crate) range: Option<OffsetRange>,
    /// Position in the log's hands; where a rewind goes.
    pub(crate) committed: Offset,
    /// Position in the last sealed unit; the next unit carries the position only when it differs.
    pub(crate) sealed: Offset,
    /// Where the last reader left it.
    pub(crate) last_position: Offset,
    /// Who reads it: index of the subscription and of its lane.
    pub(crate) readers: Vec<(usize, usize)>,
    pub(crate) retry_at: Option<Duration>,
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// Exactly-once: how far readers may go before the next unit is sealed.
    pub(crate) drain_target: Offset,
    /// It came up while its reader ran, as a new topic of a pattern or a new partition.
    pub(crate) is_late: bool,
    /// The group gave it to us.
    pub(crate) held: bool,
    /// Ours, but others are to get it: no new events, no fetches.
    pub(crate) leaving: bool,
    /// Position and restored offsets when one of them last moved; what health calls a stall.
    pub(crate) seen: (Offset, u64),
    /// When that was, or when there was last nothing to read.
    pub(crate) seen_at: Duration,
}

impl PartitionQueue {
    pub(crate) fn new(name: TopicPartition, topic: TopicId) -> Self {
        PartitionQueue {
            name,
            topic,
            known: Known::Nothing,
            batches: VecDeque::new(),
            first_number: 0,
            bytes: 0,
            fetch_offset: 0,
            outstanding: None,
            at_end: false,
            range: None,
            committed: 0,
            sealed: 0,
            last_position: 0,
            readers: Vec::new(),
            retry_at: None,
            failures: 0,
            last_error: None,
            drain_target: 0,
            is_late: false,
            held: false,
            leaving: false,
            seen: (-1, 0),
            seen_at: Duration::ZERO,
        }
    }

    #[inline]
    pub(crate) fn batch(&self, number: u64) -> Option<&Arc<Batch>> {
        self.batches.get(number.checked_sub(self.first_number)? as usize)
    }

    /// Number the next batch will get.
    pub(crate) fn end_number(&self) -> u64 {
        self.first_number + self.batches.len() as u64
    }

    /// Number of the batch that holds `offset`, or of the next one to arrive.
    pub(crate) fn number_of(&self, offset: Offset) -> u64 {
        self.first_number + self.batches.partition_point(|batch| batch.next_offset() <= offset) as u64
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether events of it may be handed out and fetched.
    pub(crate) fn is_active(&self) -> bool {
        self.held && !self.leaving
    }

    /// Takes fetched batches in; those that were read before are left out. Offsets that hold nothing to read become part
    /// of the last batch, or a batch without records, so that positions pass over them. Says whether anything came.
    pub(crate) fn push(&mut self, mut batches: Vec<Batch>, next_offset: Offset) -> bool {
        let mut grown = false;
        match batches.last_mut() {
            Some(last) => last.extend_to(next_offset),
            None if next_offset > self.fetch_offset => batches.push(Batch::empty(self.fetch_offset, next_offset)),
            None => {}
        }
        for batch in batches {
            if batch.next_offset() <= self.fetch_offset {
                continue;
            }
            self.fetch_offset = batch.next_offset();
            self.bytes += batch.byte_len();
            self.batches.push_back(Arc::new(batch));
            grown = true;
        }
        grown
    }

    /// Lets batches before `position` go.
    pub(crate) fn trim(&mut self, position: Offset) {
        while let Some(front) = self.batches.front().filter(|front| front.next_offset() <= position) {
            self.bytes -= front.byte_len();
            self.first_number += 1;
            self.batches.pop_front();
        }
    }

    /// Drops everything fetched and goes back to `offset`.
    pub(crate) fn rewind(&mut self, offset: Offset) {
        self.first_number = self.end_number();
        self.batches.clear();
        self.bytes = 0;
        self.fetch_offset = offset;
        self.at_end = false;
        self.retry_at = None;
    }

    /// The partition is no longer ours: everything about it is looked up again when it comes back.
    pub(crate) fn forget(&mut self) {
        self.rewind(0);
        self.known = Known::Nothing;
        self.range = None;
        (self.committed, self.sealed, self.last_position, self.drain_target) = (0, 0, 0, 0);
        (self.held, self.leaving) = (false, false);
        self.succeed();
    }

    /// Whether everything known to exist was fetched.
    pub(crate) fn reached_end(&self) -> bool {
        self.known == Known::Position && self.range.is_some_and(|range| self.fetch_offset >= range.end)
    }

    /// Repeats after a pause that doubles from 100 ms to about 6 s.
    pub(crate) fn fail(&mut self, error: String, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + Duration::from_millis(100 << self.failures.saturating_sub(1).min(6)));
        self.last_error = Some(error);
    }

    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
        self.retry_at = None;
        self.last_error = None;
    }
}
