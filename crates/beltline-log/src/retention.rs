//! Letting the oldest records go, by age and by size. The newest block always stays: it says where the partition ends.

use beltline_types::Result;

use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;
use crate::frame::{Changes, FactChange};
use crate::keys;

/// Applies a topic's retention once.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    if topic.info.retention_ms.is_none() && topic.info.retention_bytes.is_none() {
        return Ok(());
    }
    topic.partitions.iter().try_for_each(|partition| apply_to(log, topic, partition))
}

fn apply_to(log: &Shared, topic: &Topic, partition: &Partition) -> Result<()> {
    let oldest = topic.info.retention_ms.map(|retention| log.clock.now_ms() - retention);
    let new_start = {
        let index = log.segments.index();
        let blocks = index.blocks(partition.key);
        let mut total: u64 = blocks.iter().map(|block| u64::from(block.stored_bytes)).sum();
        let goes = |block: &&crate::index::BlockEntry| {
            let too_old = oldest.is_some_and(|oldest| block.last_timestamp < oldest);
            let too_much = topic.info.retention_bytes.is_some_and(|limit| total > limit);
            total -= u64::from(block.stored_bytes);
            too_old || too_much
        };
        let all_but_last = &blocks[..blocks.len().saturating_sub(1)];
        all_but_last.iter().take_while(goes).last().map(crate::index::BlockEntry::next_offset)
    };
    let Some(new_start) = new_start else { return Ok(()) };
    // Readers are told first: nobody may be sent to a block that is about to go.
    let start = partition.range().start;
    partition.set_start(new_start);
    let fact = FactChange::put(keys::start(partition.key), new_start.to_le_bytes());
    log.rewrite(topic, Changes::of_facts(vec![fact])).map(drop).inspect_err(|_| partition.set_start(start))
}
