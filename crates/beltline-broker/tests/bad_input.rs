//! What the world does to an endpoint: a full disk, a clock that goes back, clients of other times.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod client;

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use beltline_broker::{Broker, BrokerOptions};
use beltline_env::{Clock, MemoryFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log, LogOptions};
use beltline_types::{Timestamp, TopicSpec};
use bytes::{Bytes, BytesMut};
use client::{answer, connect, frame};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

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

/// The answer to a request of a version without tagged fields.
fn request<R: Request>(stream: &mut TcpStream, version: i16, request: &R) -> R::Response {
    let mut body = Vec::new();
    request.encode(&mut body, version).unwrap();
    let answered = ask(stream, &frame(R::KEY, version, &body)).unwrap();
    R::Response::decode(&mut Bytes::from(answered).slice(4..), version).unwrap()
}

/// Produces a record without a time, as Kafka's own code writes it; gives its offset, or what the endpoint says.
fn append(stream: &mut TcpStream, value: &'static str) -> Result<i64, ResponseError> {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: -1,
        key: None,
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: Default::default(),
    };
    let mut records = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
    let data = PartitionProduceData::default().with_records(Some(records.freeze()));
    let data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    let produce = ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![data]);
    let answer = request(stream, 8, &produce);
    let answer = &answer.responses[0].partition_responses[0];
    ResponseError::try_from_code(answer.error_code).map_or(Ok(answer.base_offset), Err)
}

/// Values and times of everything.
fn read(stream: &mut TcpStream) -> Vec<(String, Timestamp)> {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let wanted = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![wanted]);
    let answer = request(stream, 11, &fetch);
    let mut bytes = answer.responses[0].partitions[0].records.clone().unwrap();
    let batches = RecordBatchDecoder::decode_all(&mut bytes).unwrap();
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let records = batches.into_iter().flat_map(|batch| batch.records);
    records.map(|record| (text(record.value.unwrap()), record.timestamp)).collect()
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

#[test]
fn a_full_disk_refuses_producers_serves_consumers_and_takes_records_when_there_is_room() {
    let (files, clock) = (MemoryFiles::default(), Arc::new(SystemClock::default()));
    let log = EmbeddedLog::open_in(Arc::new(files.clone()), Path::new("log"), LogOptions::default(), clock.clone());
    let log = Arc::new(log.unwrap());
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    let mut stream = connect(&broker);
    assert_eq!(append(&mut stream, "before").unwrap(), 0);
    files.set_room(Some(10));
    for _ in 0..3 {
        assert_eq!(append(&mut stream, "refused").unwrap_err(), ResponseError::KafkaStorageError);
        assert_eq!(read(&mut stream).len(), 1);
    }
    files.set_room(None);
    assert_eq!(append(&mut stream, "after").unwrap(), 1);
    let values: Vec<String> = read(&mut stream).into_iter().map(|(value, _)| value).collect();
    assert_eq!(values, ["before", "after"]);
}

#[test]
fn a_clock_that_goes_back_changes_times_and_no_order() {
    let (steady, now_ms) = (SystemClock::default(), AtomicI64::new(10_000_000));
    let clock = Arc::new(SetClock { steady, now_ms });
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
    log.create_topics(&[TopicSpec { retention_ms: Some(1_000_000), ..TopicSpec::new("t", 1) }]).unwrap();
    let mut broker = Broker::start(log.clone(), clock.clone(), BrokerOptions::default()).unwrap();
    let mut stream = connect(&broker);
    assert_eq!(append(&mut stream, "early").unwrap(), 0);
    clock.now_ms.store(9_500_000, Ordering::Relaxed);
    assert_eq!(append(&mut stream, "late").unwrap(), 1);
    log.maintain().unwrap();
    let expected = [("early".to_owned(), 10_000_000), ("late".to_owned(), 9_500_000)];
    assert_eq!(read(&mut stream), expected);
    broker.stop();
    // What it remembers is of a time to come.
    clock.now_ms.store(1, Ordering::Relaxed);
    let broker = Broker::start(log, clock, BrokerOptions::default()).unwrap();
    assert_eq!(read(&mut connect(&broker)), expected);
}

/// The answer to a frame, or nothing when the connection was closed.
fn ask(stream: &mut TcpStream, frame: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(frame).ok()?;
    answer(stream).ok()
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
