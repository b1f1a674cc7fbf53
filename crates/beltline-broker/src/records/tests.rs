//! Batches there and back, compressed, damaged, and too large.

use std::io::Write;

use beltline_types::TimestampType::CreateTime;
use beltline_types::{BatchBuilder, encode_headers};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

type Header = (String, Option<Vec<u8>>);
type Record = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>, i64);

fn record() -> impl Strategy<Value = Record> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let headers = prop::collection::vec(("[a-zé]{0,6}", bytes()), 0..3);
    (bytes(), bytes(), headers, 0..4_000_000_000_000i64)
}

fn builder(records: &[Record]) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    for (key, value, headers, timestamp) in records {
        let headers = encode_headers(headers.iter().map(|(name, value)| (&**name, value.as_deref())));
        builder.push(key.as_deref(), value.as_deref(), &headers, *timestamp);
    }
    builder
}

fn written(records: &[Record], base: i64) -> Vec<u8> {
    let batch = builder(records).build(base).unwrap();
    let mut output = Vec::new();
    write_batches(&mut output, &[batch], base..base + records.len() as i64, usize::MAX, CreateTime);
    output
}

/// Replaces the records by compressed ones, and makes length and checksum right again.
fn with_records(batch: &[u8], codec: u8, records: &[u8]) -> Vec<u8> {
    let mut bytes = batch[..HEAD].to_vec();
    bytes.extend_from_slice(records);
    bytes[22] = bytes[22] & !7 | codec;
    let length = (bytes.len() - PREFIX) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn seal(bytes: &mut [u8]) {
    let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// As the Java client frames it.
fn xerial(bytes: &[u8]) -> Vec<u8> {
    let mut output = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in bytes.chunks(100) {
        let block = snappy(chunk);
        output.extend_from_slice(&(block.len() as u32).to_be_bytes());
        output.extend_from_slice(&block);
    }
    output
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(records in prop::collection::vec(record(), 1..40), base in 0..1i64 << 40) {
        let bytes = written(&records, base);
        let read = read_batch(&bytes, LIMIT, LIMIT).unwrap();
        let expected = builder(&records);
        prop_assert_eq!(read.records.as_bytes(), expected.as_bytes());
        prop_assert!(read.producer.is_none() && !read.is_transactional);
        let plain = &bytes[HEAD..];
        for (codec, compressed) in
            [(1, gzip(plain)), (2, snappy(plain)), (2, xerial(plain)), (3, lz4(plain)), (4, zstd(plain))]
        {
            let read = read_batch(&with_records(&bytes, codec, &compressed), LIMIT, LIMIT).unwrap();
            prop_assert_eq!(read.records.as_bytes(), expected.as_bytes(), "codec {}", codec);
        }
    }

    #[test]
    fn any_offset_and_any_limit_gives_what_follows(
        records in prop::collection::vec(record(), 1..60),
        from in 0..60usize,
        limit in 0..3000usize,
    ) {
        let from = from % records.len();
        let batches = [builder(&records[..records.len() / 2]), builder(&records[records.len() / 2..])];
        let half = (records.len() / 2) as i64;
        let batches: Vec<_> = batches.iter().zip([0, half]).map(|(one, base)| one.build(base).unwrap()).collect();
        let mut output = Vec::new();
        write_batches(&mut output, &batches, from as i64..records.len() as i64, limit, CreateTime);
        let read = read_batch(&output, usize::MAX, LIMIT).unwrap().records;
        let count = read.len() as usize;
        prop_assert!(count >= 1 && (count == 1 || output.len() <= limit));
        let expected = builder(&records[from..from + count]);
        prop_assert_eq!(read.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn damage_is_refused_and_never_panics(
        records in prop::collection::vec(record(), 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
        sealed in any::<bool>(),
        codec in 0..8u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written(&records, 0);
        if codec > 0 {
            let plain = bytes[HEAD..].to_vec();
            let compressed = match codec { 1 => gzip(&plain), 2 => xerial(&plain), 3 => lz4(&plain), 4 => zstd(&plain), _ => plain };
            bytes = with_records(&bytes, codec, &compressed);
        }
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if sealed {
            // The checksum is right again, so what is behind it must hold too.
            seal(&mut bytes);
            let _ = read_batch(&bytes, LIMIT, LIMIT);
        } else if at >= 16 {
            prop_assert!(read_batch(&bytes, LIMIT, LIMIT).is_err());
        }
        let _ = read_batch(&bytes[..cut.index(bytes.len())], LIMIT, LIMIT);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), codec in 0..5u8) {
        let _ = read_batch(&bytes, LIMIT, LIMIT);
        let batch = written(&[(None, None, vec![], 0)], 0);
        let _ = read_batch(&with_records(&batch, codec, &bytes), LIMIT, LIMIT);
    }
}

#[test]
fn bombs_are_refused_within_the_limit() {
    let batch = written(&[(None, None, vec![], 0)], 0);
    let zeros = vec![0; 32 << 20];
    for (codec, bomb) in
        [(1, gzip(&zeros)), (2, snappy(&zeros)), (2, xerial(&zeros)), (3, lz4(&zeros)), (4, zstd(&zeros))]
    {
        let refused = read_batch(&with_records(&batch, codec, &bomb), usize::MAX, LIMIT).unwrap_err();
        assert!(matches!(refused, Refused::Invalid(_)), "codec {codec}: {refused:?}");
    }
    // Five bytes that claim four gigabytes.
    let claim = with_records(&batch, 2, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(read_batch(&claim, LIMIT, usize::MAX), Err(Refused::Invalid(_))));
}

#[test]
fn what_a_producer_must_not_send_is_named() {
    let batch = written(&[(Some(b"k".to_vec()), None, vec![], 5)], 0);
    let changed = |at: usize, value: u8| {
        let mut bytes = batch.clone();
        bytes[at] = value;
        seal(&mut bytes);
        read_batch(&bytes, LIMIT, LIMIT).unwrap_err()
    };
    assert!(matches!(changed(16, 1), Refused::Invalid(_)), "an older format");
    assert!(matches!(changed(22, 0x20), Refused::Invalid(_)), "control records");
    assert!(matches!(changed(26, 9), Refused::Invalid(_)), "a last offset that is none");
    assert!(matches!(changed(22, 7), Refused::Invalid(_)), "a codec nobody knows");
    assert!(matches!(read_batch(&[batch.clone(), batch.clone()].concat(), LIMIT, LIMIT), Err(Refused::Invalid(_))));
    assert_eq!(read_batch(&batch, batch.len() - 1, LIMIT).unwrap_err(), Refused::TooLarge);
}

#[test]
fn a_stretch_that_compaction_emptied_is_crossed() {
    let mut output = Vec::new();
    write_batches(&mut output, &[], 5..9, 1000, CreateTime);
    assert_eq!(output.len(), HEAD);
    assert_eq!((output[7], output[26]), (5, 3), "base offset 5, last offset 5 + 3");
    assert_eq!(output[57..61], [0; 4], "no records");
}
