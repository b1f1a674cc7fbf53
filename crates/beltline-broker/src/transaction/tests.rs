//! Histories of transactions, with restarts: what is committed is whole, and nobody's who was replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{BatchBuilder, TopicPartition};
use proptest::prelude::*;

use super::*;

const MAX_BYTES: usize = 2000;

fn records(tag: u64) -> BatchBuilder {
    let mut records = BatchBuilder::default();
    records.push(None, Some(&tag.to_le_bytes()), &[], 0);
    records
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// A producer as it sees itself.
#[derive(Clone, Debug, Default)]
struct Producer {
    identity: Option<(i64, i16)>,
    /// Tags sent in the open transaction.
    sent: Vec<u64>,
    is_broken: bool,
}

struct World {
    coordinator: Coordinator,
    journal: BTreeMap<Arc<str>, Stored>,
    now: Duration,
    fresh: i64,
    tag: u64,
    /// Tags in the log, one set per commit.
    log: Vec<BTreeSet<u64>>,
    producers: Vec<Producer>,
}

impl World {
    fn id() -> Arc<str> {
        Arc::from("id")
    }

    fn new() -> World {
        World {
            coordinator: Coordinator::new(MAX_BYTES, 2 * MAX_BYTES, 10),
            journal: BTreeMap::new(),
            now: Duration::ZERO,
            fresh: 0,
            tag: 0,
            log: Vec::new(),
            producers: vec![Producer::default(); 3],
        }
    }

    fn initialise(&mut self, number: usize) {
        self.fresh += 1;
        let stored = self.coordinator.initialise(&World::id(), 1000, None, self.fresh, self.now).unwrap();
        self.journal.insert(World::id(), stored);
        self.producers[number] = Producer { identity: Some((stored.producer_id, stored.epoch)), ..Producer::default() };
    }

    fn send(&mut self, number: usize) {
        let Some(identity) = self.producers[number].identity else { return };
        match self.coordinator.add_partitions("id", identity, [partition()], self.now) {
            Ok(Some(stored)) => {
                self.journal.insert(World::id(), stored);
                self.coordinator.opened("id");
            }
            Ok(None) => {}
            Err(_) => return self.producers[number].is_broken = true,
        }
        let records = records(self.tag);
        match self.coordinator.may_hold("id", identity, &partition(), Held::cost(&records)) {
            Ok(()) => {
                self.coordinator.hold("id", partition(), records);
                self.producers[number].sent.push(self.tag);
                self.tag += 1;
            }
            Err(_) => self.producers[number].is_broken = true,
        }
    }

    /// Ends the transaction; returns whether the producer was told that it is committed.
    fn end(&mut self, number: usize, commit: bool, is_written: bool) -> bool {
        let Some(identity) = self.producers[number].identity else { return false };
        match self.coordinator.begin_end("id", identity, commit) {
            Err(_) => false,
            Ok(Begun::Done) => commit,
            Ok(Begun::Write { held, stored, .. }) => {
                assert_eq!(self.coordinator.begin_end("id", identity, commit).unwrap_err(), Denied::Busy);
                if is_written {
                    self.journal.insert(World::id(), stored);
                    let tags = held.batches.iter().map(|(_, records)| tag(records)).collect::<BTreeSet<_>>();
                    if commit {
                        self.log.push(tags);
                    } else {
                        assert!(tags.is_empty(), "an abort writes nothing");
                    }
                }
                self.coordinator.finish_end("id", stored, is_written);
                commit && is_written
            }
        }
    }

    fn restart(&mut self) {
        self.coordinator = Coordinator::new(MAX_BYTES, 2 * MAX_BYTES, 10);
        for (id, stored) in &self.journal {
            self.coordinator.restore(id.clone(), *stored);
        }
    }
}

fn tag(records: &BatchBuilder) -> u64 {
    u64::from_le_bytes(records.build(0).unwrap().get(0).value.unwrap().try_into().unwrap())
}

#[derive(Clone, Debug)]
enum Event {
    Initialise(usize),
    Send(usize),
    Commit(usize),
    CommitWithoutAnswer(usize),
    CommitUnwritten(usize),
    Abort(usize),
    Restart,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..3usize).prop_map(Event::Initialise),
        8 => (0..3usize).prop_map(Event::Send),
        4 => (0..3usize).prop_map(Event::Commit),
        1 => (0..3usize).prop_map(Event::CommitWithoutAnswer),
        1 => (0..3usize).prop_map(Event::CommitUnwritten),
        1 => (0..3usize).prop_map(Event::Abort),
        1 => Just(Event::Restart),
        2 => (1..800u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_commit_is_whole_and_is_the_holders(events in prop::collection::vec(event(), 0..80)) {
        let mut world = World::new();
        for event in events {
            match event {
                Event::Initialise(number) => world.initialise(number),
                Event::Send(number) => world.send(number),
                Event::Commit(number) | Event::CommitWithoutAnswer(number) | Event::CommitUnwritten(number) => {
                    // A client that met an error does not commit, it aborts.
                    if world.producers[number].is_broken || world.producers[number].sent.is_empty() {
                        continue;
                    }
                    let before = world.log.len();
                    let is_written = !matches!(event, Event::CommitUnwritten(_));
                    let told = world.end(number, true, is_written);
                    let sent: BTreeSet<u64> = world.producers[number].sent.iter().copied().collect();
                    prop_assert_eq!(world.log.len() > before, told);
                    if told {
                        prop_assert_eq!(world.log.last(), Some(&sent), "all of it, and nothing else");
                    }
                    if matches!(event, Event::CommitWithoutAnswer(_)) && told {
                        // It asks again, perhaps of a broker that was started anew, and nothing is written twice.
                        world.restart();
                        prop_assert!(world.end(number, true, true));
                        prop_assert_eq!(world.log.len(), before + 1);
                    }
                    let producer = &mut world.producers[number];
                    producer.is_broken = !told;
                    producer.sent.clear();
                }
                Event::Abort(number) => {
                    world.end(number, false, true);
                    let producer = &mut world.producers[number];
                    // What an abort cannot mend is mended by a new epoch.
                    if producer.is_broken {
                        producer.identity = None;
                    }
                    producer.is_broken = false;
                    producer.sent.clear();
                }
                Event::Restart => world.restart(),
                Event::Pass(time) => {
                    world.now += Duration::from_millis(time);
                    for (id, stored) in world.coordinator.expire(world.now) {
                        world.journal.insert(id, stored);
                    }
                    prop_assert!(world.coordinator.next_deadline().is_none_or(|next| next > world.now));
                }
            }
            let all: Vec<u64> = world.log.iter().flatten().copied().collect();
            let unique: BTreeSet<u64> = all.iter().copied().collect();
            prop_assert_eq!(all.len(), unique.len(), "nothing is committed twice");
            prop_assert!(world.coordinator.held_bytes() <= MAX_BYTES + 200);
        }
        world.now += Duration::from_secs(60);
        world.coordinator.expire(world.now);
        prop_assert_eq!(world.coordinator.held_bytes(), 0, "what nobody ends is given back");
    }
}

#[test]
fn a_second_group_is_refused_and_offsets_wait_for_the_end() {
    let mut coordinator = Coordinator::new(MAX_BYTES, MAX_BYTES, 10);
    let id: Arc<str> = Arc::from("id");
    let stored = coordinator.initialise(&id, 1000, None, 7, Duration::ZERO).unwrap();
    let producer = (stored.producer_id, stored.epoch);
    let group: Arc<str> = Arc::from("g");
    let offsets = || vec![(partition(), 5, Arc::from(""))];
    assert_eq!(coordinator.hold_offsets("id", producer, "g", offsets()), Err(Denied::InvalidState));
    assert!(coordinator.add_group("id", producer, &group, Duration::ZERO).unwrap().is_some());
    assert_eq!(coordinator.add_group("id", producer, &Arc::from("other"), Duration::ZERO), Err(Denied::SecondGroup));
    coordinator.hold_offsets("id", producer, "g", offsets()).unwrap();
    assert!(coordinator.pending_offsets("g").contains(&partition()));
    let Begun::Write { held, stored, .. } = coordinator.begin_end("id", producer, true).unwrap() else { panic!() };
    assert_eq!(held.offsets.len(), 1);
    coordinator.finish_end("id", stored, true);
    assert!(coordinator.pending_offsets("g").is_empty());
    assert_eq!(coordinator.initialise(&id, 1000, Some((7, 9)), 8, Duration::ZERO), Err(Denied::Fenced));
    assert_eq!(coordinator.initialise(&id, 0, None, 8, Duration::ZERO), Err(Denied::InvalidTimeout));
}

#[test]
fn who_missed_the_answer_gets_it_again_and_who_was_replaced_does_not() {
    let mut coordinator = Coordinator::new(MAX_BYTES, MAX_BYTES, 10);
    let mut ask = |claimed| coordinator.initialise(&World::id(), 1000, claimed, 7, Duration::ZERO);
    let first = ask(None).unwrap();
    let claimed = Some((first.producer_id, first.epoch));
    let second = ask(claimed).unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    assert_eq!(ask(claimed), Ok(second), "the answer was lost");
    let third = ask(None).unwrap();
    assert_eq!(third.epoch, second.epoch + 1);
    assert_eq!(ask(claimed), Err(Denied::Fenced));
    assert_eq!(ask(Some((second.producer_id, second.epoch))), Err(Denied::Fenced));
}
