//! A produced batch, checked and turned into the log's form.

use beltline_types::{BatchBuilder, encode_headers};

use super::{CHECKED_FROM, HEAD, MAGIC, PREFIX, compression, varint};

const CODEC_BITS: i16 = 0x07;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// More headers on one record than anybody has; each costs memory while it is read.
const MAX_HEADERS: i64 = 10_000;

/// Who produced a batch, for idempotence; producers without it say -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Number the broker gave it.
    pub id: i64,
    /// Grows each time the id is taken over.
    pub epoch: i16,
    /// Sequence number of the first record in its partition.
    pub first_sequence: i32,
}

/// A batch whose checksum, lengths and numbers agree.
#[derive(Debug)]
pub struct ReadBatch {
    /// The records in the log's form.
    pub records: BatchBuilder,
    /// The producer, if it is an idempotent one.
    pub producer: Option<Producer>,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The checksum is wrong or lengths do not agree.
    Corrupt,
    /// It is whole but must not be produced: another format, several batches, control records, wrong numbers.
    Invalid(&'static str),
    /// It is larger than a batch may be, compressed or not.
    TooLarge,
}

/// Reads the one batch a produce request may hold for a partition.
///
/// # Errors
/// See [`Refused`].
pub fn read_batch(bytes: &[u8], max_bytes: usize, max_uncompressed_bytes: usize) -> Result<ReadBatch, Refused> {
    if bytes.len() < HEAD {
        return Err(Refused::Corrupt);
    }
    if bytes[16] != MAGIC {
        return Err(Refused::Invalid("only record batches of format 2 are taken"));
    }
    let length = usize::try_from(i32_at(bytes, 8)).map_err(|_| Refused::Corrupt)?.saturating_add(PREFIX);
    if length < HEAD || length > bytes.len() {
        return Err(Refused::Corrupt);
    }
    if length < bytes.len() {
        return Err(Refused::Invalid("a request holds one record batch for a partition, this one holds more"));
    }
    if length > max_bytes {
        return Err(Refused::TooLarge);
    }
    if crc32c::crc32c(&bytes[CHECKED_FROM..]) != i32_at(bytes, 17) as u32 {
        return Err(Refused::Corrupt);
    }
    let attributes = i16_at(bytes, 21);
    if attributes & CONTROL != 0 {
        return Err(Refused::Invalid("a producer must not write control records"));
    }
    let count = i32_at(bytes, 57);
    if count < 1 || i32_at(bytes, 23) != count - 1 {
        return Err(Refused::Invalid("the number of records and the last offset do not agree"));
    }
    let codec = (attributes & CODEC_BITS) as u8;
    // The checksum is right from here on: what makes no sense now was not damaged on its way, and sending it again is
    // of no use.
    let Some(records) = compression::decompress(codec, &bytes[HEAD..], max_uncompressed_bytes) else {
        return Err(Refused::Invalid("the records cannot be decompressed, or become larger than allowed"));
    };
    let id = i64_at(bytes, 43);
    let producer = Producer { id, epoch: i16_at(bytes, 51), first_sequence: i32_at(bytes, 53) };
    Ok(ReadBatch {
        records: read_records(&records, count, i64_at(bytes, 27))?,
        producer: (id >= 0).then_some(producer),
        is_transactional: attributes & TRANSACTIONAL != 0,
    })
}

fn read_records(mut bytes: &[u8], count: i32, base_timestamp: i64) -> Result<BatchBuilder, Refused> {
    let mut builder = BatchBuilder::default();
    let mut headers: Vec<(&str, Option<&[u8]>)> = Vec::new();
    for index in 0..count {
        let record = varint::take_bytes(&mut bytes).flatten();
        record
            .and_then(|record| read_record(record, index, base_timestamp, &mut headers, &mut builder))
            .ok_or(Refused::Invalid("a record makes no sense"))?;
    }
    if bytes.is_empty() { Ok(builder) } else { Err(Refused::Invalid("bytes lie behind the last record")) }
}

fn read_record<'a>(
    mut record: &'a [u8],
    index: i32,
    base_timestamp: i64,
    headers: &mut Vec<(&'a str, Option<&'a [u8]>)>,
    builder: &mut BatchBuilder,
) -> Option<()> {
    let (_attributes, rest) = record.split_first()?;
    record = rest;
    let timestamp = base_timestamp.checked_add(varint::take(&mut record)?)?;
    let delta = varint::take(&mut record)?;
    if delta != i64::from(index) {
        return None;
    }
    let key = varint::take_bytes(&mut record)?;
    let value = varint::take_bytes(&mut record)?;
    let header_count = varint::take(&mut record)?;
    if !(0..=MAX_HEADERS).contains(&header_count) {
        return None;
    }
    headers.clear();
    for _ in 0..header_count {
        let name = std::str::from_utf8(varint::take_bytes(&mut record)??).ok()?;
        headers.push((name, varint::take_bytes(&mut record)?));
    }
    if !record.is_empty() {
        return None;
    }
    builder.push(key, value, &encode_headers(headers.iter().copied()), timestamp);
    Some(())
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(number)
}
