//! What is let go gives its place back, and never comes back itself, whatever happens on the way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use beltline_env::{
    AppendFile, FileLock, Files, MemoryFiles, Random, ReadFile, RealFiles, SeededRandom, SystemClock, spawn_thread,
};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{CommitRequest, ErrorKind, TopicPartition, TopicSpec};
use support::*;

const SMALL: u64 = 600;

/// Files of a process that dies at one of its calls: from then on nothing changes any more.
#[derive(Clone)]
struct DyingFiles {
    files: MemoryFiles,
    calls_left: Arc<AtomicI64>,
}

struct DyingFile {
    file: Box<dyn AppendFile>,
    calls_left: Arc<AtomicI64>,
}

fn alive(calls_left: &AtomicI64) -> io::Result<()> {
    if calls_left.fetch_sub(1, Ordering::Relaxed) > 0 { Ok(()) } else { Err(io::Error::other("the process is dead")) }
}

impl Files for DyingFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.read(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.files.open(path)
    }
    fn append_to(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(DyingFile { file: self.files.append_to(path)?, calls_left: self.calls_left.clone() }))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        alive(&self.calls_left)?;
        Ok(Box::new(DyingFile { file: self.files.create(path)?, calls_left: self.calls_left.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.files.remove(path)
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.files.remove_directory(path)
    }
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.files.create_directories(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.files.list(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.files.exists(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.files.sync_directory(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>> {
        self.files.lock(path)
    }
}

impl AppendFile for DyingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.file.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.file.sync()
    }
    fn len(&self) -> u64 {
        self.file.len()
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        alive(&self.calls_left)?;
        self.file.truncate(length)
    }
}

fn options() -> LogOptions {
    LogOptions {
        sync: SyncPolicy::Never,
        segment_bytes: SMALL,
        compact_min_bytes: 1,
        merge_blocks: 4,
        ..LogOptions::default()
    }
}

fn specs() -> [TopicSpec; 4] {
    let short = TopicSpec { retention_bytes: Some(200), ..TopicSpec::new("short", 1) };
    [TopicSpec::new("kept", 1), short, TopicSpec::new("changes", 1).compacted(), TopicSpec::new("gone", 1)]
}

/// A log in which everything there is to clean is there: live records between dead ones, a deleted topic.
fn to_be_cleaned(log: &EmbeddedLog) {
    log.create_topics(&specs()).unwrap();
    for number in 0..30i64 {
        let text = number.to_string();
        let mut appends = vec![
            append_of("short", "k", &text.repeat(20)),
            append_of("changes", &(number % 3).to_string(), &text),
            append_of("gone", "k", &text),
        ];
        if number % 10 == 0 {
            appends.push(append_of("kept", "k", &text));
        }
        let offsets = vec![(TopicPartition::new("short", 0), number), (TopicPartition::new("gone", 0), number)];
        log.commit(CommitRequest { group: "g".into(), appends, offsets, ..CommitRequest::default() }).unwrap();
    }
    log.sync().unwrap();
}

/// What must hold however far the cleaning came.
fn check(log: &EmbeddedLog, gone: usize, what: &str) {
    assert_eq!(values(log, "kept"), ["0", "10", "20"], "{what}");
    let (short, error) = read(log, "short");
    assert!(error.is_none(), "{what}: {error:?}");
    let first = 30 - short.len() as i64;
    assert!(short.iter().zip(first..).all(|((offset, ..), expected)| *offset == expected), "{what}: {short:?}");
    assert_eq!(short.last().unwrap().2, "29".repeat(20), "{what}");
    let (changes, error) = read(log, "changes");
    assert!(error.is_none(), "{what}: {error:?}");
    assert!(changes.is_sorted(), "{what}: {changes:?}");
    let last: BTreeMap<&str, &str> = changes.iter().map(|(_, key, value)| (&key[..], &value[..])).collect();
    assert_eq!(last.into_iter().collect::<Vec<_>>(), [("0", "27"), ("1", "28"), ("2", "29")], "{what}");
    assert_eq!(log.offsets(&TopicPartition::new("changes", 0)).unwrap().end, 30, "{what}");
    assert_eq!(committed(log, "short"), Some(29), "{what}");
    if log.topic("gone").unwrap().is_some() {
        assert_eq!(values(log, "gone").len(), gone, "{what}");
    } else {
        // Nothing of it comes back with the name.
        log.create_topics(&specs()).unwrap();
        assert_eq!((values(log, "gone").len(), committed(log, "gone")), (0, None), "{what}");
    }
}

fn clean(log: &EmbeddedLog) -> beltline_types::Result<()> {
    log.delete_topic("gone")?;
    (0..4).try_for_each(|_| log.maintain())
}

#[test]
fn a_crash_at_any_step_of_cleaning_loses_nothing_and_brings_nothing_back() {
    for torn in 0..4 {
        let mut steps = 0;
        loop {
            let files = MemoryFiles::default();
            let calls_left = Arc::new(AtomicI64::new(i64::MAX));
            let dying = DyingFiles { files: files.clone(), calls_left: calls_left.clone() };
            let log = open_in(Arc::new(dying), options()).unwrap();
            to_be_cleaned(&log);
            let before = segments(&files).len();
            calls_left.store(steps, Ordering::Relaxed);
            let result = clean(&log);
            match torn {
                // The process was killed: the system keeps what it wrote.
                0 => {}
                1 => files.crash(),
                seed => files.crash_torn(&mut SeededRandom::new(seed + 100 * steps as u64)),
            }
            drop(log);
            let what = format!("step {steps}, crash {torn}");
            for gone in [30, 0] {
                let log = open_in(Arc::new(files.clone()), options()).unwrap();
                check(&log, gone, &what);
                // It is cleaned to the end now, and that is safe too.
                clean(&log).unwrap();
                check(&log, 0, &what);
            }
            if result.is_ok() {
                assert!(steps > 15 && segments(&files).len() < before / 2, "{what}: {:?}", segments(&files));
                break;
            }
            steps += 1;
        }
    }
}

#[test]
fn topics_and_offsets_survive_the_segments_they_were_written_to() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Never, SMALL).unwrap();
    log.create_topics(&specs()).unwrap();
    let offsets = vec![(TopicPartition::new("kept", 0), 7)];
    log.commit(CommitRequest { group: "g".into(), offsets, ..CommitRequest::default() }).unwrap();
    for number in 0..100 {
        commit(&log, "short", &number.to_string().repeat(20), number).unwrap();
    }
    assert!(segments(&files).len() > 20);
    (0..3).for_each(|_| log.maintain().unwrap());
    let left = segments(&files);
    assert!(left.len() < 5 && left[0] != FIRST_SEGMENT, "{left:?}");
    drop(log);
    let log = open(&files, SyncPolicy::Never, SMALL).unwrap();
    assert_eq!((committed(&log, "kept"), committed(&log, "short")), (Some(7), Some(99)));
    assert_eq!(log.topics().unwrap().len(), 4);
    let range = log.offsets(&TopicPartition::new("short", 0)).unwrap();
    assert!(range.start > 90 && range.end == 100, "{range:?}");
    // The number of a deleted topic is not given away again.
    log.delete_topic("gone").unwrap();
    log.create_topics(&specs()).unwrap();
    assert!(values(&log, "gone").is_empty());
}

#[test]
fn damage_keeps_its_own_segment_only() {
    let files = MemoryFiles::default();
    let log = open_in(Arc::new(files.clone()), options()).unwrap();
    log.create_topics(&specs()).unwrap();
    commit(&log, "kept", "whole", 0).unwrap();
    commit(&log, "kept", "hurt", 1).unwrap();
    let name = segments(&files).pop().unwrap();
    for round in 0..100 {
        commit(&log, "short", &"x".repeat(60), round).unwrap();
        if round == 50 {
            let mut bytes = bytes_of(&files, &name);
            let at = bytes.windows(4).position(|window| window == b"hurt").unwrap();
            bytes[at] ^= 1;
            replace(&files, &name, &bytes);
        }
        log.maintain().unwrap();
    }
    let left = segments(&files);
    assert!(left.len() < 6 && left.contains(&name), "{left:?}");
    let (found, error) = read(&log, "kept");
    assert_eq!(found.len(), 1);
    assert!(error.unwrap().to_string().contains("kept[0]: the block at offset 1 fails its checksum"));
}

#[test]
fn many_small_blocks_become_few() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Never, 10_000).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1), TopicSpec::new("u", 1)]).unwrap();
    for number in 0..1000 {
        commit(&log, "t", &number.to_string(), number).unwrap();
        commit(&log, "u", &"large".repeat(2000), number).unwrap();
    }
    log.maintain().unwrap();
    let partition = TopicPartition::new("t", 0);
    let batches = log.fetch(&partition, 0, 1 << 20).unwrap().batches;
    // Three runs, and what is too little for one.
    assert_eq!(batches.len(), 3 + 1000 % 256);
    assert_eq!(batches[1].base_offset(), 256);
    assert!(values(&log, "t").into_iter().eq((0..1000).map(|number| number.to_string())));
    assert_eq!(log.fetch(&TopicPartition::new("u", 0), 0, 10 << 20).unwrap().batches.len(), 1000);
    drop(log);
    let log = open(&files, SyncPolicy::Never, 10_000).unwrap();
    assert_eq!(log.fetch(&partition, 300, 1 << 20).unwrap().batches.len(), 2 + 1000 % 256);
    assert!(values(&log, "t").into_iter().eq((0..1000).map(|number| number.to_string())));
}

