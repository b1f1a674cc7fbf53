//! Records of one partition in one piece of memory.
//!
//! The same bytes are what an outbox fills, what the embedded log stores and what a consumer reads, so a
//! record is copied once on its way in and never on its way out. Layout of one record, little-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | offset − base offset |
//! | 4 | key length, `u32::MAX` for null |
//! | 4 | value length, `u32::MAX` for null (a tombstone) |
//! | 4 | length of the encoded headers |
//! | 8 | timestamp, ms since the epoch |
//! | … | key, value, headers |

use crate::{Error, ErrorKind, HeaderIter, Offset, Result, Timestamp, spare};

/// Zero bytes kept readable after the last record, so that decoders may load whole words at its end.
pub const BATCH_PADDING: usize = 32;

/// Fixed part of a record, before its key.
const RECORD_HEAD: usize = 24;

/// A null key or value, told apart from an empty one.
const NULL: u32 = u32::MAX;

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Where the record stands in its partition.
    pub offset: Offset,
    /// Create time, or append time where the topic says so.
    pub timestamp: Timestamp,
    /// Key bytes; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a null value, a tombstone.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Headers in the order they were written.
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter::new(self.headers)
    }

    /// The headers as they are encoded, for a copy to another topic.
    pub fn raw_headers(&self) -> &'a [u8] {
        self.headers
    }
}

/// Records collected for one partition, in the form in which they will be stored.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    count: u32,
    last_timestamp: Timestamp,
    /// Some record waits for [`BatchBuilder::stamp_missing`].
    unstamped: bool,
}

impl BatchBuilder {
    /// Adds a record; `headers` come from [`crate::encode_headers`].
    #[inline]
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[u8], timestamp: Timestamp) {
        let size = |part: Option<&[u8]>| part.map_or(NULL, |part| part.len() as u32);
        let mut head = [0u8; RECORD_HEAD];
        head[0..4].copy_from_slice(&self.count.to_le_bytes());
        head[4..8].copy_from_slice(&size(key).to_le_bytes());
        head[8..12].copy_from_slice(&size(value).to_le_bytes());
        head[12..16].copy_from_slice(&(headers.len() as u32).to_le_bytes());
        head[16..24].copy_from_slice(&timestamp.to_le_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.bytes.extend_from_slice(headers);
        self.count += 1;
        self.last_timestamp = self.last_timestamp.max(timestamp);
        self.unstamped |= timestamp < 0;
    }

    /// Adds a record with a gap before it, as compaction leaves them; `delta` counts from the base offset
    /// and must be larger than that of the record before.
    pub fn push_at(&mut self, delta: u32, record: &RecordView<'_>) {
        let start = self.bytes.len();
        self.push(record.key, record.value, record.raw_headers(), record.timestamp);
        self.bytes[start..start + 4].copy_from_slice(&delta.to_le_bytes());
    }

    /// Gives records with a negative timestamp this one: those whose time is that of the append.
    pub fn stamp_missing(&mut self, timestamp: Timestamp) {
        if std::mem::take(&mut self.unstamped) {
            self.stamp(timestamp, |bytes| bytes[7] & 0x80 != 0);
            self.last_timestamp = self.last_timestamp.max(timestamp);
        }
    }

    /// Gives every record this timestamp, whatever it had.
    pub fn stamp_all(&mut self, timestamp: Timestamp) {
        self.unstamped = false;
        self.stamp(timestamp, |_| true);
        self.last_timestamp = timestamp;
    }

    fn stamp(&mut self, timestamp: Timestamp, wanted: impl Fn(&[u8]) -> bool) {
        let mut at = 0;
        while at < self.bytes.len() {
            let size = record_size(&self.bytes[at..]).unwrap_or(self.bytes.len() - at);
            let field = &mut self.bytes[at + 16..at + 24];
            if wanted(field) {
                field.copy_from_slice(&timestamp.to_le_bytes());
            }
            at += size;
        }
    }

    /// Cuts the records, where they lie, into parts of about `max_bytes` each, in order; each part is then a batch of
    /// its own, whose base offset is that of its first record. For records without gaps only, see
    /// [`BatchBuilder::push_at`]; the builder itself must not be built or cut again.
    pub fn cut(&mut self, max_bytes: usize) -> Vec<BatchPart> {
        let length = self.bytes.len();
        if length <= max_bytes {
            return vec![BatchPart { range: 0..length, count: self.count, last_timestamp: self.last_timestamp }];
        }
        let mut parts = Vec::with_capacity(length / max_bytes.max(1) + 1);
        let mut at = 0;
        while at < length {
            let (start, mut count, mut last_timestamp) = (at, 0u32, Timestamp::MIN);
            while at < length && (at - start < max_bytes || count == 0) {
                let record = &mut self.bytes[at..];
                let size = record_size(record).unwrap_or(record.len()).min(record.len());
                record[..4].copy_from_slice(&count.to_le_bytes());
                let mut timestamp = [0; 8];
                timestamp.copy_from_slice(&record[16..24]);
                last_timestamp = last_timestamp.max(Timestamp::from_le_bytes(timestamp));
                at += size;
                count += 1;
            }
            parts.push(BatchPart { range: start..at, count, last_timestamp });
        }
        parts
    }

    /// Number of records.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes held, for limits.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The latest timestamp of all records.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }

    /// The records in their stored form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The collected records where they lie, in order; their offsets count from 0.
    pub fn records(&self) -> impl Iterator<Item = RecordView<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (record, behind) = rest.split_at_checked(record_size(rest)?)?;
            rest = behind;
            Some(view(record, 0))
        })
    }

    /// Reads the collected records as a batch that starts at `base_offset`.
    pub fn build(&self, base_offset: Offset) -> Result<Batch> {
        let next_offset = base_offset + Offset::from(self.count);
        Batch::parse(base_offset, next_offset, &self.bytes)
    }
}

