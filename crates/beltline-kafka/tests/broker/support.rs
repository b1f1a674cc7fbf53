//! What the tests have in common: names, records, readers, and workers that answer their group.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use beltline_kafka::{Guarantee, KafkaLog, KafkaOptions};
use beltline_log::{GroupEvent, Log};
use beltline_types::{
    Append, Appended, BatchBuilder, CommitRequest, Offset, Result, TopicPartition, TopicSpec, encode_headers,
};

use crate::broker::servers;

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(40);

/// A name that no other test and no other run has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{name}-{now}-{}-{count}", std::process::id())
}

pub fn options(group: &str) -> KafkaOptions {
    let mut options = KafkaOptions::new(servers(), group);
    options.session_timeout = Duration::from_secs(6);
    options
}

pub fn exactly_once(group: &str, id: &str) -> KafkaOptions {
    let mut options = options(group);
    options.guarantee = Guarantee::ExactlyOnce;
    options.transactional_id = Some(id.into());
    options
}

pub fn connect(options: KafkaOptions) -> KafkaLog {
    KafkaLog::connect(options).unwrap()
}

pub fn topic(log: &KafkaLog, name: &str, partitions: u32) -> Arc<str> {
    let name: Arc<str> = unique(name).into();
    log.create_topics(&[TopicSpec::new(name.clone(), partitions)]).unwrap();
    name
}

pub fn values(values: impl IntoIterator<Item = String>) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    for value in values {
        builder.push(Some(b"key"), Some(value.as_bytes()), &[], -1);
    }
    builder
}

pub fn request(group: &str, appends: Vec<(TopicPartition, BatchBuilder)>) -> CommitRequest {
    let appends = appends.into_iter().map(|(target, records)| Append { target, records }).collect();
    CommitRequest { group: group.into(), appends, ..CommitRequest::default() }
}

pub fn write(log: &KafkaLog, target: &TopicPartition, records: BatchBuilder) -> Result<Appended> {
    // Whatever was lost before has nothing to do with it.
    let losses = u64::MAX;
    let receipt = log.commit(CommitRequest { losses, ..request("", vec![(target.clone(), records)]) })?;
    Ok(receipt.appended[0].clone())
}

pub fn header(name: &str, value: Option<&[u8]>) -> Vec<u8> {
    encode_headers([(name, value)])
}

