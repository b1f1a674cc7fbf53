//! What an open transaction has written so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use beltline_types::{BatchBuilder, Offset, TopicPartition};

/// Fixed cost counted for each batch and each offset, so that many tiny ones are limited too.
const OVERHEAD: usize = 128;

/// Records, and the offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In the order in which they came.
    pub(crate) batches: Vec<(TopicPartition, BatchBuilder)>,
    /// The group whose offsets move.
    pub(crate) group: Option<Arc<str>>,
    /// The last offset of each partition, and what the group said with it.
    pub(crate) offsets: BTreeMap<TopicPartition, (Offset, Arc<str>)>,
    bytes: usize,
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes a batch would add.
    pub(crate) fn cost(records: &BatchBuilder) -> usize {
        records.byte_len() + OVERHEAD
    }

    pub(crate) fn push(&mut self, partition: TopicPartition, records: BatchBuilder) {
        self.bytes += Held::cost(&records);
        self.batches.push((partition, records));
    }

    pub(crate) fn set_offset(&mut self, partition: TopicPartition, offset: Offset, metadata: Arc<str>) {
        let cost = OVERHEAD + metadata.len();
        if let Some((_, previous)) = self.offsets.insert(partition, (offset, metadata)) {
            self.bytes -= OVERHEAD + previous.len();
        }
        self.bytes += cost;
    }
}
