//! The core: subscriptions, positions, tables, outbox, commit units; no I/O, no clock, no thread.
//!
//! A driver turns it. Log events and the time go in ([`Core::handle`], [`Core::tick`]), log commands come out
//! ([`Core::poll_command`]); between them the data plane ([`Core::next`], [`Core::done`], [`Core::shard_mut`],
//! [`Core::emit`]) is plain calls of some tens of nanoseconds. The same inputs in the same order give the same
//! outputs, which is what the simulator lives on.
//!
//! - `options`, `topology`, `protocol`, `health`: what goes in and out, as plain data
//! - `queue`: fetched batches of a partition, shared by its subscriptions
//! - `lane`: one subscription's cursor and in-flight set in one partition; the position comes from here
//! - `outbox`, `tables`: what a unit is made of
//! - `commit`: when a unit is due
//! - `group`, `hand_over`: which partitions are ours, and how they come and go
//! - `survey`: topics and partitions that come up meanwhile, and which of them fit
//! - `core` and `subscribe` (set-up and data plane), `control` (the state machine), `seal` (making and ending units), `observe`

mod commit;
mod control;
mod core;
mod group;
mod hand_over;
mod health;
mod lane;
mod observe;
mod options;
mod outbox;
mod protocol;
mod queue;
mod seal;
mod subscribe;
mod survey;
mod tables;
mod topology;

pub use crate::core::{Core, Next, Ticket};
pub use health::{Counters, Health, PartitionHealth, Pause};
pub use options::{CoreOptions, Guarantee, StartFrom};
pub use outbox::{Origin, Outgoing};
pub use protocol::{CommitUnit, LogCommand, LogEvent, PartitionOffsets, Receipt, Sent, TableChange};
pub use tables::TableHealth;
pub use topology::{SubscriptionId, TableId, TableSpec, TopicId};
