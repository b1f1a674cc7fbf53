//! Members come and go: each partition has one owner, number p of all topics moves together.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use beltline_log::{GroupEvent, Log};
use beltline_types::{ErrorKind, TopicPartition};

use crate::support::*;

fn topics(group: &str, count: u32) -> Vec<Arc<str>> {
    let log = connect(options(group));
    vec![topic(&log, "left", count), topic(&log, "right", count)]
}

fn settled(workers: &[&Worker], topics: &[Arc<str>], count: u32) -> bool {
    let parts: Vec<BTreeSet<u32>> = workers.iter().map(|worker| worker.numbers(&topics[0])).collect();
    let together = workers.iter().zip(&parts).all(|(worker, part)| worker.numbers(&topics[1]) == *part);
    let all: Vec<u32> = parts.iter().flatten().copied().collect();
    let sizes: Vec<usize> = parts.iter().map(BTreeSet::len).collect();
    together
        && all.len() == count as usize
        && all.iter().collect::<BTreeSet<_>>().len() == all.len()
        && sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1
}

#[test]
fn members_share_partitions_and_take_over_from_one_that_leaves() {
    let group = unique("sharing");
    let topics = topics(&group, 6);
    let first = Worker::start(options(&group), &topics);
    eventually("the first has all", || settled(&[&first], &topics, 6));
    let second = Worker::start(options(&group), &topics);
    eventually("two share", || settled(&[&first, &second], &topics, 6));
    let kept = first.numbers(&topics[0]);
    let third = Worker::start(options(&group), &topics);
    eventually("three share", || settled(&[&first, &second, &third], &topics, 6));
    assert!(first.numbers(&topics[0]).is_subset(&kept), "owners only lose what exceeds their share");
    eventually("each number is kept warm once", || {
        let standbys = [&first, &second, &third].map(|worker| worker.standby.lock().unwrap().clone());
        standbys.iter().flatten().collect::<BTreeSet<_>>().len() == 6 && standbys.concat().len() == 6
    });

    let warm: Vec<BTreeSet<u32>> =
        [&first, &second].iter().map(|worker| worker.standby.lock().unwrap().iter().copied().collect()).collect();
    let before = [first.numbers(&topics[0]), second.numbers(&topics[0])];
    let begun = std::time::Instant::now();
    third.log.leave().unwrap();
    drop(third);
    eventually("two share again", || settled(&[&first, &second], &topics, 6));
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited for the session: {:?}", begun.elapsed());
    for (place, worker) in [&first, &second].iter().enumerate() {
        let gained: BTreeSet<u32> = worker.numbers(&topics[0]).difference(&before[place]).copied().collect();
        assert!(gained.is_subset(&warm[place]), "{gained:?} were warm: {:?}", warm[place]);
    }
}

