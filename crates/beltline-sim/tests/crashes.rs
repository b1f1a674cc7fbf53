//! Whatever the world does, every event counts once; or, at least once, never less.
//!
//! A failing run prints its seed; `BELTLINE_SEED=<n> cargo test -p beltline-sim` repeats it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use beltline_engine::Guarantee;
use beltline_sim::{Faults, World};

const ALL: Faults = Faults { kills: true, power_failures: true, aborts: true };
const NONE: Faults = Faults { kills: false, power_failures: false, aborts: false };

/// Seeds tried when none is given.
const SEEDS: u64 = 150;

const STEPS: usize = 3000;

fn seeds() -> Vec<u64> {
    match std::env::var("BELTLINE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=SEEDS).collect(),
    }
}

fn finished(mut world: World, steps: usize, faults: Faults) -> World {
    world.run(steps, faults).unwrap();
    world.come_to_rest().unwrap();
    // Whatever was rolled back, what no event sends is written once, unless its process has died before.
    let notes = world.notes().unwrap();
    assert!(notes.written.values().all(|count| *count == 1), "{notes:?}");
    assert!(notes.owed.iter().all(|value| notes.written.contains_key(value)), "{notes:?}");
    world
}

#[test]
fn exactly_once_counts_every_event_once_whatever_happens() {
    let mut crashes = 0;
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = finished(World::new(seed, Guarantee::ExactlyOnce).unwrap(), STEPS, ALL);
        let [input, table, output] = world.totals().unwrap();
        assert!(!input.is_empty(), "seed {seed} has seen no event");
        assert_eq!(table, input, "seed {seed}");
        assert_eq!(output, input, "seed {seed}");
        assert_eq!(world.rekeyed().unwrap(), input, "seed {seed}");
        // A process that starts now finds the same table.
        world.restart().unwrap();
        world.come_to_rest().unwrap();
        assert_eq!(world.totals().unwrap()[1], input, "seed {seed}, after a restart");
        crashes += world.crashes();
    }
    assert!(crashes > seeds().len() as u64, "the dice have thrown no crash");
}

#[test]
fn at_least_once_loses_nothing_whatever_happens() {
    for seed in seeds() {
        println!("seed {seed}");
        let world = finished(World::new(seed, Guarantee::AtLeastOnce).unwrap(), STEPS, ALL);
        let [input, table, output] = world.totals().unwrap();
        for (value, count) in &input {
            assert!(table.get(value) >= Some(count), "seed {seed}: {value:?} counts {:?} of {count}", table.get(value));
            assert!(output.get(value) >= Some(count), "seed {seed}");
        }
    }
}

#[test]
fn a_crash_at_any_boundary_changes_no_total() {
    let seed = 42;
    let boundaries = finished(World::new(seed, Guarantee::ExactlyOnce).unwrap(), 600, NONE).boundaries();
    assert!(boundaries > 200, "{boundaries} boundaries are no test");
    for boundary in 1..=boundaries {
        let world = finished(World::new(seed, Guarantee::ExactlyOnce).unwrap().crash_at(boundary), 600, NONE);
        let [input, table, output] = world.totals().unwrap();
        assert_eq!(world.crashes(), 1, "boundary {boundary} was not reached");
        assert_eq!((&table, &output), (&input, &input), "crash at boundary {boundary}");
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let end = |seed| {
        let world = finished(World::new(seed, Guarantee::ExactlyOnce).unwrap(), STEPS, ALL);
        (world.totals().unwrap(), world.boundaries(), world.crashes())
    };
    assert_eq!(end(7), end(7));
    assert_ne!(end(7), end(8));
}
