//! Sends that wait for the next commit.

use std::sync::Arc;

use beltline_types::{
    Append, Appended, BatchBuilder, Error, ErrorKind, HeaderIter, Result, Timestamp, TopicInfo, TopicPartition,
    partition_of,
};

use crate::{Receipt, Sent, TopicId};

#[derive(Debug, Default)]
struct Target {
    records: BatchBuilder,
    next_sequence: u64,
}

#[derive(Debug, Default)]
struct TopicTargets {
    partitions: Vec<Target>,
    /// Next partition for a record without a key.
    turn: u32,
}

/// One record to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) partition: Option<u32>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [u8],
    pub(crate) timestamp: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    topics: Vec<TopicTargets>,
    /// Targets that hold records, in the order of their first one.
    touched: Vec<(TopicId, u32)>,
    bytes: usize,
}

/// Which sends an append holds; the base offset is filled in by the log's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRange {
    pub(crate) topic: TopicId,
    pub(crate) partition: u32,
    pub(crate) first_sequence: u64,
    pub(crate) count: u32,
}

impl SentRange {
    pub(crate) fn receipt(self, appended: Option<Appended>) -> Receipt {
        let SentRange { topic, partition, first_sequence, count } = self;
        Receipt { topic, partition, first_sequence, count, appended }
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
        target.records.push(record.key, record.value, record.headers, record.timestamp);
        self.bytes += target.records.byte_len() - before;
        let sequence = target.next_sequence;
        target.next_sequence += 1;
        Ok(Sent { sequence, partition })
    }

    /// Moves everything out: what to append, and which sends each append holds.
    pub(crate) fn take(&mut self, name: impl Fn(TopicId) -> Arc<str>) -> (Vec<Append>, Vec<SentRange>) {
        let mut appends = Vec::with_capacity(self.touched.len());
        let mut ranges = Vec::with_capacity(self.touched.len());
        for (topic, partition) in self.touched.drain(..) {
            let target = &mut self.topics[topic.index()].partitions[partition as usize];
            let records = std::mem::take(&mut target.records);
            let count = records.len();
            ranges.push(SentRange { topic, partition, first_sequence: target.next_sequence - u64::from(count), count });
            appends.push(Append { target: TopicPartition::new(name(topic), partition), records });
        }
        self.bytes = 0;
        (appends, ranges)
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
