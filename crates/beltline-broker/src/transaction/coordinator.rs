//! Who holds which transactional id, and how its transaction stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{BatchBuilder, Offset, TopicPartition};

use super::Held;

/// How the last transaction of an id stands, as it is remembered over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was none yet under this epoch.
    None = 0,
    /// One is open. After a restart this means that its records are gone.
    Open = 1,
    /// The last one was committed.
    Committed = 2,
    /// The last one was aborted.
    Aborted = 3,
}

impl Outcome {
    pub(crate) fn from_byte(byte: u8) -> Option<Outcome> {
        [Outcome::None, Outcome::Open, Outcome::Committed, Outcome::Aborted].into_iter().find(|o| *o as u8 == byte)
    }
}

/// What is remembered of a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) outcome: Outcome,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The id belongs to another producer id, or its open transaction was lost in a restart. The client aborts and asks
    /// for a new epoch.
    UnknownProducer,
    /// Another producer has taken the id over.
    Fenced,
    /// The request does not fit the state of the transaction.
    InvalidState,
    /// The transaction is just being ended.
    Busy,
    /// The timeout is not one that is allowed.
    InvalidTimeout,
    /// The transaction, or all of them, would hold more bytes than allowed.
    TooLarge,
    /// A second group in one transaction.
    SecondGroup,
    /// No more ids are remembered.
    TooMany,
}

/// What [`Coordinator::begin_end`] found.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The transaction is to be ended now: to be written (all or nothing) with the new state, then
    /// [`Coordinator::finish_end`].
    Write {
        /// Its records and offsets; nothing when it aborts.
        held: Held,
        /// The partitions that were added to it.
        partitions: BTreeSet<TopicPartition>,
        /// Its new state.
        stored: Stored,
    },
    /// The same end was asked for before, and done.
    Done,
}

struct Transaction {
    stored: Stored,
    /// With which producer id and epoch the present ones were asked for: who asks once more has missed the answer.
    asked_with: Option<(i64, i16)>,
    /// Whether the journal knows that it is open.
    is_open_stored: bool,
    /// Its records were in the memory of a process that has ended.
    is_lost: bool,
    is_ending: bool,
    deadline: Duration,
    last_used: Duration,
    partitions: BTreeSet<TopicPartition>,
    held: Held,
}

/// Holds all transactional ids.
pub(crate) struct Coordinator {
    transactions: BTreeMap<Arc<str>, Transaction>,
    bytes: usize,
    max_bytes: usize,
    max_all_bytes: usize,
    max_ids: usize,
}

/// As Kafka's `transaction.max.timeout.ms`.
const MAX_TIMEOUT_MS: i32 = 15 * 60 * 1000;

impl Coordinator {
    pub(crate) fn new(max_bytes: usize, max_all_bytes: usize, max_ids: usize) -> Coordinator {
        Coordinator { transactions: BTreeMap::new(), bytes: 0, max_bytes, max_all_bytes, max_ids }
    }

    /// Takes over what was remembered; to be called before anything else.
    pub(crate) fn restore(&mut self, id: Arc<str>, stored: Stored) {
        let is_lost = stored.outcome == Outcome::Open;
        self.transactions.insert(id, Transaction::new(stored, is_lost, Duration::ZERO));
    }

    /// A producer takes an id over: its epoch grows, an open transaction is aborted. `fresh_id` is used for an id that has
    /// none, or has used its epochs up. The answer is to be remembered before it is given.
    pub(crate) fn initialise(
        &mut self,
        id: &Arc<str>,
        timeout_ms: i32,
        claimed: Option<(i64, i16)>,
        fresh_id: i64,
        now: Duration,
    ) -> Result<Stored, Denied> {
        if timeout_ms <= 0 || timeout_ms > MAX_TIMEOUT_MS {
            return Err(Denied::InvalidTimeout);
        }
        let Some(known) = self.transactions.get_mut(id) else {
            self.make_room()?;
            let stored = Stored { producer_id: fresh_id, epoch: 0, timeout_ms, outcome: Outcome::None };
            self.transactions.insert(id.clone(), Transaction::new(stored, false, now));
            return Ok(stored);
        };
        if known.is_ending {
            return Err(Denied::Busy);
        }
        if let Some(claimed) = claimed
            && claimed != (known.stored.producer_id, known.stored.epoch)
        {
            let missed_answer = known.asked_with == Some(claimed) && known.stored.outcome == Outcome::None;
            return if missed_answer { Ok(known.stored) } else { Err(Denied::Fenced) };
        }
        self.bytes -= known.held.bytes();
        let (producer_id, epoch) = match known.stored.epoch {
            // The largest epoch is kept for the coordinator's own aborts, as Kafka does.
            epoch if epoch >= i16::MAX - 1 => (fresh_id, 0),
            epoch => (known.stored.producer_id, epoch + 1),
        };
        let stored = Stored { producer_id, epoch, timeout_ms, outcome: Outcome::None };
        *known = Transaction { asked_with: claimed, ..Transaction::new(stored, false, now) };
        Ok(stored)
    }

