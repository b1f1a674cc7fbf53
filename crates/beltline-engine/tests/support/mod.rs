//! Answers a core's commands from memory, one by one, so that a test decides what happens when.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{
    CommitUnit, Core, CoreOptions, Guarantee, LogCommand, LogEvent, Next, PartitionOffsets, SubscriptionId, Ticket,
    TopicId,
};
use beltline_table::{Shard, ValueForm};
use beltline_types::{
    Appended, Batch, BatchBuilder, CommitReceipt, Error, ErrorKind, Offset, OffsetRange, TopicPartition, TopicSpec,
};

pub struct Bench {
    pub core: Core,
    pub now: Duration,
    pub records: BTreeMap<TopicPartition, Vec<Arc<Batch>>>,
    pub committed: BTreeMap<TopicPartition, Offset>,
    /// Commits the core asked for and nobody has answered.
    pub commits: VecDeque<CommitUnit>,
    pub fetches: usize,
    waiting: Vec<LogCommand>,
    pub hold_restores: bool,
    /// The test itself is the group: a join is not answered by everything.
    pub plays_group: bool,
    /// What was given to the group, in order.
    pub released: Vec<TopicPartition>,
    pub dropped_shards: Vec<u32>,
    pub joins: Vec<Vec<String>>,
    pub standby: Vec<u32>,
    pub restores: Vec<LogCommand>,
}

pub fn options(guarantee: Guarantee) -> CoreOptions {
    CoreOptions { guarantee, group: Arc::from("group"), commit_interval_ms: Some(100), ..CoreOptions::default() }
}

impl Bench {
    pub fn new(options: CoreOptions) -> Self {
        Bench {
            core: Core::new(options),
            now: Duration::from_secs(1),
            records: BTreeMap::new(),
            committed: BTreeMap::new(),
            commits: VecDeque::new(),
            fetches: 0,
            waiting: Vec::new(),
            hold_restores: false,
            plays_group: false,
            released: Vec::new(),
            dropped_shards: Vec::new(),
            joins: Vec::new(),
            standby: Vec::new(),
            restores: Vec::new(),
        }
    }

    pub fn topic(&mut self, name: &str, partitions: u32) -> TopicId {
        for partition in 0..partitions {
            self.records.entry(TopicPartition::new(name, partition)).or_default();
        }
        self.core.add_topic(TopicSpec::new(name, partitions))
    }

    pub fn end(&self, partition: &TopicPartition) -> Offset {
        self.records[partition].last().map_or(0, |batch| batch.next_offset())
    }

    /// Writes one batch of records with these values.
    pub fn write(&mut self, topic: &str, partition: u32, values: &[&str]) {
        let partition = TopicPartition::new(topic, partition);
        let mut builder = BatchBuilder::default();
        for value in values {
            builder.push(None, Some(value.as_bytes()), &[], 7);
        }
        let batch = builder.build(self.end(&partition)).unwrap();
        self.records.get_mut(&partition).unwrap().push(Arc::new(batch));
    }

    /// Writes a batch with gaps: records at these offsets, next offset `next`.
    pub fn write_at(&mut self, topic: &str, partition: u32, base: Offset, offsets: &[Offset], next: Offset) {
        let mut plain = BatchBuilder::default();
        plain.push(None, Some(b"x"), &[], 7);
        let record = plain.build(0).unwrap();
        let mut builder = BatchBuilder::default();
        for offset in offsets {
            builder.push_at((offset - base) as u32, &record.get(0));
        }
        let batch = Batch::parse(base, next, builder.as_bytes()).unwrap();
        self.records.get_mut(&TopicPartition::new(topic, partition)).unwrap().push(Arc::new(batch));
    }

    /// Answers everything but commits until nothing is left to answer.
    pub fn turn(&mut self) {
        self.core.tick(self.now);
        for command in std::mem::take(&mut self.waiting) {
            self.answer(command);
        }
        while let Some(command) = self.core.poll_command() {
            self.answer(command);
        }
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.turn();
    }

    fn range(&self, partition: &TopicPartition) -> OffsetRange {
        let start = self.records[partition].first().map_or(0, |batch| batch.base_offset());
        OffsetRange { start, end: self.end(partition) }
    }

