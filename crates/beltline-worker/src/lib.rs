//! Turns the core in the real world: log and store threads, bounded queues, recovery, shutdown.
//!
//! - `io`: what the threads do for the core, as plain functions; the simulator calls them too
//! - `fetcher`, `committer`, `restorer`, `standby`, `member`, `tidier`, `surveyor`: the threads
//! - `turns`: who may touch a stored shard when several of them want to
//! - `inbox`: where they put their answers, and how they wake the owner
//! - `worker`: the turn that connects them with the core
//! - `local`: everything in one directory, or in memory

mod committer;
mod fetcher;
mod inbox;
pub mod io;
mod local;
mod member;
mod restorer;
mod standby;
mod surveyor;
mod tidier;
mod turns;
mod worker;

pub use inbox::Waker;
pub use local::{Local, LocalOptions};
pub use worker::Worker;
