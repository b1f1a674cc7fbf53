//! Letting the oldest records go, by age and by size. The newest block always stays: it says where the partition ends.

use beltline_types::Result;

use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;

/// Applies a topic's retention once.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    let has_limit = topic.info.retention_ms.is_some() || topic.info.retention_bytes.is_some();
    if !has_limit || !topic.info.cleanup.deletes() {
        return Ok(());
    }
    topic.partitions.iter().try_for_each(|partition| apply_to(log, topic, partition))
}

fn apply_to(log: &Shared, topic: &Topic, partition: &Partition) -> Result<()> {
    let oldest = topic.info.retention_ms.map(|retention| log.clock.now_ms().saturating_sub(retention));
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
    log.let_go(topic, partition, new_start, false)
}
