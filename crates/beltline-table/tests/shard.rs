//! A shard against the plainest thing that could stand for it: a map, and copies of it at every commit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;

use beltline_table::{Key, Shard, Slot, Value, ValueForm};
use proptest::prelude::*;

type Changelog = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn seal(shard: &mut Shard) -> Changelog {
    let mut records = Changelog::new();
    shard.seal(&mut |key, value| records.push((key.to_vec(), value.map(<[u8]>::to_vec))));
    records
}

fn keys(shard: &Shard) -> Vec<String> {
    let text = |key: Key<'_>| {
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    shard.iter().map(|(key, _)| text(key)).collect()
}

#[test]
fn iteration_follows_insertion_and_leaves_removed_keys_out() {
    let mut shard = Shard::new(ValueForm::Json);
    for key in ["c", "a", "b"] {
        shard.insert(Key::Text(key), Value::Int(1));
    }
    shard.remove(Key::Text("a"));
    assert_eq!(keys(&shard), ["\"c\"", "\"b\""]);
    let (slot, key, _) = shard.next_from(Slot::FIRST).unwrap();
    assert_eq!(key, Key::Text("c"));
    assert_eq!(shard.next_from(slot.after()).map(|(_, key, _)| key), Some(Key::Text("b")));
    assert_eq!((shard.len(), shard.is_empty()), (2, false));
}

#[test]
fn a_key_is_the_same_in_every_spelling_of_its_bytes() {
    let mut shard = Shard::new(ValueForm::Json);
    shard.insert(Key::Encoded(b"1"), Value::Int(7));
    shard.insert(Key::Encoded(b"\"caf\\u00e9\""), Value::Int(8));
    assert_eq!(shard.get(Key::Int(1)), Some(&Value::Int(7)));
    assert_eq!(shard.get(Key::Text("caf\u{e9}")), Some(&Value::Int(8)));
    assert_eq!(shard.get(Key::Text("1")), None);
}

#[test]
fn a_key_in_plain_utf8_is_found_and_keeps_its_bytes() {
    let mut shard = Shard::new(ValueForm::Json);
    shard.restore("\"caf\u{e9}\"".as_bytes(), Some(b"1"));
    let slot = shard.find(Key::Text("caf\u{e9}")).unwrap();
    assert!(shard.set_slot(slot, Value::Int(2)));
    assert_eq!(seal(&mut shard), [("\"caf\u{e9}\"".as_bytes().to_vec(), Some(b"2".to_vec()))]);
}

#[test]
fn a_key_that_came_and_went_leaves_no_trace_in_the_changelog() {
    let mut shard = Shard::new(ValueForm::Json);
    shard.insert(Key::Text("brief"), Value::Int(1));
    shard.remove(Key::Text("brief"));
    assert_eq!(seal(&mut shard), []);
    shard.committed();
    assert_eq!(shard.get(Key::Text("brief")), None);
}

#[test]
fn many_removals_do_not_keep_their_memory_and_slots_move_only_with_the_version() {
    let mut shard = Shard::new(ValueForm::Json);
    for number in 0..1000 {
        shard.insert(Key::Int(number), Value::Int(number));
    }
    seal(&mut shard);
    shard.committed();
    (0..900).for_each(|number| drop(shard.remove(Key::Int(number))));
    seal(&mut shard);
    shard.insert(Key::Int(950), Value::Int(-1));
    let version = shard.version();
    shard.committed();
    assert_ne!(shard.version(), version);
    assert_eq!(shard.find(Key::Int(900)), shard.next_from(Slot::FIRST).map(|(slot, _, _)| slot));
    assert_eq!(shard.find(Key::Int(900)), Some(Slot::FIRST));
    shard.rollback();
    assert_eq!((shard.get(Key::Int(950)), shard.len()), (Some(&Value::Int(950)), 100));
}

