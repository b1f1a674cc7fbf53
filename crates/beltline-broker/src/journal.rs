//! What the endpoint must know after a restart, kept in a compacted topic of the log itself: so it can be written in one
//! commit with the records it speaks of.

use std::collections::BTreeMap;
use std::sync::Arc;

use beltline_log::Log;
use beltline_types::{
    Append, BatchBuilder, CommitRequest, Error, ErrorKind, Result, Timestamp, TopicPartition, TopicSpec,
};

use crate::producers::History;
use crate::transaction::{Outcome, Stored};

/// Name of the topic; like Kafka's own ones it begins with two underscores and takes records from nobody else.
pub(crate) const TOPIC: &str = "__endpoint_state";

/// Bytes read at a time when the endpoint starts.
const READ_BYTES: usize = 1 << 20;

/// Producers are forgotten after a week, as Kafka forgets transactional ids.
const EXPIRY_MS: Timestamp = 7 * 24 * 60 * 60 * 1000;

/// Keys with their last values and when those were written.
type Latest = BTreeMap<Vec<u8>, (Vec<u8>, Timestamp)>;

/// One thing that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// Producer ids below this one are given out.
    NextProducerId(i64),
    /// How far a producer has come in a partition.
    Sequence { producer_id: i64, partition: TopicPartition, history: History },
    /// Who holds a transactional id, and how its last transaction stands.
    Transaction { id: Arc<str>, stored: Stored },
    /// What a group said with an offset.
    Metadata { group: Arc<str>, partition: TopicPartition, offset: i64, text: Arc<str> },
}

/// The topic, made when it is first needed.
pub(crate) struct Journal {
    log: Arc<dyn Log>,
}

impl Journal {
    pub(crate) fn new(log: Arc<dyn Log>) -> Journal {
        Journal { log }
    }

    /// Reads what is remembered, and forgets producers that nobody has heard of for long.
    pub(crate) fn load(&self, now_ms: Timestamp) -> Result<Vec<Entry>> {
        if self.log.topic(TOPIC)?.is_none() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        let mut forgotten = BatchBuilder::default();
        for (key, (value, timestamp)) in self.latest()? {
            let entry = Entry::decode(&key, &value).ok_or_else(unknown_entry)?;
            if timestamp < now_ms - EXPIRY_MS && entry.expires() {
                forgotten.push(Some(&key), None, &[], -1);
            } else {
                entries.push(entry);
            }
        }
        if !forgotten.is_empty() {
            let appends = vec![Append { target: TopicPartition::new(TOPIC, 0), records: forgotten }];
            self.log.commit(CommitRequest { appends, ..CommitRequest::default() })?;
        }
        Ok(entries)
    }

    /// The last value of every key, with its time.
    fn latest(&self) -> Result<Latest> {
        let partition = TopicPartition::new(TOPIC, 0);
        let range = self.log.offsets(&partition)?;
        let (mut latest, mut offset) = (Latest::new(), range.start);
        while offset < range.end {
            let fetched = self.log.fetch(&partition, offset, READ_BYTES)?;
            for record in fetched.batches.iter().flat_map(|batch| batch.iter()) {
                let Some(key) = record.key else { continue };
                match record.value {
                    Some(value) => drop(latest.insert(key.to_vec(), (value.to_vec(), record.timestamp))),
                    None => drop(latest.remove(key)),
                }
            }
            if fetched.next_offset <= offset {
                break;
            }
            offset = fetched.next_offset;
        }
        Ok(latest)
    }

    /// The append that remembers `entries`, for a commit together with what they speak of.
    pub(crate) fn append(&self, entries: &[Entry]) -> Result<Append> {
        if self.log.topic(TOPIC)?.is_none() {
            self.log.create_topics(&[TopicSpec::new(TOPIC, 1).compacted()])?;
        }
        let mut records = BatchBuilder::default();
        for entry in entries {
            let (key, value) = entry.encode();
            records.push(Some(&key), Some(&value), &[], -1);
        }
        Ok(Append { target: TopicPartition::new(TOPIC, 0), records })
    }

    /// Remembers `entries` at once.
    pub(crate) fn write(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let appends = vec![self.append(entries)?];
        self.log.commit(CommitRequest { appends, ..CommitRequest::default() }).map(drop)
    }
}

#[cold]
fn unknown_entry() -> Error {
    let message = format!(
        "topic {TOPIC} holds something this version of beltline does not know; use the version that wrote it, or delete \
         the topic while no producer is running"
    );
    Error::new(ErrorKind::DataDirectory, message)
}

impl Entry {
    /// Whether it is of no use when nobody has come back to it for long.
    fn expires(&self) -> bool {
        match self {
            Entry::Sequence { .. } => true,
            Entry::Transaction { stored, .. } => stored.outcome != Outcome::Open,
            Entry::NextProducerId(_) | Entry::Metadata { .. } => false,
        }
    }

    fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        match self {
            Entry::NextProducerId(next) => {
                key.push(b'n');
                value.extend_from_slice(&next.to_le_bytes());
            }
            Entry::Sequence { producer_id, partition, history } => {
                key.push(b's');
                key.extend_from_slice(&producer_id.to_le_bytes());
                put_partition(&mut key, partition);
                value.extend_from_slice(&history.epoch.to_le_bytes());
                for (first, last) in history.ranges() {
                    value.extend_from_slice(&first.to_le_bytes());
                    value.extend_from_slice(&last.to_le_bytes());
                }
            }
            Entry::Transaction { id, stored } => {
                key.push(b't');
                key.extend_from_slice(id.as_bytes());
                value.extend_from_slice(&stored.producer_id.to_le_bytes());
                value.extend_from_slice(&stored.epoch.to_le_bytes());
                value.extend_from_slice(&stored.timeout_ms.to_le_bytes());
                value.push(stored.outcome as u8);
            }
            Entry::Metadata { group, partition, offset, text } => {
                key.push(b'm');
                key.extend_from_slice(&(group.len() as u32).to_le_bytes());
                key.extend_from_slice(group.as_bytes());
                put_partition(&mut key, partition);
                value.extend_from_slice(&offset.to_le_bytes());
                value.extend_from_slice(text.as_bytes());
            }
        }
        (key, value)
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Entry> {
        let (kind, key) = key.split_first()?;
        match kind {
            b'n' => Some(Entry::NextProducerId(i64::from_le_bytes(*value.first_chunk()?))),
            b's' => {
                let (producer_id, key) = key.split_first_chunk::<8>()?;
                let (epoch, ranges) = value.split_first_chunk::<2>()?;
                let mut history = History::new(i16::from_le_bytes(*epoch));
                for range in ranges.chunks_exact(8) {
                    let first = i32::from_le_bytes(*range.first_chunk()?);
                    history.push(first, i32::from_le_bytes(*range.last_chunk()?), None);
                }
                let producer_id = i64::from_le_bytes(*producer_id);
                Some(Entry::Sequence { producer_id, partition: take_partition(key)?, history })
            }
            b't' => {
                let (producer_id, rest) = value.split_first_chunk::<8>()?;
                let (epoch, rest) = rest.split_first_chunk::<2>()?;
                let (timeout_ms, rest) = rest.split_first_chunk::<4>()?;
                let stored = Stored {
                    producer_id: i64::from_le_bytes(*producer_id),
                    epoch: i16::from_le_bytes(*epoch),
                    timeout_ms: i32::from_le_bytes(*timeout_ms),
                    outcome: Outcome::from_byte(*rest.first()?)?,
                };
                Some(Entry::Transaction { id: Arc::from(std::str::from_utf8(key).ok()?), stored })
            }
            b'm' => {
                let (length, key) = key.split_first_chunk::<4>()?;
                let (group, key) = key.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                let (offset, text) = value.split_first_chunk::<8>()?;
                Some(Entry::Metadata {
                    group: Arc::from(std::str::from_utf8(group).ok()?),
                    partition: take_partition(key)?,
                    offset: i64::from_le_bytes(*offset),
                    text: Arc::from(std::str::from_utf8(text).ok()?),
                })
            }
            _ => None,
        }
    }
}

fn put_partition(key: &mut Vec<u8>, partition: &TopicPartition) {
    key.extend_from_slice(&partition.partition.to_le_bytes());
    key.extend_from_slice(partition.topic.as_bytes());
}

fn take_partition(key: &[u8]) -> Option<TopicPartition> {
    let (partition, topic) = key.split_first_chunk::<4>()?;
    Some(TopicPartition::new(std::str::from_utf8(topic).ok()?, u32::from_le_bytes(*partition)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beltline_env::{Clock, ManualClock};
    use beltline_log::EmbeddedLog;

    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let partition = TopicPartition::new("orders", 7);
        let mut history = History::new(3);
        history.push(0, 9, None);
        history.push(10, 10, None);
        let stored = Stored { producer_id: 8, epoch: 2, timeout_ms: 60_000, outcome: Outcome::Committed };
        let entries = [
            Entry::NextProducerId(1000),
            Entry::Sequence { producer_id: 5, partition: partition.clone(), history },
            Entry::Transaction { id: Arc::from("shop-0"), stored },
            Entry::Metadata { group: Arc::from("g"), partition, offset: 4, text: Arc::from("here") },
        ];
        for entry in entries {
            let (key, value) = entry.encode();
            assert_eq!(Entry::decode(&key, &value), Some(entry));
        }
    }

    #[test]
    fn who_was_not_heard_of_for_a_week_is_forgotten() {
        let clock = Arc::new(ManualClock::default());
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
        let journal = Journal::new(log);
        let stored = Stored { producer_id: 8, epoch: 2, timeout_ms: 60_000, outcome: Outcome::Committed };
        let sequence = |producer_id| Entry::Sequence {
            producer_id,
            partition: TopicPartition::new("t", 0),
            history: History::new(0),
        };
        let transaction = Entry::Transaction { id: Arc::from("id"), stored };
        journal.write(&[Entry::NextProducerId(1000), sequence(1), transaction]).unwrap();
        clock.advance(Duration::from_millis(EXPIRY_MS as u64));
        journal.write(&[sequence(2)]).unwrap();
        assert_eq!(journal.load(clock.now_ms()).unwrap().len(), 4);
        clock.advance(Duration::from_secs(1));
        for _ in 0..2 {
            assert_eq!(journal.load(clock.now_ms()).unwrap(), [Entry::NextProducerId(1000), sequence(2)]);
        }
    }
}
