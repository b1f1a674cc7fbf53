//! Sends that wait for the next commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use beltline_types::{
    Append, Appended, BatchBuilder, Error, ErrorKind, HeaderIter, Result, Timestamp, TopicInfo, TopicPartition,
    partition_of,
};

use crate::{Core, Receipt, Sent, TopicId};

/// On whose behalf a record is sent, which says what becomes of it when its unit is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An event, which comes again and sends it again.
    Event,
    /// A timer, a web view, a script: nobody would send it again, so it goes with the next unit. The number tells one such
    /// sender from another, see [`crate::Core::changed_outside`].
    Outside(u64),
}

/// One record to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to; without one the key decides, and without a key partitions take turns.
    pub partition: Option<u32>,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes.
    pub value: Option<&'a [u8]>,
    /// As [`beltline_types::encode_headers`] makes them.
    pub headers: &'a [u8],
    /// A negative one is replaced by the log's clock.
    pub timestamp: Timestamp,
}

/// Sends of one partition that follow each other in number and in place, from one origin.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_sequence: u64,
    count: u32,
    origin: Origin,
}

#[derive(Debug, Default)]
struct Target {
    records: BatchBuilder,
    /// What `records` are, in order.
    runs: Vec<Run>,
    next_sequence: u64,
}

impl Target {
    fn push(&mut self, record: &Outgoing<'_>, sequence: u64, origin: Origin) {
        self.records.push(record.key, record.value, record.headers, record.timestamp);
        match self.runs.last_mut() {
            Some(last) if last.origin == origin && last.first_sequence + u64::from(last.count) == sequence => {
                last.count += 1;
            }
            _ => self.runs.push(Run { first_sequence: sequence, count: 1, origin }),
        }
    }
}

#[derive(Debug, Default)]
struct TopicTargets {
    partitions: Vec<Target>,
    /// Next partition for a record without a key.
    turn: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    topics: Vec<TopicTargets>,
    /// Targets that hold records, in the order of their first one.
    touched: Vec<(TopicId, u32)>,
    bytes: usize,
}

/// Which sends an append holds; the base offset is filled in by the log's answer.
#[derive(Debug)]
pub(crate) struct Sends {
    pub(crate) topic: TopicId,
    pub(crate) partition: u32,
    runs: Vec<Run>,
    /// The records of those runs that come from outside of events.
    outside: BatchBuilder,
}

impl Sends {
    fn new(topic: TopicId, partition: u32, runs: Vec<Run>, records: &BatchBuilder) -> Self {
        let is_outside = |run: &Run| run.origin != Origin::Event;
        let mut outside = BatchBuilder::default();
        if runs.iter().all(is_outside) {
            outside = records.clone();
        } else if runs.iter().any(is_outside) {
            let mut rest = records.records();
            for run in &runs {
                let records = rest.by_ref().take(run.count as usize);
                records.filter(|_| is_outside(run)).for_each(|one| {
                    outside.push(one.key, one.value, one.raw_headers(), one.timestamp);
                });
            }
        }
        Sends { topic, partition, runs, outside }
    }

    /// They are in the log.
    pub(crate) fn written(&self, appended: &Appended, receipts: &mut impl Extend<Receipt>) {
        let mut place = 0;
        // Runs of different origin that follow each other in number have one receipt.
        for runs in self.runs.chunk_by(|one, next| one.first_sequence + u64::from(one.count) == next.first_sequence) {
            let count = runs.iter().map(|run| run.count).sum();
            let Some(first) = runs.first() else { continue };
            receipts.extend([self.receipt(first, count, Some((appended.clone(), place)))]);
            place += count;
        }
    }

    fn receipt(&self, first: &Run, count: u32, written: Option<(Appended, u32)>) -> Receipt {
        let (appended, place) = written.map_or((None, 0), |(appended, place)| (Some(appended), place));
        let (topic, partition, first_sequence) = (self.topic, self.partition, first.first_sequence);
        Receipt { topic, partition, first_sequence, count, place, appended, comes_again: first.origin == Origin::Event }
    }
}

impl Outbox {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Makes room for a topic's partitions.
    pub(crate) fn add_topic(&mut self, id: TopicId, partitions: u32) {
        if self.topics.len() <= id.index() {
            self.topics.resize_with(id.index() + 1, TopicTargets::default);
        }
        let targets = &mut self.topics[id.index()].partitions;
        if targets.len() < partitions as usize {
            targets.resize_with(partitions as usize, Target::default);
        }
    }

