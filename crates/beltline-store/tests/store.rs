//! What a shard gives back after crashes, damage and new generations, against a map.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline_env::{Files, MemoryFiles};
use beltline_store::{Loaded, Store, StoreOptions};
use beltline_types::ErrorKind;
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const EAGER: StoreOptions = StoreOptions { compact_ratio: 0.5, compact_min_bytes: 1 };

fn open(files: &MemoryFiles, options: StoreOptions) -> Store {
    Store::new(Arc::new(files.clone()), PathBuf::from("tables"), options)
}

fn load(store: &Store, partition: u32) -> (Map, Loaded) {
    let mut map = Map::new();
    let loaded = store.load("t", partition, &mut |key, value| match value {
        Some(value) => drop(map.insert(key.to_vec(), value.to_vec())),
        None => drop(map.remove(key)),
    });
    (map, loaded.unwrap())
}

fn apply(store: &Store, records: &[(&str, Option<&str>)], end: i64) {
    let mut bytes = records.iter().map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)));
    store.apply("t", 0, &mut bytes, end).unwrap();
}

fn pairs(expected: &[(&str, &str)]) -> Map {
    expected.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn shard_file(name: &str) -> PathBuf {
    Path::new("tables/t/0").join(name)
}

fn change(files: &MemoryFiles, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = shard_file(name);
    let mut bytes = files.read(&path).unwrap();
    change(&mut bytes);
    files.create(&path).unwrap().write_all(&bytes).unwrap();
}

#[test]
fn nothing_stored_is_offset_zero() {
    let (map, loaded) = load(&open(&MemoryFiles::default(), EAGER), 0);
    assert_eq!((map.len(), loaded), (0, Loaded::default()));
}

#[test]
fn what_was_applied_comes_back_with_its_offset() {
    let files = MemoryFiles::default();
    let store = open(&files, StoreOptions::default());
    load(&store, 0);
    apply(&store, &[("a", Some("1")), ("b", Some("2"))], 2);
    apply(&store, &[("a", Some("3")), ("b", None), ("c", Some(""))], 5);
    for _ in 0..2 {
        let (map, loaded) = load(&open(&files, StoreOptions::default()), 0);
        assert_eq!((map, loaded.end, loaded.note), (pairs(&[("a", "3"), ("c", "")]), 5, None));
    }
    assert_eq!(load(&store, 1).1.end, 0);
}

#[test]
fn a_torn_frame_is_cut_off_wherever_it_is_torn() {
    let files = MemoryFiles::default();
    let store = open(&files, StoreOptions::default());
    load(&store, 0);
    apply(&store, &[("a", Some("1"))], 1);
    let first = files.read(&shard_file("changes-0")).unwrap().len();
    apply(&store, &[("a", Some("2")), ("b", Some("2"))], 3);
    let whole = files.read(&shard_file("changes-0")).unwrap();
    for length in 0..whole.len() {
        change(&files, "changes-0", |bytes| {
            bytes.clear();
            bytes.extend_from_slice(&whole[..length]);
        });
        let again = open(&files, StoreOptions::default());
        let expected = if length < first { (Map::new(), 0) } else { (pairs(&[("a", "1")]), 1) };
        let (map, loaded) = load(&again, 0);
        assert_eq!((map, loaded.end), expected, "torn at byte {length}");
        apply(&again, &[("z", Some("9"))], 7);
        let (map, loaded) = load(&open(&files, StoreOptions::default()), 0);
        assert_eq!((map.get(&b"z"[..]), loaded.end), (Some(&b"9".to_vec()), 7));
    }
}

#[test]
fn a_new_generation_replaces_the_old_one() {
    let files = MemoryFiles::default();
    let store = open(&files, EAGER);
    load(&store, 0);
    for round in 1..=5 {
        apply(&store, &[("a", Some(&round.to_string())), ("gone", Some("x"))], 2 * round - 1);
        apply(&store, &[("gone", None)], 2 * round);
        store.compact().unwrap();
    }
    assert_eq!(files.list(Path::new("tables/t/0")).unwrap(), ["snapshot-5"]);
    let (map, loaded) = load(&open(&files, EAGER), 0);
    assert_eq!((map, loaded.end), (pairs(&[("a", "5")]), 10));
}

#[test]
fn a_damaged_snapshot_is_dropped_and_told_about() {
    let files = MemoryFiles::default();
    let store = open(&files, EAGER);
    load(&store, 0);
    apply(&store, &[("a", Some("1"))], 1);
    store.compact().unwrap();
    apply(&store, &[("b", Some("1"))], 2);
    change(&files, "snapshot-1", |bytes| bytes[30] ^= 1);
    let (_, loaded) = load(&open(&files, EAGER), 0);
    assert_eq!(loaded.end, 0);
    assert!(loaded.note.unwrap().contains("snapshot-1"));
    // What the damaged snapshot gave before it broke is overwritten by the changelog; nothing else is left of it.
    assert_eq!(load(&open(&files, EAGER), 0).1, Loaded::default());
}

#[test]
fn a_newer_format_is_refused_with_the_cure() {
    let files = MemoryFiles::default();
    let store = open(&files, EAGER);
    load(&store, 0);
    apply(&store, &[("a", Some("1"))], 1);
    change(&files, "changes-0", |bytes| bytes[7] = 2);
    let error = open(&files, EAGER).load("t", 0, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataDirectory);
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn names_a_file_system_may_dislike_are_no_trouble() {
    let files = MemoryFiles::default();
    let store = open(&files, EAGER);
    for table in ["../up", ".", "a/b", "caf\u{e9}"] {
        store.load(table, 0, &mut |_, _| {}).unwrap();
        store.apply(table, 0, &mut [(&b"k"[..], Some(table.as_bytes()))].into_iter(), 1).unwrap();
    }
    assert_eq!(files.list(Path::new("tables")).unwrap().len(), 4);
    let mut found = Vec::new();
    store.load("a/b", 0, &mut |_, value| found.extend_from_slice(value.unwrap())).unwrap();
    assert_eq!(found, b"a/b");
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(u8, Option<u8>)>),
    Compact,
    Restart,
    PowerFailure,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0..6u8, prop::option::of(any::<u8>())), 0..8).prop_map(Step::Apply),
        2 => Just(Step::Compact),
        1 => Just(Step::Restart),
        1 => Just(Step::PowerFailure),
    ]
}

