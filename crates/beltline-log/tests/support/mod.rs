//! A small log in memory, and what several tests do with it.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses its part of it")]

use std::path::Path;
use std::sync::Arc;

use beltline_env::{Files, ManualClock, MemoryFiles};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{Append, BatchBuilder, CommitRequest, Error, Offset, Result, TopicPartition};

pub(crate) const DIRECTORY: &str = "log";

pub(crate) fn open_in(files: Arc<dyn Files>, options: LogOptions) -> Result<EmbeddedLog> {
    EmbeddedLog::open_in(files, Path::new(DIRECTORY), options, Arc::new(ManualClock::default()))
}

/// Opens a log whose files are small.
pub(crate) fn open(files: &MemoryFiles, sync: SyncPolicy, segment_bytes: u64) -> Result<EmbeddedLog> {
    let options = LogOptions { sync, segment_bytes, compact_min_bytes: 1, ..LogOptions::default() };
    open_in(Arc::new(files.clone()), options)
}

pub(crate) fn append_of(topic: &str, key: &str, value: &str) -> Append {
    let mut records = BatchBuilder::default();
    records.push(Some(key.as_bytes()), Some(value.as_bytes()), &[], 1);
    Append { target: TopicPartition::new(topic, 0), records }
}

/// One record, and the group's offset moved to `offset`.
pub(crate) fn commit(log: &EmbeddedLog, topic: &str, value: &str, offset: Offset) -> Result<Offset> {
    let request = CommitRequest {
        group: "g".into(),
        appends: vec![append_of(topic, "k", value)],
        offsets: vec![(TopicPartition::new(topic, 0), offset)],
        ..CommitRequest::default()
    };
    Ok(log.commit(request)?.appended[0].base_offset)
}

pub(crate) fn committed(log: &EmbeddedLog, topic: &str) -> Option<Offset> {
    log.committed("g", &[TopicPartition::new(topic, 0)]).unwrap()[0]
}

/// Offset, key and value of everything in partition 0, until the end or an error.
pub(crate) fn read(log: &EmbeddedLog, topic: &str) -> (Vec<(Offset, String, String)>, Option<Error>) {
    let partition = TopicPartition::new(topic, 0);
    let mut found = Vec::new();
    let mut offset = log.offsets(&partition).unwrap().start;
    loop {
        let batches = match log.fetch(&partition, offset, 100) {
            Ok(fetched) => fetched.batches,
            Err(error) => return (found, Some(error)),
        };
        let Some(last) = batches.last() else { return (found, None) };
        for record in batches.iter().flat_map(|batch| batch.iter()) {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
            found.push((record.offset, text(record.key), text(record.value)));
        }
        offset = last.next_offset();
    }
}

pub(crate) fn values(log: &EmbeddedLog, topic: &str) -> Vec<String> {
    let (found, error) = read(log, topic);
    assert!(error.is_none(), "{error:?}");
    found.into_iter().map(|(_, _, value)| value).collect()
}

/// The files of a log, by name.
pub(crate) fn segments(files: &MemoryFiles) -> Vec<String> {
    let names = files.list(Path::new(DIRECTORY)).unwrap();
    names.into_iter().filter(|name| name.ends_with(".log")).collect()
}

pub(crate) fn bytes_of(files: &MemoryFiles, segment: &str) -> Vec<u8> {
    files.read(&Path::new(DIRECTORY).join(segment)).unwrap()
}

/// Replaces a file of a log.
pub(crate) fn replace(files: &MemoryFiles, segment: &str, bytes: &[u8]) {
    let mut file = files.create(&Path::new(DIRECTORY).join(segment)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
}

/// A file system with one log that has one segment.
pub(crate) fn with_segment(bytes: &[u8]) -> MemoryFiles {
    let files = MemoryFiles::default();
    files.create_directories(Path::new(DIRECTORY)).unwrap();
    replace(&files, FIRST_SEGMENT, bytes);
    files
}

pub(crate) const FIRST_SEGMENT: &str = "00000000000000000001.log";
