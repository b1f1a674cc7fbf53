//! Both coordinators in a world where requests and answers are lost, doubled, late and out of order, where time runs out
//! and where the endpoint's process ends at any moment. Everything comes from a seed; `BELTLINE_SEED=<n>` repeats one.

mod groups;
mod network;
mod transactions;

/// Seeds tried when none is given.
const SEEDS: u64 = 200;

fn seeds() -> Vec<u64> {
    match std::env::var("BELTLINE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=SEEDS).collect(),
    }
}