#[test]
fn opaque_values_are_never_read() {
    let mut shard = Shard::new(ValueForm::Opaque);
    shard.restore(b"\"k\"", Some(b"12"));
    assert_eq!(shard.get(Key::Text("k")), Some(&Value::Encoded(Box::from(*b"12"))));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, i64),
    InsertText(u8, String),
    Remove(u8),
    Clear,
    Seal,
    Committed,
    Rollback,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40u8, any::<i64>()).prop_map(|(key, number)| Step::Insert(key, number)),
        3 => (0..40u8, ".{0,6}").prop_map(|(key, text)| Step::InsertText(key, text)),
        6 => (0..40u8).prop_map(Step::Remove),
        1 => Just(Step::Clear),
        3 => Just(Step::Seal),
        2 => Just(Step::Committed),
        1 => Just(Step::Rollback),
    ]
}

/// The state now, at the last commit, and what a reader of the changelog would have.
#[derive(Default)]
struct Reference {
    now: BTreeMap<u8, Value>,
    sealed: BTreeMap<u8, Value>,
    committed: BTreeMap<u8, Value>,
    sealed_changes: Changelog,
    changelog: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Reference {
    fn apply(&mut self, shard: &mut Shard, step: Step) {
        match step {
            Step::Insert(key, number) => {
                shard.insert(Key::Int(key.into()), Value::Int(number));
                self.now.insert(key, Value::Int(number));
            }
            Step::InsertText(key, text) => {
                let value = Value::Encoded(text.into_bytes().into_boxed_slice());
                shard.insert(Key::Int(key.into()), value.clone());
                self.now.insert(key, value);
            }
            Step::Remove(key) => assert_eq!(shard.remove(Key::Int(key.into())), self.now.remove(&key)),
            Step::Clear => {
                shard.clear();
                self.now.clear();
            }
            Step::Seal => {
                self.sealed_changes.extend(seal(shard));
                self.sealed = self.now.clone();
            }
            Step::Committed => {
                shard.committed();
                self.committed = self.sealed.clone();
                for (key, value) in self.sealed_changes.drain(..) {
                    match value {
                        Some(value) => drop(self.changelog.insert(key, value)),
                        None => drop(self.changelog.remove(&key)),
                    }
                }
            }
            Step::Rollback => {
                shard.rollback();
                self.now = self.committed.clone();
                self.sealed = self.committed.clone();
                self.sealed_changes.clear();
            }
        }
    }
}

proptest! {
    #[test]
    fn a_shard_is_a_map_with_undo(steps in prop::collection::vec(step(), 0..200)) {
        let (mut shard, mut reference) = (Shard::new(ValueForm::Opaque), Reference::default());
        for step in steps {
            reference.apply(&mut shard, step);
            prop_assert_eq!(shard.len(), reference.now.len());
            let mut found: Vec<_> = shard.iter().map(|(key, value)| (format!("{key:?}"), value.clone())).collect();
            let mut wanted: Vec<_> =
                reference.now.iter().map(|(key, value)| (format!("{:?}", Key::Int((*key).into())), value.clone())).collect();
            found.sort_by(|one, other| one.0.cmp(&other.0));
            wanted.sort_by(|one, other| one.0.cmp(&other.0));
            prop_assert_eq!(found, wanted);
            for key in 0..40u8 {
                prop_assert_eq!(shard.get(Key::Int(key.into())), reference.now.get(&key));
            }
            prop_assert_eq!(shard.dirty_len() == 0, shard.dirty_bytes() == 0);
        }
        // Whoever reads the changelog from its start ends with what is committed.
        let mut again = Shard::new(ValueForm::Opaque);
        for (key, value) in &reference.changelog {
            again.restore(key, Some(value));
        }
        shard.rollback();
        prop_assert_eq!(again.len(), shard.len());
        for (key, value) in shard.iter() {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            prop_assert_eq!(again.get(key), Some(&Value::Encoded(bytes.into_boxed_slice())));
        }
    }
}
