//! Damage on disk: a torn end is dropped, anything else is reported, and nothing is read past it in silence.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::path::Path;

use beltline_env::{Files, MemoryFiles};
use beltline_log::{Log, SyncPolicy};
use beltline_types::{ErrorKind, TopicPartition, TopicSpec};
use proptest::prelude::*;
use support::*;

/// Larger than these logs: everything stays in one segment.
const ONE_SEGMENT: u64 = 1 << 20;

/// A log of three commits; also gives where the last one begins.
fn three_commits(sync: SyncPolicy) -> (Vec<u8>, usize) {
    let files = MemoryFiles::default();
    let log = open(&files, sync, ONE_SEGMENT).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    commit(&log, "t", "the first one", 1).unwrap();
    commit(&log, "t", "the middle one", 2).unwrap();
    let before = bytes_of(&files, FIRST_SEGMENT).len();
    commit(&log, "t", "the last one", 3).unwrap();
    (bytes_of(&files, FIRST_SEGMENT), before)
}

fn the_last_commit_is_gone(files: &MemoryFiles, what: &str) {
    let log = open(files, SyncPolicy::Always, ONE_SEGMENT).unwrap();
    assert_eq!(values(&log, "t"), ["the first one", "the middle one"], "{what}");
    assert_eq!(committed(&log, "t"), Some(2), "{what}");
    assert!(log.notice().is_some_and(|notice| notice.contains(FIRST_SEGMENT)), "{what}: {:?}", log.notice());
    assert_eq!(commit(&log, "t", "another last one", 4).unwrap(), 2, "{what}");
    drop(log);
    let log = open(files, SyncPolicy::Always, ONE_SEGMENT).unwrap();
    assert_eq!((log.notice(), values(&log, "t").len(), committed(&log, "t")), (None, 3, Some(4)), "{what}");
}

#[test]
fn a_commit_torn_at_any_byte_is_dropped_as_a_whole() {
    let (whole, before) = three_commits(SyncPolicy::Always);
    for length in before + 1..whole.len() {
        the_last_commit_is_gone(&with_segment(&whole[..length]), &format!("cut at byte {length}"));
        let mut zeros = whole.clone();
        zeros[length..].fill(0);
        // The last byte may be zero already.
        if zeros != whole {
            the_last_commit_is_gone(&with_segment(&zeros), &format!("zeros from byte {length}"));
        }
    }
    let files = with_segment(&whole[..before]);
    let log = open(&files, SyncPolicy::Always, ONE_SEGMENT).unwrap();
    assert_eq!((log.notice(), values(&log, "t").len()), (None, 2));
}

proptest! {
    #[test]
    fn a_torn_end_with_any_bytes_is_dropped(length in any::<prop::sample::Index>(), garbage in prop::collection::vec(any::<u8>(), 1..200)) {
        let (whole, before) = three_commits(SyncPolicy::Always);
        let kept = before + length.index(whole.len() - before);
        let torn = [&whole[..kept], &garbage[..]].concat();
        prop_assume!(!torn.starts_with(&whole));
        the_last_commit_is_gone(&with_segment(&torn), "garbage at the end");
    }
}

#[test]
fn damage_at_any_byte_is_never_read_past_in_silence() {
    let (whole, last) = three_commits(SyncPolicy::Always);
    let (mut refused, mut reported, mut dropped) = (0, 0, 0);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let log = match open(&with_segment(&damaged), SyncPolicy::Always, ONE_SEGMENT) {
            Ok(log) => log,
            Err(error) => {
                assert!(at < last, "byte {at}: the torn end is not refused: {error}");
                if error.kind() == ErrorKind::Corrupt {
                    assert!(error.to_string().contains("restore the data directory from a copy"), "{error}");
                } else {
                    assert_eq!(error.kind(), ErrorKind::DataDirectory, "byte {at}: {error}");
                    assert!(error.to_string().contains("use the version that wrote it"), "{error}");
                }
                refused += 1;
                continue;
            }
        };
        let (found, error) = read(&log, "t");
        let found: Vec<&str> = found.iter().map(|(_, _, value)| &value[..]).collect();
        assert!(["the first one", "the middle one", "the last one"].starts_with(&found), "byte {at}: {found:?}");
        if at >= last {
            assert_eq!((found.len(), error.is_none()), (2, true), "byte {at}");
            dropped += 1;
        } else {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
            assert!(error.to_string().contains(&format!("t[0]: the block at offset {}", found.len())), "{error}");
            reported += 1;
        }
    }
    assert!(refused > 100 && reported > 50 && dropped > 50, "{refused} {reported} {dropped}");
}

