//! Logs of earlier formats can still be read. The fixtures were written by `examples/pack_log.rs` of their time, and are
//! never written again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::Arc;

use beltline_env::{Files, RealFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions};
use beltline_types::{TopicPartition, encode_headers};

fn unpack(packed: &[u8], root: &Path) {
    let mut rest = packed;
    while !rest.is_empty() {
        let mut number = || {
            let (bytes, after) = rest.split_first_chunk::<4>().unwrap();
            rest = after;
            u32::from_le_bytes(*bytes) as usize
        };
        let (path_len, length, kept) = (number(), number(), number());
        let (path, after) = rest.split_at(path_len);
        let (bytes, after) = after.split_at(kept);
        rest = after;
        let path = root.join(std::str::from_utf8(path).unwrap());
        RealFiles.create_directories(path.parent().unwrap()).unwrap();
        let mut file = RealFiles.create(&path).unwrap();
        file.write_all(bytes).unwrap();
        file.write_all(&vec![0; length - kept]).unwrap();
    }
}

#[test]
fn format_1() {
    let directory = tempfile::tempdir().unwrap();
    unpack(include_bytes!("fixtures/format-1.pack"), directory.path());
    let clock = Arc::new(SystemClock::default());
    let log = EmbeddedLog::open(directory.path(), LogOptions::default(), clock).unwrap();
    let topics: Vec<_> =
        log.topics().unwrap().into_iter().map(|topic| (topic.name.to_string(), topic.partitions)).collect();
    assert_eq!(topics, [("changes".to_owned(), 1), ("orders".to_owned(), 2)]);
    let orders = TopicPartition::new("orders", 1);
    let found = log.fetch(&orders, 0, 1 << 20).unwrap();
    let records: Vec<_> = found.batches.iter().flat_map(|batch| batch.iter()).collect();
    assert_eq!(records.len(), 6);
    assert_eq!((records[4].key, records[4].value), (Some(&b"ada"[..]), Some(&b"order 2"[..])));
    assert_eq!((records[4].offset, records[4].timestamp), (4, 1002));
    assert_eq!(records[4].raw_headers(), encode_headers([("trace", Some(&b"7"[..])), ("none", None)]));
    assert_eq!((records[5].key, records[5].value, records[5].timestamp), (None, None, 2002));
    assert_eq!(log.committed("shop", &[orders]).unwrap(), [Some(2)]);
    assert_eq!(log.offsets(&TopicPartition::new("changes", 0)).unwrap().end, 3);
}
