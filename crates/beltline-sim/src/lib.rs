//! A seeded world of faults around the real core. Not shipped.
//!
//! One thread plays everything: the owner that takes events and finishes them late, the log and store threads (through
//! the same functions the worker's threads call), an outside producer, the clock, killed processes, power failures,
//! refused commits, a group that moves partitions between processes. What happens next is drawn from the seed, so a run
//! can be repeated; in the end the tables and the outputs must be what a plain fold over the input gives.
//!
//! - `node`: the app under test, as a core with two handlers and a table
//! - `world`: what surrounds one of them, and the dice
//! - `cluster`: several of them (`process`) on one log, each behind a `member_log` that asks the `coordinator`
//! - `check`: the fold, and the comparison

mod check;
mod cluster;
mod coordinator;
mod member_log;
mod node;
mod process;
mod world;

pub use check::{Notes, Totals};
pub use cluster::{Cluster, ClusterFaults, Seen};
pub use world::{Faults, World};
