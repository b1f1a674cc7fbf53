//! Records come back as they were written, and positions pass what is no record.

use std::time::Duration;

use beltline_log::Log;
use beltline_types::{BatchBuilder, ErrorKind, TopicPartition};

use crate::support::*;

#[test]
fn records_come_back_as_they_were_written() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut options = options(&unique("codec"));
        options.compression = codec.into();
        let log = connect(options);
        let target = TopicPartition::new(topic(&log, "codecs", 2), 1);
        let mut builder = BatchBuilder::default();
        builder.push(Some(b"k"), Some(b"v"), &header("trace", Some(b"7")), 1_600_000_000_123);
        builder.push(None, Some(b""), &header("none", None), 1_600_000_000_124);
        builder.push(Some(b""), None, &header("empty", Some(b"")), 1_600_000_000_125);
        builder.push(Some(b"long"), Some(&[b'x'; 100_000]), &[], -1);
        let appended = write(&log, &target, builder).unwrap();
        assert_eq!((appended.base_offset, appended.next_offset), (0, 4), "{codec}");

        let records = read_to(&log, &target, 0, 4);
        let shape: Vec<_> = records
            .iter()
            .map(|record| (record.offset, record.key.as_deref(), record.value.as_ref().map(Vec::len)))
            .collect();
        assert_eq!(
            shape,
            [
                (0, Some(&b"k"[..]), Some(1)),
                (1, None, Some(0)),
                (2, Some(&b""[..]), None),
                (3, Some(&b"long"[..]), Some(100_000))
            ],
            "{codec}"
        );
        assert_eq!(records[0].headers, [("trace".to_owned(), Some(b"7".to_vec()))]);
        assert_eq!(records[1].headers, [("none".to_owned(), None)]);
        assert_eq!(records[2].headers, [("empty".to_owned(), Some(Vec::new()))]);
        assert_eq!(records[2].timestamp, 1_600_000_000_125);
        assert!(records[3].timestamp > 1_600_000_000_125, "the time of the append");
    }
}

#[test]
fn a_fetch_takes_what_it_may_and_goes_on_where_it_stopped() {
    let log = connect(options(&unique("steps")));
    let target = TopicPartition::new(topic(&log, "steps", 1), 0);
    write(&log, &target, values((0..5000).map(|number| format!("{number:0100}")))).unwrap();
    let (mut at, mut seen, mut calls) = (0, 0, 0);
    while at < 5000 {
        let fetched = log.fetch(&target, at, 10_000).unwrap();
        for batch in &fetched.batches {
            assert_eq!(batch.base_offset(), at);
            assert!(batch.byte_len() < 20_000);
            calls += 1;
        }
        if fetched.next_offset == at {
            seen = log.wait(seen, Duration::from_millis(200));
        }
        at = fetched.next_offset;
    }
    assert!(calls > 50);
    // Back and forth.
    assert_eq!(read_to(&log, &target, 4990, 5000).len(), 10);
    assert_eq!(read_to(&log, &target, 17, 20).first().unwrap().offset, 17);
}

#[test]
fn what_is_read_ahead_has_a_limit() {
    let group = unique("bounded");
    let mut options = options(&group);
    options.queued_bytes_per_partition = 1 << 20;
    let log = connect(options);
    let target = TopicPartition::new(topic(&log, "bounded", 1), 0);
    for _ in 0..10 {
        write(&log, &target, values((0..10_000).map(|number| format!("{number:01000}")))).unwrap();
    }
    let before = resident_bytes();
    // The first fetch opens the partition; nobody takes the rest.
    log.fetch(&target, 0, 1000).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let grown = resident_bytes().saturating_sub(before);
    // 100 MB lie in the topic. A fetch under way may bring what the brokers send at once.
    assert!(grown < 40 << 20, "{grown} bytes were read ahead");
    assert_eq!(read_to(&log, &target, 0, 100_000).len(), 100_000);
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn an_offset_out_of_range_is_said_with_the_range_and_reading_can_go_on() {
    let log = connect(options(&unique("range")));
    let target = TopicPartition::new(topic(&log, "range", 1), 0);
    write(&log, &target, values(["a".into(), "b".into()])).unwrap();
    let mut error = None;
    eventually("the brokers refuse the offset", || {
        error = log.fetch(&target, 50, 1000).err();
        error.is_some()
    });
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
    assert!(error.to_string().contains("0..2"), "{error}");
    assert_eq!(texts(&read_to(&log, &target, 0, 2)), ["a", "b"]);
}

#[test]
fn a_topic_that_is_not_there_or_goes_away_is_named() {
    let log = connect(options(&unique("missing")));
    let name = unique("nowhere");
    let error = log.fetch(&TopicPartition::new(&*name, 0), 0, 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&name), "{error}");
    let error = write(&log, &TopicPartition::new(&*name, 0), values(["a".into()])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    let target = TopicPartition::new(topic(&log, "going", 1), 0);
    let error = log.fetch(&TopicPartition::new(target.topic.clone(), 7), 0, 1000).unwrap_err();
    assert!(error.to_string().contains("1 partitions"), "{error}");
    write(&log, &target, values(["a".into()])).unwrap();
    assert_eq!(read_to(&log, &target, 0, 1).len(), 1);
    log.delete_topic(&target.topic).unwrap();
    eventually("the deleted topic is reported", || {
        log.fetch(&target, 1, 1000).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
}

#[test]
fn a_record_that_is_too_large_is_named() {
    let log = connect(options(&unique("large")));
    let target = TopicPartition::new(topic(&log, "large", 1), 0);
    let mut builder = BatchBuilder::default();
    builder.push(Some(b"k"), Some(&vec![b'x'; 3_000_000]), &[], -1);
    let error = write(&log, &target, builder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    for part in [&target.to_string(), "3000001 bytes", "message.max.bytes"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // The log goes on.
    write(&log, &target, values(["a".into()])).unwrap();
}

#[test]
fn a_wait_ends_when_something_is_new() {
    let log = connect(options(&unique("wake")));
    let target = TopicPartition::new(topic(&log, "wake", 1), 0);
    // Reading begins, and says where the end is.
    let mut seen = 0;
    eventually("nothing is new", || {
        let last = seen;
        log.fetch(&target, 0, 1000).unwrap();
        seen = log.wait(last, Duration::from_millis(500));
        seen == last
    });
    let begun = std::time::Instant::now();
    write(&log, &target, values(["a".into()])).unwrap();
    assert_ne!(log.wait(seen, Duration::from_secs(10)), seen);
    assert!(begun.elapsed() < Duration::from_secs(5));
    log.interrupt();
}
