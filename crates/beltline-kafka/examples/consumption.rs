//! How much CPU reading takes, against librdkafka's own batch call without copying anything; and how long commits take.
//!
//! `BELTLINE_TEST_KAFKA=host:port cargo run --release -p beltline-kafka --example consumption [RECORDS]`
#![expect(clippy::disallowed_methods, reason = "measures")]
#![expect(clippy::unwrap_used, reason = "a measurement has nobody to report to")]
#![expect(unsafe_code, reason = "the yardstick is the C call itself")]

use std::ffi::CString;
use std::time::{Duration, Instant};

use beltline_kafka::{Guarantee, KafkaLog, KafkaOptions};
use beltline_log::{GroupEvent, Log};
use beltline_types::{Append, BatchBuilder, CommitRequest, TopicPartition, TopicSpec};
use rdkafka_sys as sys;

const PARTITIONS: u32 = 4;

fn cpu_seconds() -> f64 {
    // Fields 14 and 15: user and system time in ticks of a hundredth.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn measured(what: &str, records: u64, run: impl FnOnce() -> u64) {
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let read = run();
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert!(read >= records, "{read} of {records}");
    println!("{what:28} {:>9.0} records/CPU s  {:>9.0} records/s", read as f64 / cpu, read as f64 / wall);
}

fn fill(servers: &str, topic: &str, records: u64) {
    let log = KafkaLog::connect(KafkaOptions::new(servers, "fill")).unwrap();
    log.create_topics(&[TopicSpec::new(topic, PARTITIONS)]).unwrap();
    let unit = 50_000;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    for first in (0..records).step_by(unit) {
        let partition = (first / unit as u64 % u64::from(PARTITIONS)) as u32;
        let mut builder = BatchBuilder::default();
        for _ in 0..unit {
            builder.push(Some(b"12345678"), Some(&[b'x'; 100]), &[], -1);
        }
        let target = TopicPartition::new(topic, partition);
        log.commit(CommitRequest { appends: vec![Append { target, records: builder }], ..CommitRequest::default() })
            .unwrap();
    }
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{:28} {:>9.0} records/CPU s  {:>9.0} records/s",
        "commit, 50,000 a unit",
        records as f64 / cpu,
        records as f64 / wall
    );
}

/// The yardstick: a queue per partition, drained in batches, nothing copied.
fn raw(servers: &str, topic: &str, records: u64) -> u64 {
    let text = |text: &str| CString::new(text).unwrap();
    // SAFETY: an ordinary session with the C interface: settings, handle, queues, messages, each given back once.
    unsafe {
        let settings = sys::rd_kafka_conf_new();
        for (name, value) in [
            ("bootstrap.servers", servers),
            ("group.id", "raw"),
            ("isolation.level", "read_committed"),
            ("fetch.queue.backoff.ms", "20"),
            ("queued.max.messages.kbytes", "16384"),
            ("enable.auto.commit", "false"),
        ] {
            let mut reason = [0; 256];
            sys::rd_kafka_conf_set(settings, text(name).as_ptr(), text(value).as_ptr(), reason.as_mut_ptr(), 256);
        }
        let mut reason = [0; 256];
        let rk = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, settings, reason.as_mut_ptr(), 256);
        let list = sys::rd_kafka_topic_partition_list_new(4);
        let mut queues = Vec::new();
        for partition in 0..PARTITIONS as i32 {
            let queue = sys::rd_kafka_queue_get_partition(rk, text(topic).as_ptr(), partition);
            sys::rd_kafka_queue_forward(queue, std::ptr::null_mut());
            queues.push(queue);
            (*sys::rd_kafka_topic_partition_list_add(list, text(topic).as_ptr(), partition)).offset = 0;
        }
        sys::rd_kafka_assign(rk, list);
        let (mut read, mut batch) = (0, vec![std::ptr::null_mut(); 10_000]);
        while read < records {
            let mut found = 0;
            for queue in &queues {
                let count = sys::rd_kafka_consume_batch_queue(*queue, 0, batch.as_mut_ptr(), batch.len());
                batch[..count.max(0) as usize].iter().for_each(|message| sys::rd_kafka_message_destroy(*message));
                found += count.max(0) as u64;
            }
            if found == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            read += found;
        }
        queues.into_iter().for_each(|queue| sys::rd_kafka_queue_destroy(queue));
        sys::rd_kafka_topic_partition_list_destroy(list);
        sys::rd_kafka_destroy(rk);
        read
    }
}