proptest! {
    #[test]
    fn a_shard_is_always_a_prefix_of_its_changelog(steps in prop::collection::vec(step(), 0..40)) {
        let files = MemoryFiles::default();
        let mut store = open(&files, EAGER);
        load(&store, 0);
        let mut changelog: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        let mut compacted = 0;
        for step in steps {
            match step {
                Step::Apply(records) => {
                    changelog.extend(records.into_iter().map(|(key, value)| (vec![key], value.map(|byte| vec![byte]))));
                    let from = changelog.len().min(load(&store, 0).1.end as usize);
                    let mut missing = changelog[from..].iter().map(|(key, value)| (&key[..], value.as_deref()));
                    store.apply("t", 0, &mut missing, changelog.len() as i64).unwrap();
                }
                Step::Compact => {
                    store.compact().unwrap();
                    compacted = load(&store, 0).1.end;
                }
                Step::Restart => store = open(&files, EAGER),
                Step::PowerFailure => {
                    files.crash();
                    store = open(&files, EAGER);
                }
            }
            let (map, loaded) = load(&store, 0);
            prop_assert!(loaded.end >= compacted, "{} was on the disk, {} is left", compacted, loaded.end);
            let mut expected = Map::new();
            for (key, value) in &changelog[..loaded.end as usize] {
                match value {
                    Some(value) => drop(expected.insert(key.clone(), value.clone())),
                    None => drop(expected.remove(key)),
                }
            }
            prop_assert_eq!(map, expected);
        }
    }
}
