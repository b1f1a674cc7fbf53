//! Topics that exist get more partitions, other settings, a later beginning; a crash leaves the old or the new.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::sync::Arc;

use beltline_env::{Clock, ManualClock, MemoryFiles, Random, SeededRandom};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{
    Append, BatchBuilder, Cleanup, CommitRequest, ErrorKind, Offset, OffsetRange, TimestampType, TopicPartition,
    TopicSpec,
};
use proptest::prelude::*;
use support::*;

const SEGMENT: u64 = 600;

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// A log with the values `0`, `1`, … in topic `t`.
fn filled(files: &MemoryFiles, records: Offset) -> EmbeddedLog {
    let log = open(files, SyncPolicy::Never, SEGMENT).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    for number in 0..records {
        commit(&log, "t", &number.to_string(), number).unwrap();
    }
    log
}

fn expected(range: std::ops::Range<Offset>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a_topic_that_grows_keeps_its_records_and_takes_new_ones_after_a_restart() {
    let files = MemoryFiles::default();
    let log = filled(&files, 5);
    log.grow_topic("t", 3).unwrap();
    assert_eq!(log.topic("t").unwrap().unwrap().partitions, 3);
    let mut records = BatchBuilder::default();
    records.push(None, Some(b"new"), &[], 1);
    let target = TopicPartition::new("t", 2);
    let appends = vec![Append { target: target.clone(), records }];
    log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap();
    drop(log);
    let log = open(&files, SyncPolicy::Never, SEGMENT).unwrap();
    assert_eq!(log.topic("t").unwrap().unwrap().partitions, 3);
    assert_eq!(values(&log, "t"), expected(0..5));
    assert_eq!(log.offsets(&target).unwrap(), OffsetRange { start: 0, end: 1 });
    assert_eq!(committed(&log, "t"), Some(4));
}

#[test]
fn a_topic_does_not_shrink_and_none_grows_that_is_not_there() {
    let log = filled(&MemoryFiles::default(), 1);
    log.grow_topic("t", 4).unwrap();
    assert_eq!(log.grow_topic("t", 3).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(log.grow_topic("t", 1_000_000).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(log.topic("t").unwrap().unwrap().partitions, 4);
    assert_eq!(log.grow_topic("nothing", 3).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.change_topic(&TopicSpec::new("nothing", 1)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn settings_change_what_the_log_does_and_are_there_after_a_restart() {
    let files = MemoryFiles::default();
    let log = filled(&files, 20);
    let spec = TopicSpec {
        retention_bytes: Some(100),
        timestamps: TimestampType::LogAppendTime,
        config: vec![("segment.bytes".to_owned(), "1048576".to_owned())],
        ..TopicSpec::new("t", 77)
    };
    log.maintain().unwrap();
    assert_eq!(log.offsets(&partition()).unwrap().start, 0);
    log.change_topic(&spec).unwrap();
    log.maintain().unwrap();
    let start = log.offsets(&partition()).unwrap().start;
    assert!(start > 0, "nothing was let go");
    commit(&log, "t", "stamped", 0).unwrap();
    let fetched = log.fetch(&partition(), 20, 1).unwrap();
    // The producer said 1.
    assert_eq!(fetched.batches[0].iter().next().unwrap().timestamp, ManualClock::default().now_ms());
    drop(log);
    let log = open(&files, SyncPolicy::Never, SEGMENT).unwrap();
    let known = log.topic("t").unwrap().unwrap();
    assert_eq!(known, TopicSpec { partitions: 1, ..spec });
    assert_eq!(log.offsets(&partition()).unwrap(), OffsetRange { start, end: 21 });
}

#[test]
fn a_topic_made_compacted_is_compacted_and_one_that_does_both_lets_the_old_go() {
    let files = MemoryFiles::default();
    let clock = Arc::new(ManualClock::default());
    let options = LogOptions { sync: SyncPolicy::Never, compact_min_bytes: 1, ..LogOptions::default() };
    let path = std::path::Path::new(DIRECTORY);
    let log = EmbeddedLog::open_in(Arc::new(files.clone()), path, options, clock.clone()).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    for number in 0..10 {
        commit(&log, "t", &number.to_string(), number).unwrap();
    }
    let large = vec![("segment.bytes".to_owned(), "1048576".to_owned())];
    let compacted = TopicSpec { retention_ms: Some(1000), ..TopicSpec::new("t", 1).compacted() };
    log.change_topic(&TopicSpec { config: large, ..compacted.clone() }).unwrap();
    log.maintain().unwrap();
    assert_eq!(values(&log, "t").len(), 10, "less than segment.bytes was appended");
    log.change_topic(&compacted).unwrap();
    clock.advance(std::time::Duration::from_secs(10));
    log.maintain().unwrap();
    // All have the same key; one that only compacts has no use for an age.
    assert_eq!(values(&log, "t"), ["9"]);
    commit(&log, "t", "10", 10).unwrap();
    log.change_topic(&TopicSpec { cleanup: Cleanup::CompactAndDelete, ..compacted }).unwrap();
    log.maintain().unwrap();
    assert_eq!(values(&log, "t"), ["10"]);
}

#[test]
fn deleted_records_are_gone_for_readers_and_stay_gone() {
    let files = MemoryFiles::default();
    let log = filled(&files, 30);
    assert_eq!(log.delete_records(&partition(), 7).unwrap(), 7);
    assert_eq!(log.delete_records(&partition(), 3).unwrap(), 7, "what is gone is gone");
    assert_eq!(values(&log, "t"), expected(7..30));
    assert_eq!(log.fetch(&partition(), 6, 100).unwrap_err().kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!(log.delete_records(&partition(), 31).unwrap_err().kind(), ErrorKind::OffsetOutOfRange);
    let nowhere = TopicPartition::new("t", 1);
    assert_eq!(log.delete_records(&nowhere, 0).unwrap_err().kind(), ErrorKind::NotFound);
    log.maintain().unwrap();
    drop(log);
    let log = open(&files, SyncPolicy::Never, SEGMENT).unwrap();
    assert_eq!(values(&log, "t"), expected(7..30));
    assert_eq!(log.delete_records(&partition(), 30).unwrap(), 30);
    drop(log);
    let log = open(&files, SyncPolicy::Never, SEGMENT).unwrap();
    assert_eq!(log.offsets(&partition()).unwrap(), OffsetRange { start: 30, end: 30 });
    assert_eq!(commit(&log, "t", "30", 0).unwrap(), 30, "offsets are never given twice");
}

#[test]
fn deleting_in_the_middle_of_a_block_leaves_its_rest() {
    let log = open(&MemoryFiles::default(), SyncPolicy::Never, SEGMENT).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    let mut records = BatchBuilder::default();
    (0..10).for_each(|number: i32| records.push(Some(b"k"), Some(number.to_string().as_bytes()), &[], 1));
    let appends = vec![Append { target: partition(), records }];
    log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap();
    log.delete_records(&partition(), 4).unwrap();
    let fetched = log.fetch(&partition(), 4, 100).unwrap();
    assert_eq!(fetched.range, OffsetRange { start: 4, end: 10 });
    assert_eq!(fetched.batches[0].iter().filter(|record| record.offset >= 4).count(), 6);
}

/// What a log that lost power may show: the state after some step that was not synced yet, or a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    partitions: u32,
    retention_ms: Option<i64>,
    range: OffsetRange,
}

fn shown(log: &EmbeddedLog) -> Shown {
    let info = log.topic("t").unwrap().unwrap();
    Shown { partitions: info.partitions, retention_ms: info.retention_ms, range: log.offsets(&partition()).unwrap() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_power_failure_leaves_a_state_that_was(seed: u64, always: bool) {
        let mut random = SeededRandom::new(seed);
        let files = MemoryFiles::default();
        let policy = if always { SyncPolicy::Always } else { SyncPolicy::Never };
        let mut log = open(&files, policy, SEGMENT).unwrap();
        log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
        log.sync().unwrap();
        let mut states = vec![shown(&log)];
        for step in 0..60i64 {
            let Shown { partitions, range, .. } = states[states.len() - 1].clone();
            let action = random.below(7);
            match action {
                0 => log.grow_topic("t", partitions + 1).unwrap(),
                1 => log.change_topic(&TopicSpec { retention_ms: Some(step), ..TopicSpec::new("t", 1) }).unwrap(),
                2 => {
                    let span = (range.end - range.start + 1) as u64;
                    let before = range.start + random.below(span) as Offset;
                    prop_assert_eq!(log.delete_records(&partition(), before).unwrap(), before);
                }
                3 => log.maintain().unwrap(),
                4 => {
                    log.sync().unwrap();
                    states.drain(..states.len() - 1);
                }
                5 if random.below(4) == 0 => {
                    drop(log);
                    files.crash_torn(&mut random);
                    log = open(&files, policy, SEGMENT).unwrap();
                    let found = shown(&log);
                    prop_assert!(states.contains(&found), "{:?} is none of {:?}", found, states);
                    let (values, error) = read(&log, "t");
                    prop_assert!(error.is_none());
                    let offsets: Vec<Offset> = values.iter().map(|(offset, ..)| *offset).collect();
                    let readable = offsets.into_iter().filter(|offset| *offset >= found.range.start);
                    prop_assert!(readable.eq(found.range.start..found.range.end));
                    states = vec![found];
                }
                _ => drop(commit(&log, "t", "v", 0).unwrap()),
            }
            let now = shown(&log);
            if states.last() != Some(&now) {
                states.push(now);
                // What maintenance does need not survive; it is done again.
                if always && action != 3 {
                    states.drain(..states.len() - 1);
                }
            }
        }
    }
}
