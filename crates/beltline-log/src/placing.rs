//! Where the records of a commit go: their offsets, their time, and the blocks they are cut into.

use std::sync::Arc;

use beltline_types::{Append, Appended, BatchPart, Offset, Result};

use crate::block::BlockHeader;
use crate::catalog::Partition;
use crate::embedded::Shared;

/// Where the records of one append go.
pub(crate) struct Place {
    pub(crate) partition: Arc<Partition>,
    base_offset: Offset,
    pub(crate) end: Offset,
    parts: Vec<BatchPart>,
}

impl Place {
    /// The blocks of the append; `records` are all of its records.
    pub(crate) fn blocks<'a>(&self, records: &'a [u8]) -> impl Iterator<Item = (BlockHeader, &'a [u8])> {
        let mut next_offset = self.base_offset;
        self.parts.iter().map(move |part| {
            let base_offset = next_offset;
            next_offset += Offset::from(part.count);
            let (partition, last_timestamp) = (self.partition.key, part.last_timestamp);
            (BlockHeader { partition, base_offset, next_offset, last_timestamp }, &records[part.range.clone()])
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.range.len() as u64).sum()
    }
}

impl Shared {
    /// Gives the records of a commit their places, while `writing` is held.
    pub(crate) fn place(&self, appends: &mut [Append]) -> Result<(Vec<Option<Place>>, Vec<Appended>)> {
        let mut places: Vec<Option<Place>> = Vec::with_capacity(appends.len());
        let mut appended = Vec::with_capacity(appends.len());
        for Append { target, records } in appends {
            let partition = self.catalog.partition(target)?;
            // The same partition may come twice in one commit.
            let known = places.iter().rev().flatten().find(|other| other.partition.key == partition.key);
            let base_offset = known.map_or_else(|| partition.range().end, |other| other.end);
            let mut went = Appended::contiguous(base_offset, records.len());
            if records.is_empty() {
                appended.push(went);
                places.push(None);
                continue;
            }
            let end = base_offset + Offset::from(records.len());
            if partition.stamps_all() {
                let now_ms = self.clock.now_ms();
                records.stamp_all(now_ms);
                went.stamped_ms = Some(now_ms);
            } else {
                records.stamp_missing(self.clock.now_ms());
            }
            appended.push(went);
            let parts = records.cut(self.options.block_bytes);
            places.push(Some(Place { partition, base_offset, end, parts }));
        }
        Ok((places, appended))
    }
}