fn member(servers: &str, topic: &str, group: &str, records: u64) {
    let log = KafkaLog::connect(KafkaOptions::new(servers, group)).unwrap();
    log.join(group, &[topic.into()]).unwrap();
    let mut partitions = Vec::new();
    while partitions.len() < PARTITIONS as usize {
        if let Some(GroupEvent::Assigned(list)) = log.poll_group(Duration::from_secs(1)).unwrap() {
            partitions.extend(list);
        }
    }
    measured("beltline, fetch of a member", records, || drain(&log, &partitions, records));
}

fn reader(servers: &str, topic: &str, records: u64) {
    let log = KafkaLog::connect(KafkaOptions::new(servers, "reader")).unwrap();
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
    measured("beltline, fetch of a changelog", records, || drain(&log, &partitions, records));
}

fn drain(log: &KafkaLog, partitions: &[TopicPartition], records: u64) -> u64 {
    let (mut positions, mut read, mut seen) = (vec![0; partitions.len()], 0, 0);
    while read < records {
        let mut found = 0;
        for (partition, position) in partitions.iter().zip(&mut positions) {
            let fetched = log.fetch(partition, *position, 1 << 20).unwrap();
            found += fetched.batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
            *position = fetched.next_offset;
        }
        if found == 0 {
            seen = log.wait(seen, Duration::from_millis(100));
        }
        read += found;
    }
    read
}

/// Units of so many records with a position, one after the other.
fn commits(servers: &str, topic: &str, group: &str, guarantee: Guarantee, records: usize) {
    let mut options = KafkaOptions::new(servers, group);
    options.guarantee = guarantee;
    options.transactional_id = Some(group.into());
    let log = KafkaLog::connect(options).unwrap();
    log.create_topics(&[TopicSpec::new(format!("{topic}-out"), 1)]).unwrap();
    log.join(group, &[topic.into()]).unwrap();
    let mut partitions = Vec::new();
    while partitions.len() < PARTITIONS as usize {
        if let Some(GroupEvent::Assigned(list)) = log.poll_group(Duration::from_secs(1)).unwrap() {
            partitions.extend(list);
        }
    }
    let mut times: Vec<Duration> = (0..200)
        .map(|round| {
            let mut builder = BatchBuilder::default();
            (0..records).for_each(|_| builder.push(Some(b"12345678"), Some(&[b'x'; 100]), &[], -1));
            let target = TopicPartition::new(format!("{topic}-out"), 0);
            let request = CommitRequest {
                group: group.into(),
                appends: vec![Append { target, records: builder }],
                offsets: vec![(partitions[0].clone(), round)],
                ..CommitRequest::default()
            };
            let begun = Instant::now();
            log.commit(request).unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |index: usize| times[index].as_secs_f64() * 1000.0;
    println!(
        "{guarantee:?}, {records} records a unit: p50 {:.1} ms, p99 {:.1} ms",
        milliseconds(100),
        milliseconds(198)
    );
}

fn main() {
    let servers = std::env::var("BELTLINE_TEST_KAFKA").expect("BELTLINE_TEST_KAFKA=host:port names a broker");
    let records: u64 = std::env::args().nth(1).map_or(2_000_000, |count| count.parse().unwrap());
    let topic = format!("consumption-{}", std::process::id());
    fill(&servers, &topic, records);
    for records in [1, 100, 10_000] {
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            commits(&servers, &topic, &format!("{topic}-{records}-{guarantee:?}"), guarantee, records);
        }
    }
    for round in 0..3 {
        measured("librdkafka, nothing copied", records, || raw(&servers, &topic, records));
        member(&servers, &topic, &format!("{topic}-{round}"), records);
        reader(&servers, &topic, records);
    }
}
