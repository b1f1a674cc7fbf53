//! The log through its trait, on disk and in memory alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beltline_env::{Clock, ManualClock, MemoryFiles, SystemClock, spawn_thread};
use beltline_log::{EmbeddedLog, GroupEvent, Log, LogOptions, SyncPolicy};
use beltline_types::{
    Append, Appended, BatchBuilder, CommitRequest, ErrorKind, Offset, OffsetRange, TimestampType, TopicPartition,
    TopicSpec, encode_headers,
};

fn in_memory(files: &MemoryFiles, options: &LogOptions, clock: &Arc<ManualClock>) -> EmbeddedLog {
    let options = LogOptions { sync: SyncPolicy::Never, ..options.clone() };
    EmbeddedLog::open_in(Arc::new(files.clone()), Path::new("log"), options, clock.clone()).unwrap()
}

/// Runs a test on a fresh log of each kind.
fn on_each(options: &LogOptions, test: impl Fn(&EmbeddedLog, &ManualClock)) {
    let clock = Arc::new(ManualClock::default());
    test(&in_memory(&MemoryFiles::default(), options, &clock), &clock);
    let (clock, directory) = (Arc::new(ManualClock::default()), tempfile::tempdir().unwrap());
    test(&EmbeddedLog::open(directory.path(), options.clone(), clock.clone()).unwrap(), &clock);
}

fn records(values: &[&str]) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    values.iter().for_each(|value| builder.push(Some(b"k"), Some(value.as_bytes()), &[], -1));
    builder
}

fn append(log: &EmbeddedLog, topic: &str, partition: u32, records: BatchBuilder) -> Offset {
    let appends = vec![Append { target: TopicPartition::new(topic, partition), records }];
    log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap().appended[0].base_offset
}

/// Offset and value of everything from `offset` on, in as many fetches as it takes.
fn read(log: &EmbeddedLog, topic: &str, partition: u32, mut offset: Offset) -> Vec<(Offset, String)> {
    let partition = TopicPartition::new(topic, partition);
    let mut found = Vec::new();
    loop {
        let batches = log.fetch(&partition, offset, 1).unwrap().batches;
        let Some(last) = batches.last() else { return found };
        for record in batches.iter().flat_map(|batch| batch.iter()) {
            if record.offset >= offset {
                found.push((record.offset, String::from_utf8_lossy(record.value.unwrap_or(b"-")).into_owned()));
            }
        }
        offset = last.next_offset();
    }
}

fn values(log: &EmbeddedLog, topic: &str) -> Vec<String> {
    let start = log.offsets(&TopicPartition::new(topic, 0)).unwrap().start;
    read(log, topic, 0, start).into_iter().map(|(_, value)| value).collect()
}

#[test]
fn a_topic_can_carry_the_time_of_the_append() {
    let (files, clock) = (MemoryFiles::default(), Arc::new(ManualClock::default()));
    let log = in_memory(&files, &LogOptions::default(), &clock);
    let appended = TopicSpec { timestamps: TimestampType::LogAppendTime, ..TopicSpec::new("appended", 1) };
    log.create_topics(&[appended, TopicSpec::new("created", 1)]).unwrap();
    let now = clock.now_ms();
    let times = |log: &EmbeddedLog, topic| -> Vec<i64> {
        let mut given = BatchBuilder::default();
        [7, -1].into_iter().for_each(|time| given.push(None, Some(b"v"), &[], time));
        let base = append(log, topic, 0, given);
        let found = log.fetch(&TopicPartition::new(topic, 0), base, 1).unwrap();
        found.batches[0].iter().map(|record| record.timestamp).collect()
    };
    assert_eq!(times(&log, "appended"), [now, now]);
    assert_eq!(times(&log, "created"), [7, now]);
    drop(log);
    let log = in_memory(&files, &LogOptions::default(), &clock);
    assert_eq!(log.topic("appended").unwrap().unwrap().timestamps, TimestampType::LogAppendTime);
    assert_eq!(times(&log, "appended"), [now, now]);
}