/// A piece of a [`BatchBuilder`], see [`BatchBuilder::cut`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// Where its records lie in [`BatchBuilder::as_bytes`].
    pub range: std::ops::Range<usize>,
    /// Number of records.
    pub count: u32,
    /// The latest timestamp of them.
    pub last_timestamp: Timestamp,
}

/// Records of one partition as a consumer reads them.
#[derive(Debug)]
pub struct Batch {
    base_offset: Offset,
    next_offset: Offset,
    /// The records, then [`BATCH_PADDING`] zero bytes.
    bytes: Vec<u8>,
    /// Where each record starts.
    starts: Vec<u32>,
}

impl Batch {
    /// A vector with room for so many bytes, padding included: memory of a batch that is gone, if there is any, with
    /// whatever was in it.
    pub fn memory(capacity: usize) -> Vec<u8> {
        spare::take(capacity)
    }

    /// Checks every length once, so that reading a record later needs no check; `next_offset` is the offset
    /// to read after this batch (compaction may have dropped the records before it).
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a record does not fit its bytes or offsets do not grow.
    pub fn parse(base_offset: Offset, next_offset: Offset, records: &[u8]) -> Result<Batch> {
        let mut bytes = spare::take(records.len() + BATCH_PADDING);
        bytes.clear();
        bytes.extend_from_slice(records);
        bytes.resize(records.len() + BATCH_PADDING, 0);
        Batch::from_padded(base_offset, next_offset, bytes)
    }