    /// Partitions become part of the transaction, which begins with the first of them. Where this gives something to
    /// remember it must be written before the answer, then [`Coordinator::opened`].
    pub(crate) fn add_partitions(
        &mut self,
        id: &str,
        producer: (i64, i16),
        partitions: impl IntoIterator<Item = TopicPartition>,
        now: Duration,
    ) -> Result<Option<Stored>, Denied> {
        let transaction = self.current(id, producer)?;
        transaction.open(now);
        transaction.partitions.extend(partitions);
        Ok((!transaction.is_open_stored).then_some(transaction.stored))
    }

    /// A group becomes part of the transaction; see [`Coordinator::add_partitions`].
    pub(crate) fn add_group(
        &mut self,
        id: &str,
        producer: (i64, i16),
        group: &Arc<str>,
        now: Duration,
    ) -> Result<Option<Stored>, Denied> {
        let transaction = self.current(id, producer)?;
        if transaction.held.group.as_ref().is_some_and(|other| other != group) {
            return Err(Denied::SecondGroup);
        }
        transaction.open(now);
        transaction.held.group = Some(group.clone());
        Ok((!transaction.is_open_stored).then_some(transaction.stored))
    }

    /// The journal has it that the transaction is open.
    pub(crate) fn opened(&mut self, id: &str) {
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.is_open_stored = true;
        }
    }

    /// Whether a partition is part of this producer's open transaction. To be asked before sequence numbers are: after a
    /// restart they have a gap where the records were lost, and what is to be said is that they were.
    pub(crate) fn check_partition(
        &mut self,
        id: &str,
        producer: (i64, i16),
        partition: &TopicPartition,
    ) -> Result<(), Denied> {
        let transaction = self.current(id, producer)?;
        let is_part = transaction.stored.outcome == Outcome::Open && transaction.partitions.contains(partition);
        if is_part { Ok(()) } else { Err(Denied::InvalidState) }
    }

    /// Whether a batch may be held now. Nothing changes.
    pub(crate) fn may_hold(
        &mut self,
        id: &str,
        producer: (i64, i16),
        partition: &TopicPartition,
        bytes: usize,
    ) -> Result<(), Denied> {
        self.check_partition(id, producer, partition)?;
        let (all, max_bytes, max_all) = (self.bytes, self.max_bytes, self.max_all_bytes);
        let transaction = self.current(id, producer)?;
        if transaction.held.bytes() + bytes > max_bytes || all + bytes > max_all {
            return Err(Denied::TooLarge);
        }
        Ok(())
    }

    /// Holds a batch for which [`Coordinator::may_hold`] has just said yes.
    pub(crate) fn hold(&mut self, id: &str, partition: TopicPartition, records: BatchBuilder) {
        if let Some(transaction) = self.transactions.get_mut(id) {
            self.bytes += Held::cost(&records);
            transaction.held.push(partition, records);
        }
    }

    /// Holds the offsets of the group that was added.
    pub(crate) fn hold_offsets(
        &mut self,
        id: &str,
        producer: (i64, i16),
        group: &str,
        offsets: Vec<(TopicPartition, Offset, Arc<str>)>,
    ) -> Result<(), Denied> {
        let max_bytes = self.max_bytes;
        let transaction = self.current(id, producer)?;
        let is_its_group = transaction.held.group.as_deref() == Some(group);
        if transaction.stored.outcome != Outcome::Open || !is_its_group {
            return Err(Denied::InvalidState);
        }
        if transaction.held.bytes() > max_bytes {
            return Err(Denied::TooLarge);
        }
        let before = transaction.held.bytes();
        for (partition, offset, metadata) in offsets {
            transaction.held.set_offset(partition, offset, metadata);
        }
        let after = transaction.held.bytes();
        self.bytes = self.bytes + after - before;
        Ok(())
    }

    /// Begins to end a transaction. Until [`Coordinator::finish_end`] everybody else is told to wait.
    pub(crate) fn begin_end(&mut self, id: &str, producer: (i64, i16), commit: bool) -> Result<Begun, Denied> {
        let transaction = self.transactions.get_mut(id).ok_or(Denied::UnknownProducer)?;
        transaction.check(producer)?;
        let wanted = if commit { Outcome::Committed } else { Outcome::Aborted };
        match transaction.stored.outcome {
            Outcome::Open if transaction.is_lost && commit => Err(Denied::UnknownProducer),
            Outcome::Open => {
                transaction.is_ending = true;
                let held = std::mem::take(&mut transaction.held);
                let partitions = std::mem::take(&mut transaction.partitions);
                self.bytes -= held.bytes();
                let held = if commit { held } else { Held::default() };
                Ok(Begun::Write { held, partitions, stored: Stored { outcome: wanted, ..transaction.stored } })
            }
            outcome if outcome == wanted => Ok(Begun::Done),
            _ => Err(Denied::InvalidState),
        }
    }

    /// The end was written, or (`false`) could not be: then its records are lost, and the client is to abort.
    pub(crate) fn finish_end(&mut self, id: &str, stored: Stored, is_written: bool) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.is_ending = false;
        if is_written {
            transaction.stored = stored;
            transaction.is_open_stored = false;
            transaction.is_lost = false;
        } else {
            transaction.is_lost = true;
        }
    }

    /// Aborts transactions that are open for longer than they may be, and takes the ids from their producers. What is
    /// given is to be remembered; when that fails a restart finds them open, which is as good.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<(Arc<str>, Stored)> {
        let mut expired = Vec::new();
        for (id, transaction) in &mut self.transactions {
            let is_open = transaction.stored.outcome == Outcome::Open && !transaction.is_lost;
            if is_open && !transaction.is_ending && now >= transaction.deadline {
                self.bytes -= transaction.held.bytes();
                let epoch = transaction.stored.epoch.saturating_add(1);
                let stored = Stored { epoch, outcome: Outcome::Aborted, ..transaction.stored };
                *transaction = Transaction::new(stored, false, now);
                expired.push((id.clone(), stored));
            }
        }
        expired
    }

    /// When [`Coordinator::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let open = self.transactions.values().filter(|one| one.stored.outcome == Outcome::Open && !one.is_lost);
        open.map(|one| one.deadline).min()
    }

    /// Partitions of which open transactions hold an offset of this group.
    pub(crate) fn pending_offsets(&self, group: &str) -> BTreeSet<TopicPartition> {
        let of_group = self.transactions.values().filter(|one| one.held.group.as_deref() == Some(group));
        of_group.flat_map(|one| one.held.offsets.keys().cloned()).collect()
    }

    /// Bytes held by all open transactions.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes
    }

    fn current(&mut self, id: &str, producer: (i64, i16)) -> Result<&mut Transaction, Denied> {
        let transaction = self.transactions.get_mut(id).ok_or(Denied::UnknownProducer)?;
        transaction.check(producer)?;
        if transaction.is_lost { Err(Denied::UnknownProducer) } else { Ok(transaction) }
    }

    fn make_room(&mut self) -> Result<(), Denied> {
        if self.transactions.len() < self.max_ids {
            return Ok(());
        }
        let idle = self.transactions.iter().filter(|(_, one)| one.stored.outcome != Outcome::Open);
        let oldest = idle.min_by_key(|(_, one)| one.last_used).map(|(id, _)| id.clone()).ok_or(Denied::TooMany)?;
        self.transactions.remove(&oldest);
        Ok(())
    }
}

impl Transaction {
    fn new(stored: Stored, is_lost: bool, now: Duration) -> Transaction {
        Transaction {
            stored,
            asked_with: None,
            is_open_stored: false,
            is_lost,
            is_ending: false,
            deadline: now,
            last_used: now,
            partitions: BTreeSet::new(),
            held: Held::default(),
        }
    }

    fn check(&self, (producer_id, epoch): (i64, i16)) -> Result<(), Denied> {
        if producer_id != self.stored.producer_id {
            return Err(Denied::UnknownProducer);
        }
        if epoch != self.stored.epoch {
            return Err(Denied::Fenced);
        }
        if self.is_ending { Err(Denied::Busy) } else { Ok(()) }
    }

    fn open(&mut self, now: Duration) {
        self.last_used = now;
        if self.stored.outcome != Outcome::Open {
            self.stored.outcome = Outcome::Open;
            self.is_open_stored = false;
            self.deadline = now + Duration::from_millis(self.stored.timeout_ms.max(0) as u64);
        }
    }
}
