//! Any order of taking, finishing, giving back, committing and aborting keeps the promises.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::collections::BTreeSet;

use beltline_engine::{Guarantee, Next, Ticket};
use beltline_types::{ErrorKind, TopicPartition};
use proptest::prelude::*;
use support::{Bench, options};

#[derive(Clone, Debug)]
enum Step {
    Write(u32, u8),
    Take,
    Finish(u8),
    GiveBack(u8),
    Pass(u16),
    Accept,
    Abort,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2u32, 1..5u8).prop_map(|(partition, count)| Step::Write(partition, count)),
        6 => Just(Step::Take),
        6 => any::<u8>().prop_map(Step::Finish),
        1 => any::<u8>().prop_map(Step::GiveBack),
        2 => (1..200u16).prop_map(Step::Pass),
        2 => Just(Step::Accept),
        1 => Just(Step::Abort),
    ]
}

/// What the outside knows: which offsets were finished since which durable position.
#[derive(Default)]
struct Model {
    held: Vec<Ticket>,
    /// Finished, and not yet known to be durable.
    finished: BTreeSet<(u32, i64)>,
}

fn partition_of(bench: &Bench, ticket: &Ticket) -> u32 {
    bench.core.partition(ticket).unwrap()
}

fn position(bench: &Bench, partition: u32) -> i64 {
    bench.committed.get(&TopicPartition::new("in", partition)).copied().unwrap_or(0)
}

fn run(guarantee: Guarantee, steps: Vec<Step>) {
    let mut bench = Bench::new(options(guarantee));
    let topic = bench.topic("in", 2);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Write(partition, count) => {
                bench.write("in", partition, &vec!["v"; count as usize]);
                bench.turn();
            }
            Step::Take => {
                if let Next::Event(ticket) = bench.core.next(reader) {
                    let key = (partition_of(&bench, &ticket), ticket.offset());
                    assert!(!model.finished.contains(&key), "{key:?} was handed out after it was finished");
                    assert!(!model.held.contains(&ticket), "{key:?} was handed out twice");
                    model.held.push(ticket);
                }
            }
            Step::Finish(which) if !model.held.is_empty() => {
                let ticket = model.held.remove(which as usize % model.held.len());
                model.finished.insert((partition_of(&bench, &ticket), ticket.offset()));
                bench.core.done(ticket);
            }
            Step::GiveBack(which) if !model.held.is_empty() => {
                let ticket = model.held.remove(which as usize % model.held.len());
                bench.core.release(ticket);
            }
            Step::Pass(milliseconds) => bench.pass(u64::from(milliseconds)),
            Step::Accept if !bench.commits.is_empty() => {
                let unit = &bench.commits[0];
                for (partition, offset) in unit.request.offsets.clone() {
                    let before = position(&bench, partition.partition);
                    assert!(offset >= before, "{partition} went from {before} back to {offset}");
                    let missing = (before..offset).find(|at| !model.finished.contains(&(partition.partition, *at)));
                    assert_eq!(missing, None, "{partition}: a position passed an event nobody finished");
                }
                bench.accept();
            }
            Step::Abort if !bench.commits.is_empty() => {
                bench.refuse(ErrorKind::Aborted);
                model.held.clear();
                let durable = |(partition, offset): &(u32, i64)| *offset < position(&bench, *partition);
                model.finished.retain(durable);
            }
            _ => {}
        }
        assert!(bench.core.in_flight() >= model.held.len());
    }
    finish(bench, model, reader);
}

/// Everything is finished in the end and the positions are the ends.
fn finish(mut bench: Bench, model: Model, reader: beltline_engine::SubscriptionId) {
    model.held.into_iter().for_each(|ticket| bench.core.done(ticket));
    for _ in 0..8 {
        bench.pass(10_000);
        bench.drain(reader);
        while !bench.commits.is_empty() {
            bench.accept();
        }
    }
    assert!(bench.core.is_idle(), "{:?}", bench.core.health());
    for partition in 0..2 {
        assert_eq!(position(&bench, partition), bench.end(&TopicPartition::new("in", partition)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn positions_never_pass_unfinished_events(steps in proptest::collection::vec(step(), 1..120), once in any::<bool>()) {
        run(if once { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce }, steps);
    }
}
