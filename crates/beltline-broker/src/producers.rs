//! Idempotent producers: which sequence numbers a partition has seen, so that a batch sent twice is stored once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beltline_types::{Offset, TopicPartition};

/// Batches a partition remembers of a producer; producers have at most this many under way, as with Kafka.
const REMEMBERED: usize = 5;

/// What a partition remembers of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) epoch: i16,
    /// First and last sequence number, and the base offset where it is known (not after a restart).
    batches: VecDeque<(i32, i32, Option<Offset>)>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Append,
    /// It is stored already, at this offset if that is still known.
    Duplicate(Option<Offset>),
    /// Batches before it are missing.
    OutOfOrder,
    /// Somebody has taken this producer's place.
    Fenced,
}

/// The sequence number `count` places behind `first`; they start again at 0 after the largest one.
pub(crate) fn last_sequence(first: i32, count: u32) -> i32 {
    ((i64::from(first) + i64::from(count) - 1) & i64::from(i32::MAX)) as i32
}

impl History {
    pub(crate) fn new(epoch: i16) -> History {
        History { epoch, batches: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Judges a batch.
    pub(crate) fn check(&self, epoch: i16, first: i32, count: u32) -> Verdict {
        if epoch < self.epoch {
            return Verdict::Fenced;
        }
        if epoch > self.epoch {
            return if first == 0 { Verdict::Append } else { Verdict::OutOfOrder };
        }
        let last = last_sequence(first, count);
        if let Some((.., offset)) = self.batches.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
            return Verdict::Duplicate(*offset);
        }
        match self.batches.back() {
            Some((_, previous, _)) if last_sequence(*previous, 2) != first => Verdict::OutOfOrder,
            _ => Verdict::Append,
        }
    }

    /// Remembers a batch of this epoch.
    pub(crate) fn push(&mut self, first: i32, last: i32, offset: Option<Offset>) {
        if self.batches.len() == REMEMBERED {
            self.batches.pop_front();
        }
        self.batches.push_back((first, last, offset));
    }

    /// Sequence numbers of the remembered batches, oldest first.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (i32, i32)> {
        self.batches.iter().map(|(first, last, _)| (*first, *last))
    }
}

/// One producer; whoever appends for it holds its lock until the log has answered.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    partitions: BTreeMap<TopicPartition, History>,
}

impl Producer {
    /// Judges a batch. A partition that knows nothing of the producer takes any number, as Kafka does.
    pub(crate) fn check(&self, partition: &TopicPartition, epoch: i16, first: i32, count: u32) -> Verdict {
        self.partitions.get(partition).map_or(Verdict::Append, |history| history.check(epoch, first, count))
    }

    /// The history as it will be after a batch, for the journal.
    pub(crate) fn after(&self, partition: &TopicPartition, epoch: i16, first: i32, count: u32) -> History {
        let known = self.partitions.get(partition).filter(|history| history.epoch == epoch);
        let mut history = known.cloned().unwrap_or_else(|| History::new(epoch));
        history.push(first, last_sequence(first, count), None);
        history
    }

    /// Takes over what [`Producer::after`] said, now with the offset where the log has given one.
    pub(crate) fn set(&mut self, partition: TopicPartition, mut history: History, offset: Option<Offset>) {
        if let Some(batch) = history.batches.back_mut() {
            batch.2 = offset;
        }
        self.partitions.insert(partition, history);
    }

    /// What is known of a partition.
    pub(crate) fn history(&self, partition: &TopicPartition) -> Option<&History> {
        self.partitions.get(partition)
    }
}

struct Known {
    producer: Arc<Mutex<Producer>>,
    last_used: Duration,
}

/// All producers, the ones used last when there are too many.
pub(crate) struct Producers {
    known: Mutex<BTreeMap<i64, Known>>,
    limit: usize,
}

impl Producers {
    pub(crate) fn new(limit: usize) -> Producers {
        Producers { known: Mutex::default(), limit }
    }

    /// A producer, made when it is not known.
    pub(crate) fn get(&self, id: i64, now: Duration) -> Arc<Mutex<Producer>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get_mut(&id) {
            found.last_used = now;
            return found.producer.clone();
        }
        if known.len() >= self.limit {
            let oldest = known.iter().min_by_key(|(_, known)| known.last_used).map(|(id, _)| *id);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        let producer = Arc::new(Mutex::new(Producer::default()));
        known.insert(id, Known { producer: producer.clone(), last_used: now });
        producer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_sent_twice_is_known_and_a_gap_is_seen() {
        let partition = TopicPartition::new("t", 0);
        let mut producer = Producer::default();
        assert_eq!(producer.check(&partition, 0, 17, 3), Verdict::Append, "nothing known: any number");
        for (first, offset) in [(0, 100), (10, 110), (20, 120)] {
            assert_eq!(producer.check(&partition, 0, first, 10), Verdict::Append);
            let history = producer.after(&partition, 0, first, 10);
            producer.set(partition.clone(), history, Some(offset));
        }
        assert_eq!(producer.check(&partition, 0, 10, 10), Verdict::Duplicate(Some(110)));
        assert_eq!(producer.check(&partition, 0, 40, 10), Verdict::OutOfOrder);
        assert_eq!(producer.check(&partition, 1, 30, 10), Verdict::OutOfOrder, "a new epoch begins at 0");
        assert_eq!(producer.check(&partition, 1, 0, 10), Verdict::Append);
        let history = producer.after(&partition, 1, 0, 10);
        producer.set(partition.clone(), history, Some(130));
        assert_eq!(producer.check(&partition, 0, 30, 10), Verdict::Fenced);
    }

    #[test]
    fn numbers_start_again_after_the_largest() {
        assert_eq!(last_sequence(i32::MAX - 1, 3), 0);
        assert_eq!(last_sequence(i32::MAX, 2), 0);
        let mut history = History::new(0);
        history.push(i32::MAX - 4, i32::MAX, None);
        assert_eq!(history.check(0, 0, 5), Verdict::Append);
    }
}