    fn answer(&mut self, command: LogCommand) {
        match command {
            LogCommand::LookupOffsets { lookup, partitions } => {
                let one = |partition: TopicPartition| {
                    let (committed, range) = (self.committed.get(&partition).copied(), self.range(&partition));
                    PartitionOffsets { partition, committed, range }
                };
                let found = partitions.into_iter().map(one).collect();
                self.core.handle(LogEvent::Offsets { lookup, found }, self.now);
            }
            LogCommand::Fetch { fetch, partition, offset, max_bytes, wait } => {
                let range = self.range(&partition);
                let mut bytes = 0;
                let mut batches = Vec::new();
                for batch in self.records[&partition].iter().filter(|batch| batch.next_offset() > offset) {
                    if bytes > 0 && bytes + batch.byte_len() > max_bytes {
                        break;
                    }
                    bytes += batch.byte_len();
                    batches.push(Batch::parse(batch.base_offset(), batch.next_offset(), batch.record_bytes()).unwrap());
                }
                if batches.is_empty() && wait {
                    self.waiting.push(LogCommand::Fetch { fetch, partition, offset, max_bytes, wait });
                    return;
                }
                self.fetches += 1;
                let next_offset = batches.last().map_or(offset, Batch::next_offset);
                self.core.handle(LogEvent::Fetched { fetch, partition, batches, range, next_offset }, self.now);
            }
            LogCommand::CancelFetch { fetch: cancelled, .. } => {
                self.waiting
                    .retain(|command| !matches!(command, LogCommand::Fetch { fetch, .. } if *fetch == cancelled));
            }
            LogCommand::Commit(unit) => self.commits.push_back(unit),
            LogCommand::Restore { .. } if self.hold_restores => self.restores.push(command),
            LogCommand::Restore { restore, table, partition } => {
                let shard = Shard::new(ValueForm::Json);
                self.core.handle(LogEvent::Restored { restore, table, partition, shard }, self.now);
            }
            LogCommand::Join { topics } => {
                self.joins.push(topics.iter().map(ToString::to_string).collect());
                if !self.plays_group {
                    let all = self.records.keys().filter(|partition| topics.contains(&partition.topic)).cloned();
                    let all = all.filter(|partition| !self.core.assigned().any(|ours| ours == partition)).collect();
                    self.core.handle(LogEvent::Assigned(all), self.now);
                }
            }
            LogCommand::Release { partitions } => self.released.extend(partitions),
            LogCommand::DropShards { partitions } => self.dropped_shards.extend(partitions),
            LogCommand::Standby { partitions } => self.standby = partitions,
        }
    }

    /// The log accepts the oldest unit.
    pub fn accept(&mut self) -> CommitUnit {
        let unit = self.commits.pop_front().expect("a unit to accept");
        let mut appended = Vec::new();
        for append in &unit.request.appends {
            let base = self.records.get(&append.target).map_or(0, |_| self.end(&append.target));
            appended.push(Appended::contiguous(base, append.records.len()));
            if let Some(batches) = self.records.get_mut(&append.target) {
                batches.push(Arc::new(append.records.build(base).unwrap()));
            }
        }
        for (partition, offset) in &unit.request.offsets {
            self.committed.insert(partition.clone(), *offset);
        }
        self.core.handle(LogEvent::Committed(CommitReceipt { appended }), self.now);
        self.turn();
        unit
    }

    /// The log refuses the oldest unit.
    pub fn refuse(&mut self, kind: ErrorKind) -> CommitUnit {
        let unit = self.commits.pop_front().expect("a unit to refuse");
        self.core.handle(LogEvent::CommitFailed(Error::new(kind, "refused by the test")), self.now);
        self.turn();
        unit
    }

    pub fn event(&mut self, subscription: SubscriptionId) -> Ticket {
        match self.core.next(subscription) {
            Next::Event(ticket) => ticket,
            other => panic!("wanted an event, got {other:?}"),
        }
    }

    pub fn value(&self, ticket: &Ticket) -> String {
        String::from_utf8(self.core.record(ticket).unwrap().value.unwrap().to_vec()).unwrap()
    }

    /// Takes and finishes everything that is there.
    pub fn drain(&mut self, subscription: SubscriptionId) -> Vec<String> {
        let mut values = Vec::new();
        while let Next::Event(ticket) = self.core.next(subscription) {
            values.push(self.value(&ticket));
            self.core.done(ticket);
            if self.core.wants_turn() {
                self.turn();
            }
        }
        values
    }
}
