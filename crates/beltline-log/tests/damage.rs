//! Damage on disk: a torn end is dropped, anything else is reported, and nothing is read past it in silence.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline_env::{Files, RealFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{Append, BatchBuilder, CommitRequest, ErrorKind, Result, TopicPartition, TopicSpec};

fn open(path: &Path) -> Result<EmbeddedLog> {
    let options = LogOptions { sync: SyncPolicy::Always, ..LogOptions::default() };
    EmbeddedLog::open(path, options, Arc::new(SystemClock::default()))
}

fn append(log: &EmbeddedLog, text: &str) {
    let mut records = BatchBuilder::default();
    (0..100).for_each(|_| records.push(Some(b"k"), Some(text.as_bytes()), &[], 1));
    let appends = vec![Append { target: TopicPartition::new("t", 0), records }];
    log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap();
}

fn files_below(path: &Path, found: &mut Vec<PathBuf>) {
    for name in RealFiles.list(path).unwrap() {
        let path = path.join(name);
        if RealFiles.list(&path).is_ok() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Changes the bytes of every file below `path` that holds `text`, at the first place; says how many there were.
fn change(path: &Path, text: &[u8], change: impl Fn(&mut Vec<u8>, usize)) -> usize {
    let mut files = Vec::new();
    files_below(path, &mut files);
    let mut count = 0;
    for file in files {
        let mut bytes = RealFiles.read(&file).unwrap();
        let Some(at) = bytes.windows(text.len()).position(|window| window == text) else { continue };
        change(&mut bytes, at);
        RealFiles.create(&file).unwrap().write_all(&bytes).unwrap();
        count += 1;
    }
    count
}

fn three_commits(path: &Path) {
    let log = open(path).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    ["the first one", "the middle one", "the last one"].iter().for_each(|text| append(&log, text));
}

#[test]
fn a_torn_tail_is_dropped_and_everything_before_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    three_commits(directory.path());
    let torn = change(directory.path(), b"the last one", |bytes, at| bytes[at..].fill(0));
    assert!(torn > 0, "nothing was torn");
    let log = open(directory.path()).unwrap();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(log.offsets(&partition).unwrap().end, 200);
    append(&log, "another last one");
    assert_eq!(log.offsets(&partition).unwrap().end, 300);
}

#[test]
fn damage_in_the_middle_is_reported_and_not_read_past() {
    let directory = tempfile::tempdir().unwrap();
    three_commits(directory.path());
    assert!(change(directory.path(), b"the middle one", |bytes, at| bytes[at + 4] ^= 1) > 0, "nothing was damaged");
    let error = open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("restore the data directory from a copy"), "{error}");
}