#[test]
fn records_come_back_as_they_were_written() {
    on_each(&LogOptions::default(), |log, clock| {
        log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
        let headers = encode_headers([("trace", Some(&b"7"[..])), ("none", None)]);
        let mut builder = BatchBuilder::default();
        builder.push(Some(b"key"), Some(b"value"), &headers, 123);
        builder.push(None, None, &[], -1);
        assert_eq!(append(log, "t", 1, builder), 0);
        assert_eq!(append(log, "t", 1, records(&["later"])), 2);
        let found = log.fetch(&TopicPartition::new("t", 1), 0, 1 << 20).unwrap();
        assert_eq!(found.range, OffsetRange { start: 0, end: 3 });
        let all: Vec<_> = found.batches.iter().flat_map(|batch| batch.iter()).collect();
        assert_eq!((all[0].key, all[0].value, all[0].timestamp), (Some(&b"key"[..]), Some(&b"value"[..]), 123));
        assert_eq!(all[0].raw_headers(), headers);
        assert_eq!((all[1].key, all[1].value, all[1].timestamp), (None, None, clock.now_ms()));
        assert_eq!(read(log, "t", 1, 1), [(1, "-".into()), (2, "later".into())]);
        assert!(log.fetch(&TopicPartition::new("t", 0), 0, 1).unwrap().batches.is_empty());
    });
}

#[test]
fn what_does_not_exist_is_named() {
    on_each(&LogOptions::default(), |log, _| {
        log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
        let missing = log.fetch(&TopicPartition::new("nope", 0), 0, 1).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("nope"));
        let missing = log.offsets(&TopicPartition::new("t", 2)).unwrap_err();
        assert!(missing.to_string().contains("t has 2 partitions"), "{missing}");
        let outside = log.fetch(&TopicPartition::new("t", 0), 5, 1).unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::OffsetOutOfRange);
        assert!(outside.to_string().contains("0 to 0"), "{outside}");
        for name in ["", "..", "a b", "a/b", &"x".repeat(250)] {
            assert_eq!(log.create_topics(&[TopicSpec::new(name, 1)]).unwrap_err().kind(), ErrorKind::Usage, "{name}");
        }
        assert_eq!(log.create_topics(&[TopicSpec::new("none", 0)]).unwrap_err().kind(), ErrorKind::Usage);
    });
}