    /// As [`Batch::parse`], for bytes that are there already: the records, then [`BATCH_PADDING`] zero bytes. Memory for
    /// them comes from [`Batch::memory`].
    ///
    /// # Errors
    /// See [`Batch::parse`]; bytes without their padding are [`ErrorKind::Corrupt`] too.
    pub fn from_padded(base_offset: Offset, next_offset: Offset, bytes: Vec<u8>) -> Result<Batch> {
        let corrupt = |at: usize| {
            Error::new(ErrorKind::Corrupt, format!("a batch at offset {base_offset} makes no sense at byte {at}"))
        };
        let length = bytes.len().checked_sub(BATCH_PADDING).ok_or_else(|| corrupt(0))?;
        let records = &bytes[..length];
        if records.len() > u32::MAX as usize {
            return Err(corrupt(records.len()));
        }
        // Records of one partition are mostly of one size.
        let first = record_size(records).unwrap_or(RECORD_HEAD);
        let mut starts = Vec::with_capacity(records.len() / first + 1);
        let mut at = 0usize;
        let mut previous: Option<u32> = None;
        while at < records.len() {
            let rest = &records[at..];
            let size = record_size(rest).filter(|size| *size <= rest.len()).ok_or_else(|| corrupt(at))?;
            let delta = word(rest, 0);
            if previous.is_some_and(|previous| delta <= previous) || base_offset + Offset::from(delta) >= next_offset {
                return Err(corrupt(at));
            }
            previous = Some(delta);
            let headers = word(rest, 12) as usize;
            if headers > 0 {
                HeaderIter::check(&rest[size - headers..size])?;
            }
            starts.push(at as u32);
            at += size;
        }
        Ok(Batch { base_offset, next_offset, bytes, starts })
    }

    /// Offset of the place where the first record stood when the batch was written.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The offset to read after this batch.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// A batch without records, for offsets that hold nothing to read: transaction markers, aborted records.
    pub fn empty(base_offset: Offset, next_offset: Offset) -> Batch {
        let bytes = vec![0; BATCH_PADDING];
        Batch { base_offset, next_offset, bytes, starts: Vec::new() }
    }

    /// Takes offsets behind the last record in that hold nothing to read; a lower offset has no effect.
    pub fn extend_to(&mut self, next_offset: Offset) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether compaction left no record.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of memory held, for limits.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() + 4 * self.starts.capacity()
    }

    /// Offset of record `index`, without looking at the rest of it.
    #[inline(always)]
    pub fn offset(&self, index: usize) -> Offset {
        self.base_offset + Offset::from(word(&self.bytes[self.starts[index] as usize..], 0))
    }

    /// Record `index`; panics when there is none, as indexing a slice does.
    #[inline]
    pub fn get(&self, index: usize) -> RecordView<'_> {
        view(&self.bytes[self.starts[index] as usize..], self.base_offset)
    }

    /// The value of record `index`, without looking at the rest of it; panics when there is none, as indexing does.
    #[inline(always)]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let record = &self.bytes[self.starts[index] as usize..];
        let head = record.first_chunk::<RECORD_HEAD>()?;
        let (key_len, value_len) = (word(head, 4), word(head, 8));
        if value_len == NULL {
            return None;
        }
        let at = RECORD_HEAD + if key_len == NULL { 0 } else { key_len as usize };
        Some(&record[at..at + value_len as usize])
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RecordView<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The records in their stored form, without padding.
    pub fn record_bytes(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - BATCH_PADDING]
    }

    /// Index of the first record at or after `offset`.
    pub fn index_of(&self, offset: Offset) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.offset(middle) < offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        spare::give(std::mem::take(&mut self.bytes));
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The record at the start of `record`, whose parts lie within it.
#[inline]
fn view(record: &[u8], base_offset: Offset) -> RecordView<'_> {
    let (key_len, value_len, headers_len) = (word(record, 4), word(record, 8), word(record, 12) as usize);
    let timestamp = Timestamp::from_le_bytes(record[16..24].try_into().unwrap_or_default());
    let mut at = RECORD_HEAD;
    let mut part = |len: u32| {
        if len == NULL {
            return None;
        }
        at += len as usize;
        Some(&record[at - len as usize..at])
    };
    let key = part(key_len);
    let value = part(value_len);
    let headers = &record[at..at + headers_len];
    RecordView { offset: base_offset + Offset::from(word(record, 0)), timestamp, key, value, headers }
}

/// Size of the record at the start of `bytes`, if its fixed part is there.
fn record_size(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < RECORD_HEAD {
        return None;
    }
    let part = |at: usize| match word(bytes, at) {
        NULL => 0,
        len => len as usize,
    };
    Some(RECORD_HEAD + part(4) + part(8) + word(bytes, 12) as usize)
}
