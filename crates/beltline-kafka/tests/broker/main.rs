//! The Log on a real Kafka broker: `BELTLINE_TEST_KAFKA=host:port`, or one that the tests start from Maven.
#![expect(clippy::disallowed_methods, reason = "tests start processes and look at the clock")]
#![expect(clippy::unwrap_used, reason = "a failing test says where")]

mod admin;
mod broker;
mod consuming;
mod groups;
mod killed;
mod outages;
mod security;
mod support;
mod transactions;
