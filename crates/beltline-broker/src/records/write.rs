//! Stored records as a consumer reads them: uncompressed batches of format 2.

use std::ops::Range;

use beltline_types::{Batch, Offset, RecordView, TimestampType};

use super::{CHECKED_FROM, HEAD, MAGIC, PREFIX, varint};

/// A batch is closed at about this size, so that a consumer's checksum and memory work on pieces.
const BATCH_BYTES: usize = 1 << 20;

/// The bit of the attributes that says that records carry the time of the append.
const LOG_APPEND_TIME: u8 = 0x08;

/// The epoch of the one leader there ever is.
const LEADER_EPOCH: i32 = 0;

/// Appends the records of `offsets`, at least one and then as many as keep `output` within `limit`. A stretch without
/// records (compaction took them) becomes a batch without records, so that the consumer moves on.
pub fn write_batches(
    output: &mut Vec<u8>,
    batches: &[Batch],
    offsets: Range<Offset>,
    limit: usize,
    timestamps: TimestampType,
) {
    let mut open: Option<OpenBatch> = None;
    let from = offsets.start;
    let mut next = from;
    let mut is_full = false;
    'batches: for batch in batches {
        for index in batch.index_of(from)..batch.len() {
            let record = batch.get(index);
            let size = record_size(&record);
            let room = output.len() + size + HEAD;
            if next > from && room > limit {
                is_full = true;
                break 'batches;
            }
            if open.as_ref().is_some_and(|open| !open.takes(output.len(), &record)) {
                open.take().into_iter().for_each(|open| open.close(output, next, timestamps));
            }
            open.get_or_insert_with(|| OpenBatch::begin(output, &record)).push(output, &record);
            next = record.offset + 1;
        }
        next = next.max(batch.next_offset());
    }
    if !is_full {
        next = next.max(offsets.end);
    }
    match open {
        // Room that compaction left behind the last record belongs to its batch, unless the records go on.
        Some(open) => {
            let end = if is_full { open.last_offset + 1 } else { next };
            open.close(output, end, timestamps);
        }
        None if next > from => OpenBatch::empty(output, from).close(output, next, timestamps),
        None => {}
    }
}

struct OpenBatch {
    start: usize,
    base_offset: Offset,
    last_offset: Offset,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
}

impl OpenBatch {
    fn begin(output: &mut Vec<u8>, first: &RecordView<'_>) -> OpenBatch {
        let open = OpenBatch {
            start: output.len(),
            base_offset: first.offset,
            last_offset: first.offset,
            base_timestamp: first.timestamp,
            max_timestamp: first.timestamp,
            count: 0,
        };
        output.resize(open.start + HEAD, 0);
        open
    }

    fn empty(output: &mut Vec<u8>, base_offset: Offset) -> OpenBatch {
        let start = output.len();
        output.resize(start + HEAD, 0);
        OpenBatch { start, base_offset, last_offset: base_offset, base_timestamp: -1, max_timestamp: -1, count: 0 }
    }

    /// Whether one more record fits: by size, and by the 31 bits an offset within a batch has.
    fn takes(&self, length: usize, record: &RecordView<'_>) -> bool {
        length - self.start < BATCH_BYTES && record.offset - self.base_offset < Offset::from(i32::MAX)
    }

    fn push(&mut self, output: &mut Vec<u8>, record: &RecordView<'_>) {
        let delta = record.offset - self.base_offset;
        let time_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        varint::put(output, body_size(record, delta, time_delta) as i64);
        output.push(0);
        varint::put(output, time_delta);
        varint::put(output, delta);
        varint::put_bytes(output, record.key);
        varint::put_bytes(output, record.value);
        varint::put(output, record.headers().count() as i64);
        for (name, value) in record.headers() {
            varint::put_bytes(output, Some(name.as_bytes()));
            varint::put_bytes(output, value);
        }
        self.last_offset = record.offset;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
    }

    fn close(self, output: &mut [u8], next_offset: Offset, timestamps: TimestampType) {
        let batch = &mut output[self.start..];
        let length = (batch.len() - PREFIX) as i32;
        let last_delta = (next_offset - 1 - self.base_offset).clamp(0, Offset::from(i32::MAX)) as i32;
        batch[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        batch[16] = MAGIC;
        if timestamps == TimestampType::LogAppendTime {
            batch[22] |= LOG_APPEND_TIME;
        }
        batch[23..27].copy_from_slice(&last_delta.to_be_bytes());
        batch[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        batch[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        // No producer: -1 in its id, epoch and sequence.
        batch[43..57].fill(0xff);
        batch[57..61].copy_from_slice(&self.count.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn body_size(record: &RecordView<'_>, delta: Offset, time_delta: i64) -> usize {
    let (mut count, mut headers) = (0, 0);
    for (name, value) in record.headers() {
        count += 1;
        headers += varint::size_of_bytes(Some(name.as_bytes())) + varint::size_of_bytes(value);
    }
    let parts = varint::size_of_bytes(record.key) + varint::size_of_bytes(record.value);
    1 + varint::size(time_delta) + varint::size(delta) + parts + varint::size(count) + headers
}

/// An upper bound of what a record takes, for limits.
fn record_size(record: &RecordView<'_>) -> usize {
    body_size(record, Offset::from(i32::MAX), i64::MAX) + 5
}
