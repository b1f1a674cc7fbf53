//! What the world does to an endpoint: a full disk, a clock that goes back, clients of other times.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use beltline_broker::{Broker, BrokerOptions, Endpoint, Visitor};
use beltline_env::{Clock, MemoryFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions};
use beltline_types::{BatchBuilder, ErrorKind, Timestamp, TopicPartition, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

/// A clock whose time of day is set by hand.
struct SetClock {
    steady: SystemClock,
    now_ms: AtomicI64,
}

impl Clock for SetClock {
    fn now_ms(&self) -> Timestamp {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.steady.monotonic()
    }
}

fn visitor(broker: &Broker) -> Visitor {
    let (address, token) = (broker.address(), broker.token().to_owned());
    Visitor::connect(&Endpoint { address, token, pid: 1 }).unwrap()
}

fn record(value: &str) -> BatchBuilder {
    let mut records = BatchBuilder::default();
    records.push(None, Some(value.as_bytes()), &[], -1);
    records
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Values and times of everything.
fn read(visitor: &mut Visitor) -> Vec<(String, Timestamp)> {
    let (batch, _) = visitor.read(&partition(), 0).unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    batch.iter().map(|record| (text(record.value), record.timestamp)).collect()
}

#[test]
fn a_full_disk_refuses_producers_serves_consumers_and_takes_records_when_there_is_room() {
    let (files, clock) = (MemoryFiles::default(), Arc::new(SystemClock::default()));
    let log = EmbeddedLog::open_in(Arc::new(files.clone()), Path::new("log"), LogOptions::default(), clock.clone());
    let log = Arc::new(log.unwrap());
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    let mut visitor = visitor(&broker);
    assert_eq!(visitor.append(&partition(), &record("before")).unwrap(), 0);
    files.set_room(Some(10));
    for _ in 0..3 {
        // KAFKA_STORAGE_ERROR, which a visitor takes for what it is.
        assert_eq!(visitor.append(&partition(), &record("refused")).unwrap_err().kind(), ErrorKind::Storage);
        assert_eq!(read(&mut visitor).len(), 1);
    }
    files.set_room(None);
    assert_eq!(visitor.append(&partition(), &record("after")).unwrap(), 1);
    let values: Vec<String> = read(&mut visitor).into_iter().map(|(value, _)| value).collect();
    assert_eq!(values, ["before", "after"]);
}

#[test]
fn a_clock_that_goes_back_changes_times_and_no_order() {
    let (steady, now_ms) = (SystemClock::default(), AtomicI64::new(10_000_000));
    let clock = Arc::new(SetClock { steady, now_ms });
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
    log.create_topics(&[TopicSpec { retention_ms: Some(1_000_000), ..TopicSpec::new("t", 1) }]).unwrap();
    let mut broker = Broker::start(log.clone(), clock.clone(), BrokerOptions::default()).unwrap();
    let mut first = visitor(&broker);
    assert_eq!(first.append(&partition(), &record("early")).unwrap(), 0);
    clock.now_ms.store(9_500_000, Ordering::Relaxed);
    assert_eq!(first.append(&partition(), &record("late")).unwrap(), 1);
    log.maintain().unwrap();
    let expected = [("early".to_owned(), 10_000_000), ("late".to_owned(), 9_500_000)];
    assert_eq!(read(&mut first), expected);
    broker.stop();
    // What it remembers is of a time to come.
    clock.now_ms.store(1, Ordering::Relaxed);
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    assert_eq!(read(&mut visitor(&broker)), expected);
}

/// Key, version, correlation id, no client name, body; behind its length.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = ((10 + body.len()) as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    frame.extend_from_slice(&(-1i16).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The answer, or nothing when the connection was closed.
fn ask(stream: &mut TcpStream, frame: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(frame).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

#[test]
fn a_client_newer_than_the_endpoint_learns_what_is_spoken_and_goes_on() {
    let clock = Arc::new(SystemClock::default());
    let log = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    let mut stream = connect(&broker);
    // ApiVersions as somebody may ask for it in ten years, with fields that nobody knows yet.
    let answer = ask(&mut stream, &frame(18, 42, &[0xee; 30])).unwrap();
    assert_eq!(answer[..6], [0, 0, 0, 7, 0, 35], "UNSUPPORTED_VERSION, as version 0");
    let count = i32::from_be_bytes(answer[6..10].try_into().unwrap()) as usize;
    assert_eq!(answer.len(), 10 + 6 * count, "keys with their lowest and highest versions");
    let spoken: Vec<&[u8]> = answer[10..].chunks_exact(6).collect();
    assert!(spoken.iter().any(|api| api[..2] == [0, 18]));
    // On the same connection it asks again as it was told.
    let answer = ask(&mut stream, &frame(18, 0, &[])).unwrap();
    assert_eq!(answer[..6], [0, 0, 0, 7, 0, 0]);
    // Who asks for more nevertheless sees the connection closed, as with Kafka.
    assert!(ask(&mut stream, &frame(1, 99, &[0; 30])).is_none());
}

#[test]
fn a_client_older_than_the_endpoint_is_cut_off_and_no_other() {
    let clock = Arc::new(SystemClock::default());
    let log = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    let mut other = connect(&broker);
    // Produce 0 and Fetch 0 carry records of formats that Kafka 4 does not take either; 4 is an inter-broker request.
    for (key, version) in [(0, 0), (0, 2), (1, 0), (1, 3), (2, 0), (4, 0), (11, -1)] {
        let mut old = connect(&broker);
        assert!(ask(&mut old, &frame(key, version, &[0; 20])).is_none(), "{key} in version {version}");
    }
    assert!(ask(&mut other, &frame(18, 0, &[])).is_some());
}