#[test]
fn what_was_let_go_stays_away_when_the_segment_that_says_so_is_gone() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Never, 1000).unwrap();
    log.create_topics(&specs()).unwrap();
    // The first segment is kept for what must live, with records in it that are to die.
    let appends =
        vec![append_of("short", "k", "old"), append_of("gone", "k", "old"), append_of("kept", "k", &"x".repeat(200))];
    let offsets = vec![(TopicPartition::new("gone", 0), 1)];
    log.commit(CommitRequest { group: "g".into(), appends, offsets, ..CommitRequest::default() }).unwrap();
    assert_eq!(segments(&files).len(), 1);
    let fill = |count| (0..count).try_for_each(|number| commit(&log, "short", &"y".repeat(90), number).map(drop));
    fill(40).unwrap();
    log.delete_topic("gone").unwrap();
    let said = segments(&files).pop().unwrap();
    fill(40).unwrap();
    (0..3).for_each(|_| log.maintain().unwrap());
    let left = segments(&files);
    assert!(left.len() < 6 && left[0] == FIRST_SEGMENT && !left.contains(&said), "{left:?} {said}");
    drop(log);
    let log = open(&files, SyncPolicy::Never, 1000).unwrap();
    assert_eq!(log.topic("gone").unwrap(), None);
    log.create_topics(&specs()).unwrap();
    assert_eq!((values(&log, "gone").len(), committed(&log, "gone")), (0, None));
    assert!(values(&log, "short").iter().all(|value| value.starts_with('y')));
    assert_eq!(values(&log, "kept").len(), 1);
}

