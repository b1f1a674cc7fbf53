//! The [`beltline_log::Log`] trait on Apache Kafka, through librdkafka.
//!
//! ```no_run
//! use beltline_kafka::{Guarantee, KafkaLog, KafkaOptions};
//! use beltline_log::Log;
//!
//! let mut options = KafkaOptions::new("localhost:9092", "orders");
//! options.guarantee = Guarantee::ExactlyOnce;
//! options.transactional_id = Some("orders-0".into());
//! let log = KafkaLog::connect(options)?;
//! println!("{} topics", log.topics()?.len());
//! # Ok::<(), beltline_types::Error>(())
//! ```
//!
//! - `log`: [`KafkaLog`], which gives each question to the part that knows
//! - `member`, `assignor`: the membership in a group; who reads what is in it is `beltline_log::assignment`
//! - `lane`, `records`: one partition on its way in, from the fetch buffer into batches
//! - `reader`: partitions that no group gives out, and questions that need no group
//! - `producer`, `deliveries`: records on their way out, and where they went
//! - `at_least_once`, `exactly_once`: the two ways to commit; `positions`: what the former still owes the group
//! - `topics`: what there is, and making what is missing
//! - `options`, `named`, `context`, `health`, `errors`, `signal`: settings, deadlines, what is wrong, who waits
//! - `raw`: librdkafka's C interface; the only room with `unsafe`
//!
//! librdkafka is used directly, not through the crate `rdkafka`: that one takes deliveries as events, so that its flush
//! sleeps and its abort waits for somebody to poll; with callbacks librdkafka does both by itself.

mod assignor;
mod at_least_once;
mod context;
mod deliveries;
mod errors;
mod exactly_once;
mod health;
mod lane;
mod log;
mod member;
mod named;
mod options;
mod positions;
mod producer;
mod raw;
mod reader;
mod records;
mod signal;
mod topics;

pub use log::KafkaLog;
pub use options::{AccessToken, Guarantee, KafkaOptions, Patience, StartPolicy, TokenSource};