    /// Adds a record; `refusal_bytes` is the most the outbox may hold.
    pub(crate) fn push(
        &mut self,
        id: TopicId,
        info: &TopicInfo,
        record: &Outgoing<'_>,
        origin: Origin,
        refusal_bytes: usize,
    ) -> Result<Sent> {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + record.headers.len();
        if self.bytes.saturating_add(size) > refusal_bytes {
            return Err(full(info, size, self.bytes, refusal_bytes));
        }
        if !record.headers.is_empty() {
            HeaderIter::check(record.headers)?;
        }
        let targets = &mut self.topics[id.index()];
        let count = targets.partitions.len() as u32;
        let partition = match (record.partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, count),
            (None, None) => {
                targets.turn = (targets.turn + 1) % count.max(1);
                targets.turn
            }
        };
        let target = targets.partitions.get_mut(partition as usize).ok_or_else(|| {
            let message = format!("topic {} has {count} partitions, there is no partition {partition}", info.name);
            Error::new(ErrorKind::Usage, message)
        })?;
        if target.records.is_empty() {
            self.touched.push((id, partition));
        }
        let before = target.records.byte_len();
        let sequence = target.next_sequence;
        target.push(record, sequence, origin);
        self.bytes += target.records.byte_len() - before;
        target.next_sequence += 1;
        Ok(Sent { sequence, partition })
    }

    /// Moves everything out: what to append, and which sends each append holds.
    pub(crate) fn take(&mut self, name: impl Fn(TopicId) -> Arc<str>) -> (Vec<Append>, Vec<Sends>) {
        let mut appends = Vec::with_capacity(self.touched.len());
        let mut sends = Vec::with_capacity(self.touched.len());
        for (topic, partition) in self.touched.drain(..) {
            let target = &mut self.topics[topic.index()].partitions[partition as usize];
            let (records, runs) = (std::mem::take(&mut target.records), std::mem::take(&mut target.runs));
            sends.push(Sends::new(topic, partition, runs, &records));
            appends.push(Append { target: TopicPartition::new(name(topic), partition), records });
        }
        self.bytes = 0;
        (appends, sends)
    }

    /// Sends were not written: those from outside of events go with the next unit, under the numbers they have, unless
    /// their sender is one of `gone`. The others get a receipt that says so. Whatever waits already must be put back later.
    pub(crate) fn put_back(&mut self, sends: &Sends, gone: &BTreeSet<u64>, receipts: &mut impl Extend<Receipt>) {
        let target = &mut self.topics[sends.topic.index()].partitions[sends.partition as usize];
        let was_empty = target.records.is_empty();
        let before = target.records.byte_len();
        let mut outside = sends.outside.records();
        for run in &sends.runs {
            let count = run.count as usize;
            match run.origin {
                Origin::Event => receipts.extend([sends.receipt(run, run.count, None)]),
                Origin::Outside(by) if gone.contains(&by) => {
                    outside.by_ref().take(count).for_each(drop);
                    receipts.extend([sends.receipt(run, run.count, None)]);
                }
                Origin::Outside(_) => {
                    for (record, number) in outside.by_ref().take(count).zip(run.first_sequence..) {
                        let (key, value, headers) = (record.key, record.value, record.raw_headers());
                        let record = Outgoing { partition: None, key, value, headers, timestamp: record.timestamp };
                        target.push(&record, number, run.origin);
                    }
                }
            }
        }
        self.bytes += target.records.byte_len() - before;
        if was_empty && !target.records.is_empty() {
            self.touched.push((sends.topic, sends.partition));
        }
    }
}

impl Core {
    /// Sends a record on behalf of an event, with the next unit: it is not written when the unit is rolled back, and the
    /// event is handed out again. As [`Core::send`] in everything else.
    ///
    /// # Errors
    /// See [`Core::send`].
    pub fn emit(
        &mut self,
        topic: TopicId,
        partition: Option<u32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[u8],
        timestamp: Timestamp,
    ) -> Result<Sent> {
        self.send(topic, &Outgoing { partition, key, value, headers, timestamp }, Origin::Event)
    }

    /// Sends a record with the next unit. When that is rolled back, the record goes with the unit after it if it comes from
    /// outside of events. It is written twice where nobody knows whether the first unit was written, because the log
    /// gave no answer.
    ///
    /// # Errors
    /// `NotFound` for a topic of another core, `Usage` for a partition that does not exist, `Limit` when the outbox is full:
    /// wait for a commit and try again. Headers that [`beltline_types::encode_headers`] has not made are refused.
    pub fn send(&mut self, topic: TopicId, record: &Outgoing<'_>, origin: Origin) -> Result<Sent> {
        let Some(info) = self.topics.get(topic) else {
            let message = format!("topic number {} is not known to this core", topic.0);
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let refusal_bytes = self.options.outbox_refusal_bytes(self.outbox_floor);
        let sent = self.outbox.push(topic, info, record, origin, refusal_bytes)?;
        self.counters.sends += 1;
        self.clock.touch();
        if self.outbox.bytes() >= self.options.commit_bytes {
            self.clock.requested = true;
        }
        if self.outbox.bytes() >= self.options.outbox_bytes {
            self.gated = true;
        }
        Ok(sent)
    }

    /// Somebody changes a table outside of events. Under exactly-once what this one sends and changes in a unit counts as a
    /// whole: when the unit is rolled back, and the change with it, what was sent is not sent again. A timer, say, that takes
    /// entries out of a table to send them finds them there the next time.
    pub fn changed_outside(&mut self, by: u64) {
        if self.must_drain() {
            self.changed_outside.insert(by);
        }
    }

    /// Whether so much waits for a commit that no new event is handed out; senders outside of events
    /// should wait as well.
    pub fn outbox_is_full(&self) -> bool {
        self.outbox.bytes() >= self.options.outbox_bytes
    }
}

fn full(info: &TopicInfo, size: usize, held: usize, limit: usize) -> Error {
    let message = format!(
        "a record of {size} bytes for topic {} does not fit the outbox: {held} bytes wait for a commit and the limit \
         is {limit}; send less between two awaits, commit more often, or raise outbox_bytes",
        info.name
    );
    Error::new(ErrorKind::Limit, message)
}
