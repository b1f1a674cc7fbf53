//! Where produced records went, as the brokers answer.

use beltline_types::{Appended, Offset};

use crate::raw::client::Delivery;
use crate::raw::code::Code;

/// Bits of a tag: the unit's number, the append's place in it, the record's place in the append.
const RECORD_BITS: u32 = 28;
const APPEND_BITS: u32 = 20;
const UNIT_BITS: u32 = 64 - RECORD_BITS - APPEND_BITS;

/// Most appends of one unit, and most records of one append.
pub(crate) const MOST_APPENDS: usize = 1 << APPEND_BITS;
pub(crate) const MOST_RECORDS: usize = 1 << RECORD_BITS;

/// In the place of an offset that nobody knows.
const UNKNOWN: Offset = -1;

/// A record that the brokers did not take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) append: usize,
    pub(crate) record: usize,
    pub(crate) code: Code,
}

/// Offsets of one append, as they come in.
#[derive(Debug, Default)]
struct Answers {
    base_offset: Offset,
    answered: usize,
    /// Kept only where the offsets are not in a row.
    offsets: Option<Vec<Offset>>,
}

/// The answers for one unit.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    unit: u64,
    appends: Vec<Answers>,
    /// Records without an answer yet.
    open: usize,
    refused: Option<Refused>,
}

impl Deliveries {
    /// Forgets what was and waits for a unit with so many appends.
    pub(crate) fn begin(&mut self, appends: usize) {
        self.unit = (self.unit + 1) & ((1 << UNIT_BITS) - 1);
        self.appends.clear();
        self.appends.resize_with(appends, Answers::default);
        self.open = 0;
        self.refused = None;
    }

    /// The tag of a record that is about to be produced.
    pub(crate) fn tag(&self, append: usize, record: usize) -> usize {
        (self.unit << (APPEND_BITS + RECORD_BITS)) as usize | append << RECORD_BITS | record
    }

    /// So many more records were produced.
    pub(crate) fn expect(&mut self, records: usize) {
        self.open += records;
    }

    /// An answer.
    pub(crate) fn take(&mut self, delivery: Delivery) {
        let tag = delivery.tag;
        let append = tag >> RECORD_BITS & (MOST_APPENDS - 1);
        let record = tag & (MOST_RECORDS - 1);
        // Answers for an earlier unit that was given up come late.
        if (tag >> (APPEND_BITS + RECORD_BITS)) as u64 != self.unit || append >= self.appends.len() {
            return;
        }
        self.open = self.open.saturating_sub(1);
        if delivery.code.is_error() {
            self.refused.get_or_insert(Refused { append, record, code: delivery.code });
            return;
        }
        let answers = &mut self.appends[append];
        // With acks=0 brokers do not say where a record went.
        let offset = delivery.offset.max(UNKNOWN);
        if record == 0 {
            answers.base_offset = offset;
        }
        let expected = answers.base_offset + record as Offset;
        let in_row = answers.answered == record && offset == expected;
        if !in_row && answers.offsets.is_none() {
            let base = answers.base_offset;
            answers.offsets = Some((0..answers.answered as Offset).map(|index| base + index).collect());
        }
        if let Some(offsets) = &mut answers.offsets {
            offsets.resize(offsets.len().max(record + 1), offset);
            offsets[record] = offset;
        }
        answers.answered += 1;
    }

    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Whether each record was answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.open == 0
    }

    /// Where each append went.
    pub(crate) fn appended(&mut self) -> Vec<Appended> {
        self.appends
            .drain(..)
            .map(|answers| {
                let last = answers.offsets.as_ref().and_then(|offsets| offsets.last().copied());
                let next_offset = last.map_or(answers.base_offset + answers.answered as Offset, |last| last + 1);
                let base_offset = answers.offsets.as_ref().and_then(|offsets| offsets.first().copied());
                Appended {
                    base_offset: base_offset.unwrap_or(answers.base_offset),
                    next_offset,
                    offsets: answers.offsets,
                    stamped_ms: None,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(deliveries: &mut Deliveries, append: usize, record: usize, offset: Offset) {
        let tag = deliveries.tag(append, record);
        deliveries.take(Delivery { tag, offset, code: Code::NONE });
    }

    #[test]
    fn offsets_in_a_row_are_not_listed_and_others_are() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(2);
        deliveries.expect(6);
        for record in 0..3 {
            answer(&mut deliveries, 0, record, 10 + record as Offset);
        }
        answer(&mut deliveries, 1, 0, 5);
        answer(&mut deliveries, 1, 1, 6);
        answer(&mut deliveries, 1, 2, 9);
        assert!(deliveries.is_complete());
        let appended = deliveries.appended();
        assert_eq!(appended[0], Appended::contiguous(10, 3));
        assert_eq!(
            appended[1],
            Appended { base_offset: 5, next_offset: 10, offsets: Some(vec![5, 6, 9]), stamped_ms: None }
        );
    }

    #[test]
    fn offsets_that_nobody_knows_are_all_the_same() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(1);
        deliveries.expect(3);
        for record in 0..3 {
            answer(&mut deliveries, 0, record, -1001);
        }
        let appended = deliveries.appended();
        assert_eq!((appended[0].base_offset, appended[0].offset(0), appended[0].offset(2)), (-1, -1, -1));
    }

    #[test]
    fn an_answer_for_a_unit_that_was_given_up_is_dropped() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(1);
        let old = deliveries.tag(0, 0);
        deliveries.begin(1);
        deliveries.expect(1);
        deliveries.take(Delivery { tag: old, offset: 1, code: Code::NONE });
        assert!(!deliveries.is_complete());
        answer(&mut deliveries, 0, 0, 2);
        assert!(deliveries.is_complete());
    }

    #[test]
    fn the_first_refusal_is_kept() {
        let mut deliveries = Deliveries::default();
        deliveries.begin(1);
        deliveries.expect(2);
        for (record, code) in [(0, Code::MESSAGE_TOO_LARGE), (1, Code::MESSAGE_TIMED_OUT)] {
            let tag = deliveries.tag(0, record);
            deliveries.take(Delivery { tag, offset: -1, code });
        }
        let refused = deliveries.refused().unwrap();
        assert_eq!((refused.record, refused.code), (0, Code::MESSAGE_TOO_LARGE));
    }
}