#[test]
fn a_commit_is_all_or_nothing() {
    on_each(&LogOptions::default(), |log, _| {
        log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
        let bad = CommitRequest {
            group: "g".into(),
            appends: vec![Append { target: TopicPartition::new("t", 0), records: records(&["a"]) }],
            offsets: vec![(TopicPartition::new("nope", 0), 1)],
            ..CommitRequest::default()
        };
        assert_eq!(log.commit(bad).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(log.offsets(&TopicPartition::new("t", 0)).unwrap().end, 0);
        let twice = |value| Append { target: TopicPartition::new("t", 0), records: records(&[value]) };
        let good = CommitRequest {
            group: "g".into(),
            appends: vec![twice("a"), twice("b")],
            offsets: vec![(TopicPartition::new("t", 0), 1)],
            ..CommitRequest::default()
        };
        assert_eq!(log.commit(good).unwrap().appended, [Appended::contiguous(0, 1), Appended::contiguous(1, 1)]);
        assert_eq!(values(log, "t"), ["a", "b"]);
    });
}

#[test]
fn groups_keep_their_offsets_apart() {
    on_each(&LogOptions::default(), |log, _| {
        log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
        let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        for (group, offset) in [("g", 3), ("g2", 4)] {
            let offsets = vec![(partitions[1].clone(), offset)];
            log.commit(CommitRequest { group: group.into(), offsets, ..CommitRequest::default() }).unwrap();
        }
        assert_eq!(log.committed("g", &partitions).unwrap(), [None, Some(3)]);
        log.reset_group("g").unwrap();
        assert_eq!(log.committed("g", &partitions).unwrap(), [None, None]);
        assert_eq!(log.committed("g2", &partitions).unwrap(), [None, Some(4)]);
    });
}

#[test]
fn a_deleted_topic_takes_everything_with_it() {
    on_each(&LogOptions::default(), |log, _| {
        log.create_topics(&[TopicSpec::new("t", 1), TopicSpec::new("u", 1)]).unwrap();
        append(log, "t", 0, records(&["old"]));
        append(log, "u", 0, records(&["kept"]));
        let partition = TopicPartition::new("t", 0);
        let offsets = vec![(partition.clone(), 1)];
        log.commit(CommitRequest { group: "g".into(), offsets, ..CommitRequest::default() }).unwrap();
        log.delete_topic("t").unwrap();
        log.delete_topic("t").unwrap();
        assert_eq!(log.topic("t").unwrap(), None);
        log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
        assert_eq!(log.offsets(&partition).unwrap(), OffsetRange::default());
        assert_eq!(log.committed("g", std::slice::from_ref(&partition)).unwrap(), [None]);
        assert_eq!(values(log, "u"), ["kept"]);
    });
}

#[test]
fn a_large_append_becomes_several_blocks() {
    let options = LogOptions { block_bytes: 200, ..LogOptions::default() };
    on_each(&options, |log, _| {
        log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
        let all: Vec<String> = (0..50).map(|number| format!("value {number}")).collect();
        append(log, "t", 0, records(&all.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(values(log, "t"), all);
        let first = log.fetch(&TopicPartition::new("t", 0), 0, 1).unwrap().batches;
        assert!(first.len() == 1 && first[0].len() < 10, "{} records in one block", first[0].len());
        // A read in the middle begins with the block that holds the offset.
        assert_eq!(read(log, "t", 0, 17)[0], (17, "value 17".into()));
    });
}

#[test]
fn old_records_go_by_age_and_by_size_but_never_the_last_block() {
    on_each(&LogOptions::default(), |log, clock| {
        let aged = TopicSpec { retention_ms: Some(1000), ..TopicSpec::new("aged", 1) };
        let sized = TopicSpec { retention_bytes: Some(70), ..TopicSpec::new("sized", 1) };
        log.create_topics(&[aged, sized]).unwrap();
        for value in ["a", "b", "c", "d", "e"] {
            append(log, "aged", 0, records(&[value]));
            append(log, "sized", 0, records(&[value]));
            clock.advance(Duration::from_millis(400));
        }
        log.maintain().unwrap();
        assert_eq!(values(log, "aged"), ["d", "e"]);
        assert_eq!(values(log, "sized"), ["d", "e"]);
        clock.advance(Duration::from_secs(3600));
        log.maintain().unwrap();
        assert_eq!(log.offsets(&TopicPartition::new("aged", 0)).unwrap(), OffsetRange { start: 4, end: 5 });
        let gone = log.fetch(&TopicPartition::new("aged", 0), 0, 1).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::OffsetOutOfRange);
    });
}

#[test]
fn compaction_keeps_the_last_record_of_each_key_and_all_offsets() {
    let options = LogOptions { compact_min_bytes: 1, tombstone_retention_ms: 1000, ..LogOptions::default() };
    on_each(&options, |log, clock| {
        log.create_topics(&[TopicSpec::new("t", 1).compacted()]).unwrap();
        let write = |key: &str, value: Option<&str>| {
            let mut builder = BatchBuilder::default();
            builder.push(Some(key.as_bytes()), value.map(str::as_bytes), &[], -1);
            append(log, "t", 0, builder);
        };
        write("gone", Some("x"));
        write("gone", None);
        clock.advance(Duration::from_secs(2));
        for round in 0..3 {
            write("a", Some(&format!("a{round}")));
            write("b", Some(&format!("b{round}")));
        }
        write("fresh", None);
        log.maintain().unwrap();
        assert_eq!(read(log, "t", 0, 0), [(6, "a2".into()), (7, "b2".into()), (8, "-".into())]);
        assert_eq!(log.offsets(&TopicPartition::new("t", 0)).unwrap().end, 9);
        write("a", Some("a3"));
        assert_eq!(read(log, "t", 0, 7), [(7, "b2".into()), (8, "-".into()), (9, "a3".into())]);
        // Worth it again only when as much was appended as the last time left.
        log.maintain().unwrap();
        assert_eq!(values(log, "t"), ["a2", "b2", "-", "a3"]);
        (0..5).for_each(|_| write("a", Some("a4")));
        log.maintain().unwrap();
        assert_eq!(values(log, "t"), ["b2", "-", "a4"]);
    });
}

#[test]
fn everything_is_there_after_opening_again() {
    let (clock, directory): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::default()), tempfile::tempdir().unwrap());
    let options = LogOptions { sync: SyncPolicy::Always, compact_min_bytes: 1, ..LogOptions::default() };
    for round in 0..4 {
        let log = EmbeddedLog::open(directory.path(), options.clone(), clock.clone()).unwrap();
        let changelog = TopicSpec::new("changes", 1).compacted();
        log.create_topics(&[TopicSpec::new("t", 3), changelog]).unwrap();
        assert_eq!(append(&log, "t", 2, records(&["a", "b"])), 2 * round);
        append(&log, "changes", 0, records(&["a", "b"]));
        log.maintain().unwrap();
        assert_eq!(read(&log, "t", 2, 0).len() as i64, 2 * round + 2);
        assert_eq!(values(&log, "changes"), ["b"]);
        assert_eq!(log.offsets(&TopicPartition::new("changes", 0)).unwrap().end, 2 * round + 2);
        let offsets = vec![(TopicPartition::new("t", 2), round)];
        log.commit(CommitRequest { group: "g".into(), offsets, ..CommitRequest::default() }).unwrap();
        assert_eq!(log.committed("g", &[TopicPartition::new("t", 2)]).unwrap(), [Some(round)]);
        assert_eq!(log.topics().unwrap().len(), 2);
    }
}

