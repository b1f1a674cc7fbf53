//! The place of the endpoint's own process in its groups.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::time::Duration;

use beltline_broker::{Broker, BrokerOptions, HostLog};
use beltline_env::SystemClock;
use beltline_log::{EmbeddedLog, GroupEvent, Log};
use beltline_types::{CommitRequest, ErrorKind, TopicPartition, TopicSpec};

const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> Broker {
    let clock = Arc::new(SystemClock::default());
    let log = EmbeddedLog::in_memory(clock.clone()).unwrap();
    log.create_topics(&[TopicSpec::new("t", 4)]).unwrap();
    Broker::start(Arc::new(log), clock, BrokerOptions::default()).unwrap()
}

fn partitions(numbers: impl IntoIterator<Item = u32>) -> Vec<TopicPartition> {
    numbers.into_iter().map(|number| TopicPartition::new("t", number)).collect()
}

fn next(log: &HostLog) -> GroupEvent {
    log.poll_group(PATIENCE).unwrap().unwrap()
}

/// What comes next that has to do with partitions of one's own.
fn next_of_own(log: &HostLog) -> GroupEvent {
    loop {
        let event = next(log);
        if !matches!(event, GroupEvent::Standby(_)) {
            return event;
        }
    }
}

fn moved(partition: &TopicPartition, losses: u64) -> CommitRequest {
    CommitRequest { group: "g".into(), offsets: vec![(partition.clone(), 0)], losses, ..CommitRequest::default() }
}

#[test]
fn alone_it_is_given_everything_at_once() {
    let broker = start();
    let log = broker.host_log(false, &[]);
    log.join("g", &["t".into()]).unwrap();
    assert_eq!(log.poll_group(Duration::ZERO).unwrap(), Some(GroupEvent::Assigned(partitions(0..4))));
    log.join("g", &["t".into()]).unwrap();
    assert_eq!(log.poll_group(Duration::ZERO).unwrap(), Some(GroupEvent::Assigned(Vec::new())));
    let missing = log.join("g", &["no-such".into()]).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn partitions_that_are_added_are_given_without_being_asked_for() {
    let broker = start();
    let log = broker.host_log(false, &[]);
    log.join("g", &["t".into()]).unwrap();
    assert_eq!(next_of_own(&log), GroupEvent::Assigned(partitions(0..4)));
    log.grow_topic("t", 6).unwrap();
    assert_eq!(next_of_own(&log), GroupEvent::Assigned(partitions(4..6)));
}

#[test]
fn half_goes_to_a_second_member_and_comes_back_when_it_leaves() {
    let broker = start();
    let (first, second) = (broker.host_log(false, &[]), Arc::new(broker.host_log(false, &[])));
    first.join("g", &["t".into()]).unwrap();
    assert_eq!(next_of_own(&first), GroupEvent::Assigned(partitions(0..4)));
    second.join("g", &["t".into()]).unwrap();
    let waiting = second.clone();
    let thread = beltline_env::spawn_thread("second", move || {
        // Its place is granted before anything was let go, so nothing is in it yet.
        assert_eq!(next_of_own(&waiting), GroupEvent::Assigned(Vec::new()));
    });
    let GroupEvent::Revoking(going) = next_of_own(&first) else { panic!("nothing is taken away") };
    assert_eq!(going.len(), 2);
    thread.unwrap().join().unwrap();

    let staying = partitions(0..4).into_iter().find(|partition| !going.contains(partition)).unwrap();
    first.commit(moved(&going[0], 0)).unwrap();
    assert_eq!(second.commit(moved(&going[0], 0)).unwrap_err().kind(), ErrorKind::Aborted);
    first.release(&going).unwrap();
    assert_eq!(first.commit(moved(&going[0], 0)).unwrap_err().kind(), ErrorKind::Aborted);

    let waiting = second.clone();
    let expected = going.clone();
    let thread = beltline_env::spawn_thread("second", move || {
        assert_eq!(next_of_own(&waiting), GroupEvent::Assigned(expected));
    });
    // The first has to come to its group, which has no more partitions for it.
    while let Some(event) = first.poll_group(Duration::from_secs(1)).unwrap() {
        assert!(matches!(event, GroupEvent::Standby(_)), "{event:?}");
    }
    thread.unwrap().join().unwrap();
    first.commit(moved(&staying, 0)).unwrap();
    second.commit(moved(&going[0], 0)).unwrap();

    second.leave().unwrap();
    assert_eq!(next_of_own(&first), GroupEvent::Assigned(going));
}
