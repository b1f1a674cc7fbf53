//! Topics, options, and brokers that do not answer.

use std::time::{Duration, Instant};

use beltline_kafka::{Guarantee, KafkaLog, KafkaOptions};
use beltline_log::Log;
use beltline_types::{ErrorKind, TopicSpec};

use crate::support::*;

#[test]
fn topics_are_made_once_and_listed() {
    let log = connect(options(&unique("admin")));
    let name = unique("made");
    log.create_topics(&[TopicSpec::new(&*name, 3).compacted()]).unwrap();
    log.create_topics(&[TopicSpec::new(&*name, 5)]).unwrap();
    assert_eq!(log.topic(&name).unwrap().unwrap().partitions, 3);
    assert!(log.topics().unwrap().iter().any(|topic| *topic.name == *name));
    assert!(!log.topics().unwrap().iter().any(|topic| topic.name.starts_with("__")));
    assert_eq!(log.topic(&unique("nowhere")).unwrap(), None);
    assert_eq!(log.create_topics(&[TopicSpec::new("a b", 1)]).unwrap_err().kind(), ErrorKind::Usage);
    log.delete_topic(&name).unwrap();
    log.delete_topic(&name).unwrap();
    eventually("it is gone", || log.topic(&name).unwrap().is_none());
}

#[test]
fn brokers_that_do_not_answer_are_named_in_time() {
    let mut options = KafkaOptions::new("127.0.0.1:1", "nobody");
    options.request_timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let error = KafkaLog::connect(options).err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for part in ["127.0.0.1:1", "Connection refused"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn options_that_would_break_a_promise_are_refused() {
    let refused = |name: &str, value: &str| {
        let mut options = options("g");
        options.extra.push((name.into(), value.into()));
        KafkaLog::connect(options).err().unwrap()
    };
    for name in ["enable.auto.commit", "isolation.level", "partition.assignment.strategy", "transactional.id"] {
        let error = refused(name, "x");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(refused("no.such.option", "1").to_string().contains("no.such.option"));
    assert!(refused("sasl.mechanisms", "GSSAPI").to_string().contains("Kerberos"));
    let mut options = options("g");
    options.guarantee = Guarantee::ExactlyOnce;
    assert!(options.check().unwrap_err().to_string().contains("transactional id"));
}

#[test]
fn secrets_are_never_shown() {
    let mut options = options("g");
    options.extra.push(("sasl.password".into(), "hunter2".into()));
    options.extra.push(("ssl.key.pem".into(), "hunter2\0".into()));
    assert!(!format!("{options:?}").contains("hunter2"));
    assert!(!KafkaLog::connect(options).err().unwrap().to_string().contains("hunter2"));
}

#[test]
fn nothing_is_left_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // Other tests run beside this one, so only the names of this log's own thread are counted.
    let name = unique("threads");
    let mut options = options(&name);
    options.client_id = name;
    let log = connect(options);
    assert!(threads() > 1);
    let begun = Instant::now();
    drop(log);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
