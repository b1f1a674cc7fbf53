//! Batches keep what was put in, and refuse bytes that make no sense.

use beltline_types::{Batch, BatchBuilder, ErrorKind, encode_headers};

fn sample() -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    builder.push(Some(b"k"), Some(b"value"), &[], 7);
    builder.push(None, None, &encode_headers([("trace", Some(&b"1"[..])), ("none", None)]), 8);
    builder.push(Some(b""), Some(b""), &[], 9);
    builder
}

#[test]
fn records_come_back_as_written() {
    let batch = sample().build(100).expect("a built batch parses");
    assert_eq!((batch.len(), batch.base_offset(), batch.next_offset()), (3, 100, 103));
    let read: Vec<_> = batch.iter().map(|record| (record.offset, record.timestamp, record.key, record.value)).collect();
    assert_eq!(read[0], (100, 7, Some(&b"k"[..]), Some(&b"value"[..])));
    assert_eq!(read[1], (101, 8, None, None));
    assert_eq!(read[2], (102, 9, Some(&b""[..]), Some(&b""[..])));
    assert_eq!(batch.get(1).headers().collect::<Vec<_>>(), [("trace", Some(&b"1"[..])), ("none", None)]);
}

#[test]
fn gaps_keep_their_offsets() {
    let whole = sample().build(100).expect("parses");
    let mut compacted = BatchBuilder::default();
    compacted.push_at(0, &whole.get(0));
    compacted.push_at(2, &whole.get(2));
    let batch = Batch::parse(100, 103, compacted.as_bytes()).expect("parses");
    assert_eq!(batch.iter().map(|record| record.offset).collect::<Vec<_>>(), [100, 102]);
    assert_eq!((batch.index_of(100), batch.index_of(101), batch.index_of(102), batch.index_of(103)), (0, 1, 1, 2));
}

#[test]
fn every_cut_and_every_flipped_length_is_refused_or_harmless() {
    let bytes = sample().as_bytes().to_vec();
    for cut in 1..bytes.len() {
        if let Ok(batch) = Batch::parse(0, 3, &bytes[..cut]) {
            assert!(batch.len() < 3, "a cut batch cannot be whole");
        }
    }
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 0xff;
        match Batch::parse(0, 3, &broken) {
            Ok(batch) => assert!(batch.iter().all(|record| record.offset < 3)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
    }
}

#[test]
fn append_time_replaces_missing_timestamps_only() {
    let mut builder = BatchBuilder::default();
    builder.push(Some(b"a"), Some(b"1"), &[], -1);
    builder.push(Some(b"b"), None, b"", 7);
    builder.stamp_missing(42);
    builder.stamp_missing(99);
    let batch = builder.build(0).expect("parses");
    assert_eq!(batch.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [42, 7]);
    assert_eq!(builder.last_timestamp(), 42);
}

#[test]
fn a_builder_is_cut_at_records() {
    for max_bytes in [1, 30, 64, 1000] {
        let mut builder = BatchBuilder::default();
        (0..20i64).for_each(|number| builder.push(Some(b"key"), Some(&[7; 20][..number as usize]), &[], number));
        let mut cut = builder.clone();
        let parts = cut.cut(max_bytes);
        assert_eq!(parts.len() == 1, builder.byte_len() <= max_bytes);
        let mut base = 0;
        let mut seen = Vec::new();
        for part in parts {
            let next = base + i64::from(part.count);
            let batch = Batch::parse(base, next, &cut.as_bytes()[part.range]).expect("parses");
            assert_eq!(batch.iter().map(|record| record.timestamp).max(), Some(part.last_timestamp));
            base = batch.next_offset();
            seen.extend(batch.iter().map(|record| (record.offset, record.timestamp, record.value.map(<[u8]>::len))));
        }
        let whole = builder.build(0).expect("parses");
        let expected: Vec<_> =
            whole.iter().map(|record| (record.offset, record.timestamp, record.value.map(<[u8]>::len))).collect();
        assert_eq!(seen, expected);
    }
}