#[test]
fn a_disk_that_is_full_takes_no_part_of_a_commit_and_goes_on_when_there_is_room() {
    let files = MemoryFiles::default();
    let log = open(&files, SyncPolicy::Never, SMALL).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    let (mut count, mut refused) = (0, 0);
    // Far enough to fill up in frames, in new segments, and between them.
    for room in 0..1500 {
        files.set_room(Some(room % 300));
        match commit(&log, "t", &count.to_string(), count) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Storage);
                assert!(error.to_string().contains("the disk is full: nothing of this commit was written"), "{error}");
                refused += 1;
            }
        }
        let all: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(values(&log, "t"), all);
    }
    files.set_room(None);
    assert!(count > 300 && refused > 300 && segments(&files).len() > 10, "{count} {refused}");
    assert_eq!(commit(&log, "t", "last", count).unwrap(), count);
    drop(log);
    let log = open(&files, SyncPolicy::Never, SMALL).unwrap();
    assert_eq!((values(&log, "t").len() as i64, committed(&log, "t"), log.notice()), (count + 1, Some(count), None));
}

#[test]
fn a_reader_is_not_disturbed_by_cleaning() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::default());
    let log = EmbeddedLog::open_in(Arc::new(RealFiles), directory.path(), options(), clock).unwrap();
    log.create_topics(&specs()).unwrap();
    for number in 0..20 {
        commit(&log, "kept", &number.to_string(), number).unwrap();
        for _ in 0..5 {
            commit(&log, "short", &"x".repeat(60), number).unwrap();
        }
    }
    let (log, ended) = (Arc::new(log), Arc::new(AtomicBool::new(false)));
    let (reader, reader_ended) = (log.clone(), ended.clone());
    let all: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let expected = all.clone();
    let reading = spawn_thread("reader", move || {
        let mut rounds = 0;
        while !reader_ended.load(Ordering::Relaxed) || rounds == 0 {
            assert_eq!(values(&reader, "kept"), expected);
            let (_, error) = read(&reader, "short");
            assert!(error.is_none_or(|error| error.kind() == ErrorKind::OffsetOutOfRange));
            rounds += 1;
        }
    });
    let first = RealFiles.list(directory.path()).unwrap();
    for round in 0..150 {
        for _ in 0..5 {
            commit(&log, "short", &"x".repeat(60), round).unwrap();
        }
        log.maintain().unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    reading.unwrap().join().unwrap();
    assert_eq!(values(&log, "kept"), all);
    let last = RealFiles.list(directory.path()).unwrap();
    let moved = first.iter().filter(|name| !last.contains(name)).count();
    assert!(last.len() < 20 && moved > 10, "{last:?}");
}

