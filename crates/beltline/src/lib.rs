//! Functions on a never-ending conveyor belt of events.
//!
//! Write a closure, attach it to a topic, and it runs on every event; what it returns goes to another topic, or into a
//! table that survives restarts. The belt is a durable log in the app's data directory; there is nothing to start.
//! An app in Rust and one in Python with the same id work on the same topics, tables and positions.
//!
//! ```
//! use beltline::prelude::*;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     customer: String,
//!     amount: f64,
//! }
//!
//! let mut app = App::new("shop");
//! let orders = app.topic::<Order>("orders");
//! let spent = app.table::<String, f64>("spent");
//!
//! app.on(&orders).by(|order| &order.customer).run(move |order, belt| {
//!     *belt.table(&spent).entry(&order.customer)? += order.amount;
//!     Ok(())
//! });
//!
//! // `app.main()` would take over here: worker, send, table. In a test the same app runs in memory:
//! let mut belt = beltline::testing::start(app)?;
//! belt.send(&orders, &(), &Order { customer: "ada".into(), amount: 1200.0 })?;
//! belt.drain()?;
//! assert_eq!(belt.table(&spent).get("ada")?, Some(1200.0));
//! # Ok::<(), beltline::Error>(())
//! ```
//!
//! - `app`: declaring topics, tables, handlers, timers; [`kafka`]: on Apache Kafka
//! - `on`: how a handler is attached; `pattern`: to topics that match, and come up later
//! - `belt`: what a handler can do; `table`: the tables it sees
//! - `runner`: turning the engine; `cli`, `running`, [`testing`]: what runs an app

mod app;
mod belt;
mod cli;
mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
mod key;
mod on;
mod pattern;
mod policy;
mod runner;
mod running;
#[cfg(not(feature = "kafka"))]
mod serving;
mod table;
pub mod testing;
mod topic;

pub use app::App;
pub use belt::Belt;
pub use beltline_engine::{Guarantee, StartFrom};
pub use beltline_log::SyncPolicy;
pub use beltline_types::{Error, ErrorKind, Result};
pub use key::{RecordKey, TableKey};
pub use on::On;
pub use policy::{Last, OnError};
pub use running::Running;
pub use table::{Entry, Table, TableView};
pub use topic::Topic;

/// What a handler returns: any error is handled as the handler's [`OnError`] says.
pub type HandlerResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Everything a program needs, serde's derives included.
pub mod prelude {
    pub use crate::{App, Belt, Guarantee, HandlerResult, OnError, SyncPolicy, Table, Topic};
    pub use serde::{Deserialize, Serialize};
}