/// A record, copied out of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Reads until a position is reached; gives what was read.
pub fn read_to(log: &KafkaLog, partition: &TopicPartition, from: Offset, end: Offset) -> Vec<Record> {
    let (begun, mut at, mut seen, mut records) = (Instant::now(), from, 0, Vec::new());
    while at < end {
        assert!(begun.elapsed() < LIMIT, "{partition} stands at {at} and does not reach {end}");
        let fetched = log.fetch(partition, at, 1 << 20).unwrap();
        assert!(fetched.next_offset >= at);
        for batch in &fetched.batches {
            for record in batch.iter().filter(|record| record.offset >= at) {
                let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                records.push(Record {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: own(record.key),
                    value: own(record.value),
                    headers: record.headers().map(|(name, value)| (name.to_owned(), own(value))).collect(),
                });
            }
        }
        if fetched.next_offset == at {
            seen = log.wait(seen, Duration::from_millis(100));
        }
        at = fetched.next_offset;
    }
    records
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"-")).into_owned()).collect()
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A member that answers its group.
pub struct Worker {
    pub log: Arc<KafkaLog>,
    pub owned: Arc<Mutex<BTreeSet<TopicPartition>>>,
    pub standby: Arc<Mutex<Vec<u32>>>,
    pub events: Arc<Mutex<Vec<GroupEvent>>>,
    /// While set, revocations are not answered.
    pub holds: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn start(options: KafkaOptions, topics: &[Arc<str>]) -> Worker {
        let group = options.group_id.clone();
        let log = Arc::new(connect(options));
        log.join(&group, topics).unwrap();
        let mut worker = Worker {
            log,
            owned: Arc::default(),
            standby: Arc::default(),
            events: Arc::default(),
            holds: Arc::default(),
            ended: Arc::default(),
            thread: None,
        };
        let (log, owned, standby) = (worker.log.clone(), worker.owned.clone(), worker.standby.clone());
        let (events, holds, ended) = (worker.events.clone(), worker.holds.clone(), worker.ended.clone());
        worker.thread = Some(std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let Some(event) = log.poll_group(Duration::from_millis(100)).unwrap() else { continue };
                events.lock().unwrap().push(event.clone());
                match event {
                    GroupEvent::Assigned(list) => owned.lock().unwrap().extend(list),
                    GroupEvent::Revoking(list) => {
                        while holds.load(Ordering::Acquire) && !ended.load(Ordering::Acquire) {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        owned.lock().unwrap().retain(|partition| !list.contains(partition));
                        log.release(&list).unwrap();
                    }
                    GroupEvent::Lost(list) => owned.lock().unwrap().retain(|partition| !list.contains(partition)),
                    GroupEvent::Standby(list) => *standby.lock().unwrap() = list,
                    GroupEvent::Gone { topic, why } => panic!("{topic}: {why}"),
                }
            }
        }));
        worker
    }

    pub fn owned(&self) -> BTreeSet<TopicPartition> {
        self.owned.lock().unwrap().clone()
    }

    /// Partition numbers of one topic.
    pub fn numbers(&self, topic: &str) -> BTreeSet<u32> {
        self.owned().into_iter().filter(|owned| &*owned.topic == topic).map(|owned| owned.partition).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.log.interrupt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A plain consumer, as others write them: the same client with one of its own assignors.
pub struct Stranger {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Joins and waits until it has partitions.
    pub fn join(group: &str, topic: &str) -> Stranger {
        let ended = Arc::new(AtomicBool::new(false));
        let (end, (assigned, wait)) = (ended.clone(), std::sync::mpsc::channel());
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let thread = std::thread::spawn(move || stranger(&group, &topic, &end, &assigned));
        wait.recv_timeout(LIMIT).unwrap();
        Stranger { ended, thread: Some(thread) }
    }
}

#[expect(unsafe_code, reason = "a consumer without beltline")]
fn stranger(group: &str, topic: &str, end: &AtomicBool, assigned: &std::sync::mpsc::Sender<()>) {
    use rdkafka_sys as sys;
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    // SAFETY: an ordinary session with the C interface; each object is given back once.
    unsafe {
        let settings = sys::rd_kafka_conf_new();
        for (name, value) in
            [("bootstrap.servers", servers().as_str()), ("group.id", group), ("partition.assignment.strategy", "range")]
        {
            let mut reason = [0; 256];
            sys::rd_kafka_conf_set(settings, text(name).as_ptr(), text(value).as_ptr(), reason.as_mut_ptr(), 256);
        }
        let mut reason = [0; 256];
        let rk = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, settings, reason.as_mut_ptr(), 256);
        sys::rd_kafka_poll_set_consumer(rk);
        let topics = sys::rd_kafka_topic_partition_list_new(1);
        sys::rd_kafka_topic_partition_list_add(topics, text(topic).as_ptr(), -1);
        sys::rd_kafka_subscribe(rk, topics);
        sys::rd_kafka_topic_partition_list_destroy(topics);
        while !end.load(Ordering::Acquire) {
            let message = sys::rd_kafka_consumer_poll(rk, 50);
            if !message.is_null() {
                sys::rd_kafka_message_destroy(message);
            }
            let mut list = std::ptr::null_mut();
            sys::rd_kafka_assignment(rk, &raw mut list);
            if (*list).cnt > 0 {
                let _ = assigned.send(());
            }
            sys::rd_kafka_topic_partition_list_destroy(list);
        }
        sys::rd_kafka_consumer_close(rk);
        sys::rd_kafka_destroy(rk);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