#[test]
fn whatever_is_done_and_lost_a_log_is_one_of_those_it_has_been() {
    let (mut crashes, mut rolled) = (0, 0);
    for seed in 0..60 {
        let mut random = SeededRandom::new(seed);
        let files = MemoryFiles::default();
        let mut log = open_in(Arc::new(files.clone()), options()).unwrap();
        log.create_topics(&specs()).unwrap();
        log.sync().unwrap();
        // Commit `n` writes n to two topics, and the offset n.
        let (mut next, mut safe) = (0i64, 0i64);
        for _ in 0..120 {
            match random.below(20) {
                0 => {
                    files.crash_torn(&mut random);
                    drop(log);
                    log = open_in(Arc::new(files.clone()), options()).unwrap();
                    let found = committed(&log, "short").map_or(0, |last| last + 1);
                    assert!((safe..=next).contains(&found), "seed {seed}: {safe} <= {found} <= {next}");
                    (next, safe) = (found, found);
                    crashes += 1;
                }
                1 => {
                    log.sync().unwrap();
                    safe = next;
                }
                2 => log.maintain().unwrap(),
                _ => {
                    let text = next.to_string();
                    let key = (next % 3).to_string();
                    let appends = vec![append_of("short", "k", &text), append_of("changes", &key, &text)];
                    let offsets = vec![(TopicPartition::new("short", 0), next)];
                    log.commit(CommitRequest { group: "g".into(), appends, offsets, ..CommitRequest::default() })
                        .unwrap();
                    next += 1;
                }
            }
            let (short, error) = read(&log, "short");
            assert!(error.is_none(), "seed {seed}: {error:?}");
            let expected = (next - short.len() as i64..next).map(|number| (number, "k".to_owned(), number.to_string()));
            assert!(short.iter().cloned().eq(expected), "seed {seed}: {short:?}");
            let (changes, error) = read(&log, "changes");
            assert!(error.is_none(), "seed {seed}: {error:?}");
            let last: BTreeMap<String, String> = changes.into_iter().map(|(_, key, value)| (key, value)).collect();
            let expected = (0..3).filter_map(|key| Some(((0..next).filter(|n| n % 3 == key).max()?, key)));
            let expected: BTreeMap<String, String> =
                expected.map(|(n, key)| (key.to_string(), n.to_string())).collect();
            assert_eq!(last, expected, "seed {seed}");
        }
        rolled += i32::from(!segments(&files).contains(&FIRST_SEGMENT.to_owned()));
    }
    assert!(crashes > 100 && rolled > 30, "{crashes} {rolled}");
}