#[test]
fn one_process_opens_a_log_once() {
    let (clock, directory): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::default()), tempfile::tempdir().unwrap());
    let _first = EmbeddedLog::open(directory.path(), LogOptions::default(), clock.clone()).unwrap();
    let second = EmbeddedLog::open(directory.path(), LogOptions::default(), clock).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::DataDirectory, "{second}");
}

#[test]
fn a_reader_is_woken_by_an_append() {
    let log = Arc::new(EmbeddedLog::in_memory(Arc::new(ManualClock::default())).unwrap());
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    let version = log.wait(0, Duration::ZERO);
    assert_eq!(log.wait(version, Duration::from_millis(1)), version);
    let reader = log.clone();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = spawn_thread("reader", move || sender.send(reader.wait(version, Duration::from_secs(30))).unwrap());
    append(&log, "t", 0, records(&["a"]));
    assert_ne!(receiver.recv_timeout(Duration::from_secs(30)).unwrap(), version);
    waiting.unwrap().join().unwrap();
}

#[test]
fn a_power_failure_takes_back_whole_commits() {
    let (files, clock) = (MemoryFiles::default(), Arc::new(ManualClock::default()));
    let log = in_memory(&files, &LogOptions::default(), &clock);
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    append(&log, "t", 0, records(&["kept"]));
    log.sync().unwrap();
    let offsets = vec![(TopicPartition::new("t", 0), 1)];
    let appends = vec![Append { target: TopicPartition::new("t", 0), records: records(&["lost"]) }];
    log.commit(CommitRequest { group: "g".into(), appends, offsets, ..CommitRequest::default() }).unwrap();
    files.crash();
    drop(log);
    let log = in_memory(&files, &LogOptions::default(), &clock);
    assert_eq!(values(&log, "t"), ["kept"]);
    assert_eq!(log.committed("g", &[TopicPartition::new("t", 0)]).unwrap(), [None]);
    assert_eq!(append(&log, "t", 0, records(&["again"])), 1);
}

#[test]
fn the_only_member_gets_every_partition_once_and_anew_after_it_left() {
    on_each(&LogOptions::default(), |log, _| {
        log.create_topics(&[TopicSpec::new("a", 2), TopicSpec::new("b", 1)]).unwrap();
        assert_eq!(log.join("group", &["missing".into()]).unwrap_err().kind(), ErrorKind::NotFound);
        let poll = || log.poll_group(Duration::ZERO).unwrap();
        assert_eq!(poll(), None);
        log.join("group", &["a".into()]).unwrap();
        let of_a = || (0..2).map(|partition| TopicPartition::new("a", partition)).collect::<Vec<_>>();
        assert_eq!(poll(), Some(GroupEvent::Assigned(of_a())));
        log.join("group", &["a".into(), "b".into()]).unwrap();
        assert_eq!(poll(), Some(GroupEvent::Assigned(vec![TopicPartition::new("b", 0)])));
        log.join("group", &["a".into()]).unwrap();
        assert_eq!(poll(), Some(GroupEvent::Assigned(Vec::new())));
        log.leave().unwrap();
        log.join("group", &["a".into()]).unwrap();
        assert_eq!(poll(), Some(GroupEvent::Assigned(of_a())));
        log.interrupt();
        // The interruption was meant for the poll that comes next, however long it would wait.
        assert_eq!(log.poll_group(Duration::from_secs(60)).unwrap(), None);
    });
}

#[test]
fn groups_are_listed_and_single_offsets_forgotten() {
    let log = EmbeddedLog::in_memory(Arc::new(ManualClock::default())).unwrap();
    log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
    let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    assert!(log.groups().unwrap().is_empty());
    for group in ["zebra", "a", "middle"] {
        let offsets = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
        log.commit(CommitRequest { group: Arc::from(group), offsets, ..CommitRequest::default() }).unwrap();
    }
    assert_eq!(log.groups().unwrap(), [Arc::from("a"), Arc::from("middle"), Arc::from("zebra")]);
    log.forget_offsets("a", &partitions[..1]).unwrap();
    log.forget_offsets("a", &partitions[..1]).unwrap();
    assert_eq!(log.committed("a", &partitions).unwrap(), [None, Some(0)]);
    log.forget_offsets("a", &partitions[1..]).unwrap();
    assert_eq!(log.groups().unwrap(), [Arc::from("middle"), Arc::from("zebra")]);
    let nowhere = TopicPartition::new("t", 2);
    assert_eq!(log.forget_offsets("zebra", &[nowhere]).unwrap_err().kind(), ErrorKind::NotFound);
}
