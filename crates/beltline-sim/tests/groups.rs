//! Whatever a group does to its members, and they to themselves, every event counts once; or, at least once, never less.
//!
//! A failing run prints its seed; `BELTLINE_SEED=<n> cargo test -p beltline-sim` repeats it, `BELTLINE_SEEDS=<n>` tries
//! that many.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use beltline_engine::Guarantee;
use beltline_sim::{Cluster, ClusterFaults, Seen, Totals};

const NONE: ClusterFaults =
    ClusterFaults { moves: false, leaves: false, kills: false, pauses: false, expulsions: false, log_errors: false };
const ALL: ClusterFaults =
    ClusterFaults { moves: true, leaves: true, kills: true, pauses: true, expulsions: true, log_errors: true };

/// Seeds tried when nothing else is wanted.
const SEEDS: u64 = 50;

const STEPS: usize = 6000;

fn seeds() -> Vec<u64> {
    let wanted = |name: &str| std::env::var(name).ok().map(|number| number.parse().unwrap());
    match wanted("BELTLINE_SEED") {
        Some(seed) => vec![seed],
        None => (1..=wanted("BELTLINE_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

fn finished(mut cluster: Cluster, faults: ClusterFaults) -> Cluster {
    cluster.run(STEPS, faults).unwrap();
    cluster.come_to_rest().unwrap();
    let notes = cluster.notes().unwrap();
    assert!(notes.owed.iter().all(|value| notes.written.contains_key(value)), "lost: {notes:?}");
    // Only where nobody knows whether a unit was written may they be written twice.
    assert!(faults.log_errors || notes.written.values().all(|count| *count == 1), "doubled: {notes:?}");
    cluster
}

fn add(total: &mut Seen, seen: Seen) {
    total.moves += seen.moves;
    total.expelled += seen.expelled;
    total.fenced += seen.fenced;
    total.kills += seen.kills;
    total.leaves += seen.leaves;
    total.warmed += seen.warmed;
}

fn exactly_once(faults: ClusterFaults) -> Seen {
    let mut total = Seen::default();
    for seed in seeds() {
        println!("seed {seed}");
        let mut cluster = finished(Cluster::new(seed, Guarantee::ExactlyOnce).unwrap(), faults);
        let [input, table, output] = cluster.totals().unwrap();
        assert!(!input.is_empty(), "seed {seed} has seen no event");
        assert_eq!(cluster.rekeyed().unwrap(), input, "seed {seed}, in the middle");
        assert_eq!(output, input, "seed {seed}, outputs");
        assert_eq!(table, input, "seed {seed}, table");
        assert!(cluster.is_in_order().unwrap(), "seed {seed}: outputs are out of order");
        add(&mut total, cluster.seen());
        // Whoever has the shards next finds the same tables, on disks that saw only a part.
        cluster.restart_all().unwrap();
        cluster.come_to_rest().unwrap();
        assert_eq!(cluster.totals().unwrap()[1], input, "seed {seed}, after a restart of all");
    }
    println!("{total:?}");
    total
}

#[test]
fn exactly_once_counts_every_event_once_whatever_the_group_does() {
    let seen = exactly_once(ALL);
    let few = [seen.moves, seen.expelled, seen.fenced, seen.kills, seen.leaves, seen.warmed].into_iter().min();
    assert!(few > Some(0), "some fault was never thrown: {seen:?}");
}

#[test]
fn partitions_that_only_move_repeat_nothing_and_fence_nobody() {
    let seen = exactly_once(ClusterFaults { moves: true, ..NONE });
    assert!(seen.moves > 0 && seen.warmed > 0);
    assert_eq!((seen.expelled, seen.fenced), (0, 0));
}

#[test]
fn zombies_write_nothing() {
    let seen = exactly_once(ClusterFaults { pauses: true, expulsions: true, moves: true, ..NONE });
    assert!(seen.fenced > 0, "no zombie has tried: {seen:?}");
}

fn nothing_lost(seed: u64, input: &Totals, found: &Totals, what: &str) {
    for (value, count) in input {
        assert!(
            found.get(value) >= Some(count),
            "seed {seed}: {what} {value:?} counts {:?} of {count}",
            found.get(value)
        );
    }
}

#[test]
fn at_least_once_loses_nothing_whatever_the_group_does() {
    for seed in seeds() {
        println!("seed {seed}");
        let cluster = finished(Cluster::new(seed, Guarantee::AtLeastOnce).unwrap(), ALL);
        let [input, table, output] = cluster.totals().unwrap();
        nothing_lost(seed, &input, &output, "output");
        nothing_lost(seed, &input, &table, "table");
    }
}

#[test]
fn at_least_once_loses_no_output_to_zombies_whose_appends_cannot_be_refused() {
    for seed in seeds() {
        println!("seed {seed}");
        let cluster = finished(Cluster::new(seed, Guarantee::AtLeastOnce).unwrap().appends_late(), ALL);
        let [input, _, output] = cluster.totals().unwrap();
        nothing_lost(seed, &input, &output, "output");
    }
}

#[test]
fn the_same_seed_gives_the_same_cluster() {
    let end = |seed| {
        let cluster = finished(Cluster::new(seed, Guarantee::ExactlyOnce).unwrap(), ALL);
        (cluster.totals().unwrap(), cluster.seen())
    };
    assert_eq!(end(7), end(7));
    assert_ne!(end(7), end(8));
}