#[test]
fn what_lies_before_the_damage_is_read_in_one_fetch_and_what_lies_behind_it_from_its_own_offset() {
    let (mut bytes, _) = three_commits(SyncPolicy::Always);
    let at = bytes.windows(14).position(|window| window == b"the middle one").unwrap();
    bytes[at] ^= 1;
    let log = open(&with_segment(&bytes), SyncPolicy::Always, ONE_SEGMENT).unwrap();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(log.fetch(&partition, 0, 1 << 20).unwrap().batches.len(), 1, "only what lies before the damage");
    let error = log.fetch(&partition, 1, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("t[0]: the block at offset 1 fails its checksum"), "{error}");
    assert_eq!(log.fetch(&partition, 2, 1 << 20).unwrap().batches.len(), 1);
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Always, 300).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    for number in 0..20 {
        commit(&log, "t", &number.to_string(), number).unwrap();
    }
    drop(log);
    let names = segments(&files);
    assert!(names.len() > 3);
    files.remove(&Path::new(DIRECTORY).join(&names[2])).unwrap();
    let log = open(&files, SyncPolicy::Always, 300).unwrap();
    let (found, error) = read(&log, "t");
    assert!(!found.is_empty() && found.len() < 19);
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&format!("t[0]: the block at offset {} is missing", found.len())), "{error}");
}

#[test]
fn an_unsynced_end_may_be_lost_in_several_files_at_once() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Never, 400).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    log.sync().unwrap();
    for number in 0..20 {
        commit(&log, "t", &number.to_string(), number).unwrap();
    }
    drop(log);
    let names = segments(&files);
    assert!(names.len() > 3);
    // A middle one lost its end, the later ones did not.
    let middle = bytes_of(&files, &names[2]);
    for length in 0..middle.len() {
        let copy = MemoryFiles::default();
        copy.create_directories(Path::new(DIRECTORY)).unwrap();
        names.iter().for_each(|name| replace(&copy, name, &bytes_of(&files, name)));
        replace(&copy, &names[2], &middle[..length]);
        let log = open(&copy, SyncPolicy::Never, 400).unwrap();
        let found = values(&log, "t");
        assert!(found.iter().enumerate().all(|(number, value)| *value == number.to_string()) && found.len() < 15);
        assert_eq!(committed(&log, "t"), found.len().checked_sub(1).map(|last| last as i64), "cut at {length}");
        assert!(log.notice().is_some());
        assert_eq!(commit(&log, "t", "next", 99).unwrap(), found.len() as i64);
    }
}

#[test]
fn what_is_no_log_is_left_alone() {
    for (name, told) in [("thesis.tex", "thesis.tex"), ("0.jnl", "development version"), ("7.log", "7.log")] {
        let files = with_segment(&three_commits(SyncPolicy::Always).0);
        files.create(&Path::new(DIRECTORY).join(name)).unwrap();
        let error = open(&files, SyncPolicy::Always, ONE_SEGMENT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DataDirectory, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let (mut bytes, _) = three_commits(SyncPolicy::Always);
    bytes[8] = 2;
    let error = open(&with_segment(&bytes), SyncPolicy::Always, ONE_SEGMENT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataDirectory);
    assert!(error.to_string().contains("format 2") && error.to_string().contains("use the version that wrote it"));
}
