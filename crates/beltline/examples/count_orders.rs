//! The Rust-only job of the benchmarks: count orders by account, from a log that another face has filled.
//!
//! `count_orders DIRECTORY COUNT` prints what it reached as JSON.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use beltline::prelude::*;
use beltline_env::{Clock, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions};
use beltline_types::{Append, BatchBuilder, CommitRequest, TopicPartition, TopicSpec};

#[derive(Deserialize)]
#[expect(dead_code, reason = "all six fields are decoded, as the others do")]
struct Order {
    account: String,
    amount: f64,
    country: String,
    order_id: String,
    ts: i64,
    qty: i64,
}

const PARTITIONS: u32 = 4;

/// Records of one commit.
const UNIT: u64 = 10_000;

/// Seconds to read the whole topic without doing anything.
fn read_everything(directory: &Path, clock: &Arc<dyn Clock>) -> beltline::Result<f64> {
    let log = EmbeddedLog::open(&directory.join("log"), LogOptions::default(), clock.clone())?;
    let began = clock.monotonic();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new("orders", partition);
        let mut offset = log.offsets(&partition)?.start;
        while let Some(last) = log.fetch(&partition, offset, 1 << 20)?.batches.last() {
            offset = last.next_offset();
        }
    }
    Ok((clock.monotonic() - began).as_secs_f64())
}

/// Seconds to append as many records as the topic has, in units of ten thousand, to a log of its own beside it.
fn append_everything(directory: &Path, count: u64, clock: &Arc<dyn Clock>) -> beltline::Result<f64> {
    let log = EmbeddedLog::open(&directory.join("append"), LogOptions::default(), clock.clone())?;
    log.create_topics(&[TopicSpec::new("orders", 1)])?;
    let value = br#"{"account":"account-123","amount":123.45,"country":"NL","order_id":"0000000f4240","ts":1700000000000,"qty":3}"#;
    let began = clock.monotonic();
    for _ in 0..count / UNIT {
        let mut records = BatchBuilder::default();
        (0..UNIT).for_each(|_| records.push(Some(b"account-123"), Some(value), &[], 1_700_000_000_000));
        let appends = vec![Append { target: TopicPartition::new("orders", 0), records }];
        log.commit(CommitRequest { appends, ..CommitRequest::default() })?;
    }
    Ok((clock.monotonic() - began).as_secs_f64())
}

fn main() -> beltline::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_default());
    let count: u64 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let read_seconds = read_everything(&directory, &clock)?;
    let append_seconds = append_everything(&directory, count, &clock)?;

    let mut app = App::new("bench-rust");
    app.directory(&directory).partitions(PARTITIONS);
    let orders = app.topic::<Order>("orders");
    let counts = app.table::<String, i64>("counts");
    app.on(&orders).run(move |order, belt| {
        *belt.table(&counts).entry(&order.account)? += 1;
        Ok(())
    });
    let began = clock.monotonic();
    let mut running = app.start()?;
    running.run_until_idle()?;
    let seconds = (clock.monotonic() - began).as_secs_f64();
    let mut totals = running.table(&counts).entries()?;
    running.stop()?;
    totals.sort();
    let totals: Vec<String> = totals.iter().map(|(key, value)| format!("[\"{key}\", {value}]")).collect();
    let lines = totals.join(", ");
    println!(
        "{{\"events\": {count}, \"seconds\": {seconds}, \"read_seconds\": {read_seconds}, \"append_seconds\": {append_seconds}, \"totals\": [{lines}]}}"
    );
    Ok(())
}