#[test]
fn a_partition_is_given_to_nobody_before_it_is_let_go() {
    let group = unique("withheld");
    let topics = topics(&group, 2);
    let first = Worker::start(options(&group), &topics);
    eventually("the first has all", || settled(&[&first], &topics, 2));
    first.holds.store(true, Ordering::Release);
    let second = Worker::start(options(&group), &topics);
    let revoking = || {
        let events = first.events.lock().unwrap();
        events.iter().find_map(|event| match event {
            GroupEvent::Revoking(list) => Some(list.clone()),
            _ => None,
        })
    };
    eventually("the first is asked", || revoking().is_some());
    // Those that stay are read on, and those that go can still be committed.
    let going = revoking().unwrap();
    let staying: Vec<TopicPartition> =
        first.owned().into_iter().filter(|partition| !going.contains(partition)).collect();
    let writer = connect(options(&group));
    for partition in &staying {
        write(&writer, partition, values(["while waiting".into()])).unwrap();
        assert_eq!(read_to(&first.log, partition, 0, 1).len(), 1);
    }
    let mut unit = request(&group, vec![]);
    unit.offsets = going.iter().map(|partition| (partition.clone(), 0)).collect();
    first.log.commit(unit).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(second.owned().is_empty());
    first.holds.store(false, Ordering::Release);
    eventually("two share", || settled(&[&first, &second], &topics, 2));
    assert_eq!(second.owned(), going.iter().cloned().collect());
    assert_eq!(writer.committed(&group, &going).unwrap(), vec![Some(0); going.len()]);
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let group = unique("resume");
    let log = connect(options(&group));
    let name = topic(&log, "resume", 1);
    let partition = TopicPartition::new(name.clone(), 0);
    write(&log, &partition, values((0..10).map(|number| format!("{number}")))).unwrap();
    {
        let worker = Worker::start(options(&group), std::slice::from_ref(&name));
        eventually("assigned", || worker.owned().len() == 1);
        assert_eq!(worker.log.committed(&group, std::slice::from_ref(&partition)).unwrap(), [None]);
        assert_eq!(read_to(&worker.log, &partition, 0, 4).len(), 10, "a fetch takes what is there");
        let mut unit = request(&group, vec![]);
        unit.offsets = vec![(partition.clone(), 4)];
        worker.log.commit(unit).unwrap();
    }
    let worker = Worker::start(options(&group), &[name]);
    eventually("assigned again", || worker.owned().len() == 1);
    let committed = worker.log.committed(&group, std::slice::from_ref(&partition)).unwrap()[0].unwrap();
    assert_eq!(texts(&read_to(&worker.log, &partition, committed, 10)), ["4", "5", "6", "7", "8", "9"]);
    // Members keep others from moving the group's positions.
    let mut unit = request(&group, vec![]);
    unit.offsets = vec![(partition.clone(), 0)];
    assert_eq!(log.commit(unit).unwrap_err().kind(), ErrorKind::Aborted);
    assert_eq!(log.reset_group(&group).unwrap_err().kind(), ErrorKind::Usage);
    drop(worker);
    log.reset_group(&group).unwrap();
    assert_eq!(log.committed(&group, &[partition]).unwrap(), [None]);
}

