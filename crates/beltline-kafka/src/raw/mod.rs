//! The only room with `unsafe`: librdkafka's C interface as owned values and borrowed views.
//!
//! - `code`: error codes as plain numbers, and an error with its flags
//! - `client`: one librdkafka handle, its settings and its callbacks
//! - `list`: lists of partitions with offsets
//! - `queue`: queues, their events, and the messages drained from them
//! - `consumer`, `producer`, `admin`: what the three kinds of handle can do
//! - `assignor`: the Rust half of `shim.c`
//!
//! Rules kept here: a handle is destroyed after everything that was made from it, which every such value ensures by
//! holding an `Arc` of its [`client::Client`]; a code is read as an `i32`, because a broker may send one that the
//! bindings' enumeration does not know; callbacks never unwind into C.

pub(crate) mod admin;
pub(crate) mod assignor;
pub(crate) mod client;
pub(crate) mod code;
pub(crate) mod consumer;
pub(crate) mod list;
pub(crate) mod producer;
pub(crate) mod queue;
