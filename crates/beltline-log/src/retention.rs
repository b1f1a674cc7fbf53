//! Letting the oldest records go, by age and by size. The newest block always stays: it says where the partition ends.

use std::ops::ControlFlow;

use beltline_types::{Offset, Result};

use crate::block;
use crate::block_store::{Change, Space};
use crate::catalog::{Partition, Topic};
use crate::embedded::Shared;
use crate::keys;

/// Applies a topic's retention once.
pub(crate) fn apply(log: &Shared, topic: &Topic) -> Result<()> {
    if topic.info.retention_ms.is_none() && topic.info.retention_bytes.is_none() {
        return Ok(());
    }
    topic.partitions.iter().try_for_each(|partition| apply_to(log, topic, partition))
}

fn apply_to(log: &Shared, topic: &Topic, partition: &Partition) -> Result<()> {
    let mut blocks: Vec<(Offset, u64, i64)> = Vec::new();
    let mut failure = None;
    let key = partition.key;
    log.store.scan(Space::Blocks, &key.block(0), &key.end(), &mut |key, value| {
        let base = keys::block_offset(key).unwrap_or(0);
        match block::read(&partition.name, base, value) {
            Ok((header, _)) => blocks.push((base, value.len() as u64, header.last_timestamp)),
            Err(error) => failure = Some(error),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let oldest = topic.info.retention_ms.map(|retention| log.clock.now_ms() - retention);
    let mut total: u64 = blocks.iter().map(|(_, bytes, _)| bytes).sum();
    let mut gone = 0;
    while gone + 1 < blocks.len() {
        let (_, bytes, timestamp) = blocks[gone];
        let too_old = oldest.is_some_and(|oldest| timestamp < oldest);
        let too_much = topic.info.retention_bytes.is_some_and(|limit| total > limit);
        if !too_old && !too_much {
            break;
        }
        total -= bytes;
        gone += 1;
    }
    if gone == 0 {
        return Ok(());
    }
    // Readers are told first: nobody may be sent to a block that is about to go.
    let start = partition.range().start;
    partition.set_start(blocks[gone].0);
    let changes = blocks[..gone].iter().map(|(base, ..)| Change::remove(Space::Blocks, key.block(*base)));
    log.rewrite(topic, changes.collect()).map(drop).inspect_err(|_| partition.set_start(start))
}