#[test]
fn topics_are_added_while_running() {
    let group = unique("adding");
    let topics = topics(&group, 3);
    let worker = Worker::start(options(&group), &topics[..1]);
    eventually("the first topic", || worker.owned().len() == 3);
    worker.log.join(&group, &topics).unwrap();
    eventually("both topics", || worker.owned().len() == 6);
    // Joining with the same topics is answered too.
    let count = worker.events.lock().unwrap().len();
    worker.log.join(&group, &topics).unwrap();
    eventually("an answer", || worker.events.lock().unwrap().len() > count);
    assert_eq!(worker.owned().len(), 6);
    let error = worker.log.join(&group, &[unique("nowhere").into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_static_member_comes_back_to_its_own() {
    let group = unique("static");
    let topics = topics(&group, 4);
    let fixed = |name: &str| {
        let mut options = options(&group);
        options.group_instance_id = Some(name.into());
        options
    };
    let first = Worker::start(fixed("one"), &topics);
    let second = Worker::start(fixed("two"), &topics);
    eventually("two share", || settled(&[&first, &second], &topics, 4));
    let own = second.owned();
    drop(second);
    std::thread::sleep(Duration::from_millis(500));
    let second = Worker::start(fixed("two"), &topics);
    eventually("it has its own again", || second.owned() == own);
    assert!(!first.events.lock().unwrap().iter().any(|event| matches!(event, GroupEvent::Lost(_))));
    assert_eq!(first.owned().len(), 4);
}

#[test]
fn a_topic_that_goes_away_under_its_readers_is_named() {
    let group = unique("vanishing");
    let topics = topics(&group, 2);
    let log = connect(options(&group));
    log.join(&group, &topics).unwrap();
    let mut owned = 0;
    eventually("assigned", || {
        if let Some(GroupEvent::Assigned(list)) = log.poll_group(Duration::from_millis(100)).unwrap() {
            owned += list.len();
        }
        owned == 4
    });
    log.delete_topic(&topics[0]).unwrap();
    eventually("the missing topic is reported", || match log.poll_group(Duration::from_millis(100)).unwrap() {
        Some(GroupEvent::Gone { topic, why }) => {
            assert_eq!(topic, topics[0]);
            assert!(why.contains(&*topics[0]), "{why}");
            true
        }
        _ => false,
    });
}

/// Faust's workers are consumers with another assignor.
#[test]
fn a_group_with_other_members_is_refused_with_a_reason() {
    let group = unique("mixed");
    let topics = topics(&group, 2);
    let stranger = Stranger::join(&group, &topics[0]);
    let log = connect(options(&group));
    log.join(&group, &topics).unwrap();
    let mut error = None;
    eventually("the mixture is reported", || {
        error = log.poll_group(Duration::from_millis(100)).err();
        error.is_some()
    });
    drop(stranger);
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    for part in [group.as_str(), "all beltline or all Faust"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// Rebalances pause and resume what stays; not a single record may be passed over, and what is at its end least of all.
#[test]
fn partitions_that_stay_are_read_without_a_gap() {
    let group = unique("gapless");
    let log = connect(options(&group));
    let name = topic(&log, "gapless", 4);
    let first = Worker::start(options(&group), std::slice::from_ref(&name));
    eventually("assigned", || first.owned().len() == 4);
    let mut positions = [0i64; 4];
    let mut read = |partition: &TopicPartition, from: Option<i64>| {
        let position = &mut positions[partition.partition as usize];
        *position = from.unwrap_or(*position);
        let fetched = first.log.fetch(partition, *position, 1 << 20).unwrap();
        for record in fetched.batches.iter().flat_map(|batch| batch.iter()) {
            assert_eq!(record.offset, *position, "{partition}: something was passed over");
            *position += 1;
        }
        assert_eq!(fetched.next_offset, *position, "{partition}");
        *position
    };
    let mut second = None;
    for round in 0..600 {
        let target = TopicPartition::new(name.clone(), round % 4);
        write(&log, &target, values([format!("{round}")])).unwrap();
        match round {
            100 | 350 => second = Some(Worker::start(options(&group), std::slice::from_ref(&name))),
            225 | 475 => drop(second.take()),
            _ => {}
        }
        for partition in first.owned() {
            read(&partition, None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    eventually("all is back", || first.owned().len() == 4);
    for partition in first.owned() {
        eventually("the end is reached", || read(&partition, None) == 150);
    }
}

#[test]
fn a_topic_is_exchanged_for_another_by_one_member_after_the_other() {
    let group = unique("exchange");
    let log = connect(options(&group));
    let stays = topic(&log, "stays", 4);
    let goes = topic(&log, "goes", 4);
    let workers = [1, 2].map(|_| Worker::start(options(&group), &[stays.clone(), goes.clone()]));
    let share = |topic: &str| workers.iter().all(|worker| worker.numbers(topic).len() == 2);
    eventually("two share", || share(&stays) && share(&goes));
    // One of them leads the group; each comes second once.
    for order in [[0, 1], [1, 0]] {
        let comes = topic(&log, "comes", 4);
        for (step, place) in order.into_iter().enumerate() {
            workers[place].log.join(&group, &[stays.clone(), comes.clone()]).unwrap();
            let reads = |place: usize| workers[order[place]].numbers(&comes).len();
            eventually("those who read it share it", || {
                (reads(0), reads(1)) == if step == 0 { (4, 0) } else { (2, 2) }
            });
        }
    }
    for worker in &workers {
        let events = worker.events.lock().unwrap();
        let lost = events.iter().find(|event| matches!(event, GroupEvent::Lost(_)));
        assert!(lost.is_none(), "a topic that is not read any more was given back: {lost:?}");
    }
}

#[test]
fn a_member_that_cannot_wait_for_its_good_bye_goes_without() {
    let group = unique("hurry");
    let name = topic(&connect(options(&group)), "hurry", 2);
    // In whatever state the membership is: looking for its group, joining, reading.
    for pause in [0, 5, 10, 20, 40, 80, 2000] {
        let mut options = options(&unique("hurry"));
        options.leave_timeout = Duration::ZERO;
        let group = options.group_id.clone();
        let log = connect(options);
        log.join(&group, std::slice::from_ref(&name)).unwrap();
        let end = std::time::Instant::now() + Duration::from_millis(pause);
        while let Some(rest) = end.checked_duration_since(std::time::Instant::now()) {
            log.poll_group(rest).unwrap();
        }
        let leaving = std::thread::spawn(move || drop(log));
        eventually("the member is gone", || leaving.is_finished());
    }
}
