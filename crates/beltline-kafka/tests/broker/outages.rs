//! Brokers that go away and come back, and members that are silent for too long.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use beltline_log::{GroupEvent, Log};
use beltline_types::{ErrorKind, TopicPartition};

use crate::broker::Broker;
use crate::support::*;

#[test]
fn an_outage_is_said_and_work_goes_on_behind_it() {
    let mut broker = Broker::start();
    let group = unique("outage");
    let with = |mut options: beltline_kafka::KafkaOptions| {
        options.bootstrap_servers = broker.servers();
        options.commit_timeout = Duration::from_secs(3);
        options.request_timeout = Duration::from_secs(5);
        options
    };
    let plain = connect(with(options(&unique("other"))));
    let name = topic(&plain, "outage", 1);
    let worker = Worker::start(with(exactly_once(&group, &unique("id"))), std::slice::from_ref(&name));
    eventually("assigned", || worker.owned().len() == 1);
    let partition = TopicPartition::new(name, 0);
    write(&worker.log, &partition, values(["before".into()])).unwrap();
    write(&plain, &partition, values(["before".into()])).unwrap();
    assert_eq!(worker.log.trouble(), None);

    broker.kill();
    let down = Instant::now();
    for log in [&plain, &*worker.log] {
        let begun = Instant::now();
        let error = write(log, &partition, values(["during".into()])).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}: {error}", begun.elapsed());
        let kinds = [ErrorKind::Unavailable, ErrorKind::Aborted, ErrorKind::Fenced];
        assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
        eventually("the trouble is said", || log.trouble().is_some());
        assert!(log.trouble().unwrap().contains(&broker.servers()), "{:?}", log.trouble());
    }
    let error = plain.offsets(&partition).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&broker.servers()), "{error}");
    std::thread::sleep(Duration::from_secs(8).saturating_sub(down.elapsed()));

    broker.start_again();
    let back = Instant::now();
    for log in [&plain, &*worker.log] {
        eventually("the trouble is over", || log.trouble().is_none());
        eventually("writing works", || write(log, &partition, values(["after".into()])).is_ok());
    }
    println!("both write again after {:?}", back.elapsed());
    eventually("the partition is there", || worker.owned().len() == 1);
    let end = plain.offsets(&partition).unwrap().end;
    let read = texts(&read_to(&worker.log, &partition, 0, end));
    assert_eq!(read.iter().filter(|text| *text == "before").count(), 2, "{read:?}");
    assert!(read.iter().filter(|text| *text == "after").count() >= 2, "{read:?}");
    let mut unit = request(&group, vec![]);
    unit.offsets = vec![(partition.clone(), end)];
    eventually("positions can be committed", || {
        let mut again = request(&group, vec![]);
        again.losses = u64::MAX;
        again.offsets.clone_from(&unit.offsets);
        worker.log.commit(again).is_ok()
    });
    assert_eq!(plain.committed(&group, &[partition]).unwrap(), [Some(end)]);
}

/// A worker that does not answer in time loses its partitions, is told so, and can commit nothing of them.
#[test]
fn a_member_that_is_silent_for_too_long_loses_its_partitions() {
    let group = unique("silent");
    let log = connect(options(&group));
    let name = topic(&log, "silent", 2);
    let impatient = |mut options: beltline_kafka::KafkaOptions| {
        options.rebalance_timeout = Duration::from_secs(6);
        options
    };
    let first = Worker::start(impatient(exactly_once(&group, &unique("id"))), std::slice::from_ref(&name));
    eventually("assigned", || first.owned().len() == 2);
    first.holds.store(true, Ordering::Release);
    let second = Worker::start(impatient(options(&group)), std::slice::from_ref(&name));
    eventually("the other has everything", || second.owned().len() == 2);
    let mut unit = request(&group, vec![]);
    unit.offsets = vec![(TopicPartition::new(name.clone(), 0), 7)];
    assert_eq!(first.log.commit(unit).unwrap_err().kind(), ErrorKind::Aborted);
    first.holds.store(false, Ordering::Release);
    eventually("it is told", || {
        first.events.lock().unwrap().iter().any(|event| matches!(event, GroupEvent::Lost(list) if !list.is_empty()))
    });
    eventually("they share in the end", || first.owned().len() == 1 && second.owned().len() == 1);
    assert!(first.owned().is_disjoint(&second.owned()));
}

/// The same with a worker that listens to its group all the time, but never gives back what it is asked for.
#[test]
fn a_member_that_gives_nothing_back_is_replaced_and_begins_anew() {
    let group = unique("keeping");
    let log = connect(options(&group));
    let name = topic(&log, "keeping", 2);
    let mut impatient = options(&group);
    impatient.rebalance_timeout = Duration::from_secs(6);
    let first = connect(impatient.clone());
    first.join(&group, std::slice::from_ref(&name)).unwrap();
    let mut events = Vec::new();
    let mut hear = |first: &beltline_kafka::KafkaLog| {
        events.extend(first.poll_group(Duration::from_millis(50)).unwrap());
        events.clone()
    };
    eventually("assigned", || matches!(hear(&first).last(), Some(GroupEvent::Assigned(list)) if list.len() == 2));
    let second = Worker::start(impatient.clone(), std::slice::from_ref(&name));
    eventually("asked", || hear(&first).iter().any(|event| matches!(event, GroupEvent::Revoking(_))));
    // Nobody minds until the group has to divide anew: then the brokers wait for this one, and in the end go on without.
    let third = Worker::start(impatient, &[name]);
    eventually("everything is lost", || {
        hear(&first).iter().any(|event| matches!(event, GroupEvent::Lost(list) if list.len() == 2))
    });
    let given = |events: Vec<GroupEvent>| {
        let after = events.iter().rposition(|event| matches!(event, GroupEvent::Lost(_))).unwrap();
        let count = |event: &GroupEvent| match event {
            GroupEvent::Assigned(list) => list.len(),
            _ => 0,
        };
        events[after..].iter().map(count).sum::<usize>()
    };
    let others = || second.owned().len() + third.owned().len();
    eventually("all are read in the end", || given(hear(&first)) + others() == 2);
}

#[test]
fn waiting_for_the_group_can_be_interrupted() {
    let group = unique("interrupted");
    let log = std::sync::Arc::new(connect(options(&group)));
    let name = topic(&log, "interrupted", 1);
    log.join(&group, &[name]).unwrap();
    while log.poll_group(Duration::from_secs(1)).unwrap().is_some() {}
    let waiting = log.clone();
    let begun = Instant::now();
    let thread = std::thread::spawn(move || waiting.poll_group(Duration::from_secs(30)));
    std::thread::sleep(Duration::from_millis(300));
    log.interrupt();
    assert_eq!(thread.join().unwrap().unwrap(), None);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
