//! Topics that come up while a worker runs, on the log of its own machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Core, CoreOptions, Next, TableSpec};
use beltline_env::{Clock, ManualClock, MemoryFiles, SystemClock};
use beltline_log::{EmbeddedLog, Log};
use beltline_store::{Store, StoreOptions};
use beltline_table::ValueForm;
use beltline_types::{Append, BatchBuilder, CommitRequest, ErrorKind, TopicPartition, TopicSpec};
use beltline_worker::Worker;

const PATIENCE: Duration = Duration::from_secs(20);

fn worker(log: &Arc<EmbeddedLog>) -> Worker {
    let store = Store::new(Arc::new(MemoryFiles::default()), PathBuf::from("tables"), StoreOptions::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    Worker::open(Core::new(CoreOptions::default()), log.clone(), store, clock, Arc::new(|| {})).unwrap()
}

fn log() -> Arc<EmbeddedLog> {
    Arc::new(EmbeddedLog::in_memory(Arc::new(ManualClock::default())).unwrap())
}

fn until(worker: &mut Worker, what: &str, mut done: impl FnMut(&mut Worker) -> bool) {
    let clock = SystemClock::default();
    while !done(worker) {
        assert!(clock.monotonic() < PATIENCE, "waited in vain until {what}: {:?}", worker.health());
        worker.turn().unwrap();
        worker.wait(Duration::from_millis(5));
    }
}

#[test]
fn new_topics_are_seen_and_can_be_read() {
    let log = log();
    let mut worker = worker(&log);
    let reader = worker.core.subscribe("reader", &[]).unwrap();
    worker.start().unwrap();
    worker.survey_topics(Duration::from_millis(1)).unwrap();
    log.create_topics(&[TopicSpec::new("late", 1)]).unwrap();
    until(&mut worker, "the topic is seen", |worker| {
        worker.core.topics_seen().iter().any(|topic| &*topic.name == "late")
    });
    let (seen, version) = (worker.core.topics_seen()[0].clone(), worker.core.topics_version());
    let topic = worker.core.add_topic(seen);
    worker.core.extend(reader, &[topic]).unwrap();
    let mut records = BatchBuilder::default();
    records.push(None, Some(b"first"), &[], 7);
    let appends = vec![Append { target: TopicPartition::new("late", 0), records }];
    log.commit(CommitRequest { appends, ..CommitRequest::default() }).unwrap();
    until(&mut worker, "its record is read", |worker| match worker.core.next(reader) {
        Next::Event(ticket) => {
            assert_eq!(worker.core.record(&ticket).unwrap().value, Some(&b"first"[..]));
            worker.core.done(ticket);
            true
        }
        _ => false,
    });
    assert_eq!(worker.core.topics_version(), version, "nothing else is new");
    worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_topic_that_does_not_fit_its_table_is_refused_before_the_group_is_joined() {
    let log = log();
    let mut worker = worker(&log);
    let topic = worker.declare_topic(TopicSpec::new("in", 3)).unwrap();
    let reader = worker.core.subscribe("reader", &[topic]).unwrap();
    let values = ValueForm::Json;
    let spec = TableSpec { name: "counts".into(), changelog: "counts-changelog".into(), partitions: 2, values };
    let table = worker.add_table(spec).unwrap();
    worker.core.couple(reader, &[table]);
    let error = worker.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("topic in has 3 partitions, but table counts"), "{error}");
    assert_eq!(worker.core.assigned().count(), 0);
}
