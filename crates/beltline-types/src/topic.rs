//! Topics, partitions, and what is written to them in one commit.

use std::fmt;
use std::sync::Arc;

use crate::{BatchBuilder, Offset, Timestamp};

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Number of the partition; the first is 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[{}]", self.topic, self.partition)
    }
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cleanup {
    /// Records older than the retention are dropped, oldest first.
    #[default]
    Delete,
    /// Only the last record of each key is kept: changelogs.
    Compact,
    /// Both: of what is older than the retention not even the last record of a key is kept.
    CompactAndDelete,
}

impl Cleanup {
    /// Whether only the last record of each key is kept.
    pub fn compacts(self) -> bool {
        self != Cleanup::Delete
    }

    /// Whether records go when they are too old or too many.
    pub fn deletes(self) -> bool {
        self != Cleanup::Compact
    }
}

/// Whose time a record carries; the names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's; that of the append where the producer gave none.
    #[default]
    CreateTime,
    /// The log's at the moment of the append, whatever the producer said.
    LogAppendTime,
}

/// How a topic is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name: letters, digits, `.`, `_`, `-`, at most 249 of them, as Kafka has it.
    pub name: Arc<str>,
    /// Number of partitions, at least one.
    pub partitions: u32,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// Records older than this are dropped; `None` keeps them for ever.
    pub retention_ms: Option<i64>,
    /// The oldest records are dropped while a partition holds more than this; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// Whose time a record carries.
    pub timestamps: TimestampType,
    /// Further options by Kafka's names, for a log that knows them. The embedded log keeps all of them and knows
    /// `segment.bytes` and `delete.retention.ms`, see [`TopicSpec::option`].
    pub config: Vec<(String, String)>,
}

impl TopicSpec {
    /// A topic that keeps its records for ever.
    pub fn new(name: impl Into<Arc<str>>, partitions: u32) -> Self {
        TopicSpec {
            name: name.into(),
            partitions,
            cleanup: Cleanup::Delete,
            retention_ms: None,
            retention_bytes: None,
            timestamps: TimestampType::CreateTime,
            config: Vec::new(),
        }
    }

    /// A changelog: only the last record of each key is kept.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.cleanup = Cleanup::Compact;
        self
    }

    /// One of the further options, as a number; `None` when it is not set or is none.
    pub fn option(&self, name: &str) -> Option<i64> {
        let (_, value) = self.config.iter().find(|(known, _)| known == name)?;
        value.parse().ok()
    }
}

/// A topic that exists.
pub type TopicInfo = TopicSpec;

/// The offsets a partition holds: `start` is the first that can be read, `end` the next that will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OffsetRange {
    /// First readable offset.
    pub start: Offset,
    /// Offset the next record will get.
    pub end: Offset,
}

/// Records to append to one partition, in order.
#[derive(Debug)]
pub struct Append {
    /// Where they go.
    pub target: TopicPartition,
    /// The records.
    pub records: BatchBuilder,
}

/// Everything one commit makes durable together: all of it or nothing.
#[derive(Debug, Default)]
pub struct CommitRequest {
    /// The group whose offsets move; unused when `offsets` is empty.
    pub group: Arc<str>,
    /// Outputs and changelog records.
    pub appends: Vec<Append>,
    /// The next offset to read, per input partition.
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// How often the group had said `Lost` when this was made. A log that has said it once more refuses the commit: one
    /// made as a member that is no more must not count as one of the member that came after it.
    pub losses: u64,
}

/// Where the records of one append went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The offset after the last record.
    pub next_offset: Offset,
    /// Offset of each record where they are not contiguous, because others write to the same partition.
    pub offsets: Option<Vec<Offset>>,
    /// The time that all of them got, in milliseconds, where the topic wants that of the append and the log says it.
    pub stamped_ms: Option<Timestamp>,
}

impl Appended {
    /// Records in a row, as a log gives them that writes an append in one piece.
    pub fn contiguous(base_offset: Offset, count: u32) -> Self {
        Appended { base_offset, next_offset: base_offset + Offset::from(count), offsets: None, stamped_ms: None }
    }

    /// Offset of the record with this number within the append.
    pub fn offset(&self, number: u32) -> Offset {
        let listed = self.offsets.as_ref().and_then(|offsets| offsets.get(number as usize).copied());
        listed.unwrap_or(self.base_offset + Offset::from(number))
    }
}

/// The log's answer to a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitReceipt {
    /// Where each append went, in the order of the request.
    pub appended: Vec<Appended>,
}

impl Default for TopicPartition {
    fn default() -> Self {
        TopicPartition { topic: Arc::from(""), partition: 0 }
    }
}
