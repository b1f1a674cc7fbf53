//! What must be true in the end.

use std::collections::BTreeMap;

use beltline_log::Log;
use beltline_types::{Result, TopicPartition};

use crate::node::PARTITIONS;

/// How often each value was seen.
pub type Totals = BTreeMap<Vec<u8>, i64>;

/// How often each note is in the log, and which of them those processes have sent that still live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notes {
    /// How often each value is there.
    pub written: Totals,
    /// What must be there: nobody who sent it died before it was written.
    pub owed: Vec<Vec<u8>>,
}

/// Counts the values of a topic.
pub(crate) fn count_values(log: &dyn Log, topic: &str) -> Result<Totals> {
    let mut totals = Totals::new();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic, partition);
        let range = log.offsets(&partition)?;
        let mut position = range.start;
        while position < range.end {
            let found = log.fetch(&partition, position, 1 << 20)?;
            let Some(last) = found.batches.last() else { break };
            let next = last.next_offset();
            for record in found.batches.iter().flat_map(|batch| batch.iter().collect::<Vec<_>>()) {
                if record.offset >= position {
                    *totals.entry(record.value.unwrap_or_default().to_vec()).or_default() += 1;
                }
            }
            position = next;
        }
    }
    Ok(totals)
}

/// Whether timestamps only grow in every partition: they are the offsets of the events the records were made of.
pub(crate) fn is_in_order(log: &dyn Log, topic: &str) -> Result<bool> {
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic, partition);
        let range = log.offsets(&partition)?;
        let (mut position, mut last) = (range.start, -1);
        while position < range.end {
            let found = log.fetch(&partition, position, 1 << 20)?;
            for record in found.batches.iter().flat_map(|batch| batch.iter().collect::<Vec<_>>()) {
                if record.offset < position {
                    continue;
                }
                if record.timestamp <= last {
                    return Ok(false);
                }
                last = record.timestamp;
            }
            position = found.next_offset;
        }
    }
    Ok(true)
}
