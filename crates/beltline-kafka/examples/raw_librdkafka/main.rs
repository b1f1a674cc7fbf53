//! The ceiling of the benchmarks: librdkafka called directly, with nothing between it and the job.
//!
//! `raw_librdkafka JOB TOPIC OUT COUNT` prints what it reached as JSON. Jobs: `read` counts the orders of TOPIC, `map`
//! decodes them and sums, `produce` decodes them and writes a smaller record to OUT, `fill` writes COUNT orders to OUT,
//! and `check` sums what is in OUT. The brokers are those of `BELTLINE_TEST_KAFKA`.

mod raw;

use std::io::Write;
use std::time::Duration;

use beltline_env::{Clock, SystemClock};
use raw::{Consumer, Producer, Usage};
use serde::{Deserialize, Serialize};

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

#[derive(Serialize, Deserialize)]
struct Sum {
    account: String,
    total: f64,
}

/// An order of the size of all others.
const ORDER: &[u8] =
    br#"{"account":"account-123","amount":123.45,"country":"NL","order_id":"0000000f4240","ts":1700000000000,"qty":3}"#;

const KEYS: u64 = 1000;

/// Longer than any part of a run stands still.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a job needs and what it reports.
struct Run {
    clock: SystemClock,
    began: Option<(Duration, Duration)>,
    events: u64,
    total: i64,
}

impl Run {
    /// To be called with every list of messages: the time counts from the first one.
    fn begin(&mut self) {
        if self.began.is_none() {
            self.began = Some((self.clock.monotonic(), Usage::now().cpu));
        }
    }

    fn report(&self, what: &str) {
        let usage = Usage::now();
        let (seconds, cpu) = self.began.map_or_else(Default::default, |(at, cpu)| {
            ((self.clock.monotonic() - at).as_secs_f64(), (usage.cpu - cpu).as_secs_f64())
        });
        let resident = usage.resident_mib;
        let (events, total) = (self.events, self.total);
        let mut out = std::io::stdout().lock();
        let line = format!(
            "{{\"events\": {events}, \"seconds\": {seconds}, \"cpu_seconds\": {cpu}, \"resident_mib\": {resident}, \
             \"totals\": {{\"{what}\": {total}}}}}"
        );
        let _ = writeln!(out, "{line}");
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [job, topic, out, count] = words.as_slice() else {
        return Err("usage: raw_librdkafka read|map|produce|fill|check TOPIC OUT COUNT".into());
    };
    let count: u64 = count.parse()?;
    let servers = std::env::var("BELTLINE_TEST_KAFKA")?;
    let mut run = Run { clock: SystemClock::default(), began: None, events: 0, total: 0 };
    match job.as_str() {
        "read" => consume(&mut run, &Consumer::new(&servers, topic)?, count, |_, _| Ok(1))?,
        "map" => consume(&mut run, &Consumer::new(&servers, topic)?, count, |_, value| {
            Ok(serde_json::from_slice::<Order>(value)?.qty)
        })?,
        "produce" => produce(&mut run, &servers, topic, out, count)?,
        "fill" => fill(&mut run, &servers, out, count)?,
        "check" => return check(&mut run, &servers, out),
        other => return Err(format!("no such job: {other}").into()),
    }
    run.report("pieces");
    Ok(())
}

/// Does something with each of `count` messages and sums what comes of it.
fn consume(
    run: &mut Run,
    consumer: &Consumer,
    count: u64,
    mut each: impl FnMut(Option<&[u8]>, &[u8]) -> Result<i64, Box<dyn std::error::Error>>,
) -> Outcome {
    while run.events < count {
        let messages = consumer.take(PATIENCE)?;
        if messages.is_empty() {
            return Err(format!("nothing came after {} of {count} messages", run.events).into());
        }
        run.begin();
        for (key, value) in messages.iter() {
            run.total += each(key, value)?;
            run.events += 1;
        }
    }
    Ok(())
}

fn produce(run: &mut Run, servers: &str, topic: &str, out: &str, count: u64) -> Outcome {
    let consumer = Consumer::new(servers, topic)?;
    let producer = Producer::new(servers, out)?;
    let mut text = Vec::new();
    consume(run, &consumer, count, |_, value| {
        let order: Order = serde_json::from_slice(value)?;
        let sum = Sum { total: order.amount * order.qty as f64, account: order.account };
        text.clear();
        serde_json::to_writer(&mut text, &sum)?;
        producer.send(sum.account.as_bytes(), &text)?;
        Ok(order.qty)
    })?;
    producer.flush(PATIENCE)
}

fn fill(run: &mut Run, servers: &str, out: &str, count: u64) -> Outcome {
    let producer = Producer::new(servers, out)?;
    // One record first, so that connecting does not count.
    producer.send(b"account-0", ORDER)?;
    producer.flush(PATIENCE)?;
    run.begin();
    for number in 1..count {
        producer.send(format!("account-{}", number % KEYS).as_bytes(), ORDER)?;
    }
    producer.flush(PATIENCE)?;
    (run.events, run.total) = (count, count as i64);
    Ok(())
}

/// Sums the totals that a job has written, in cents, up to the end of all partitions.
fn check(run: &mut Run, servers: &str, out: &str) -> Outcome {
    let consumer = Consumer::new(servers, out)?;
    loop {
        let messages = consumer.take(PATIENCE)?;
        if messages.is_empty() {
            return Err(format!("the end of {out} was not reached").into());
        }
        for (_, value) in messages.iter() {
            let sum: Sum = serde_json::from_slice(value)?;
            run.total += (sum.total * 100.0).round() as i64;
            run.events += 1;
        }
        if consumer.has_reached_the_end() {
            run.report("cents");
            return Ok(());
        }
    }
}
