//! Exactly once: what is aborted stays unseen, who is replaced is fenced, positions move with the records.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use beltline_log::Log;
use beltline_types::{BatchBuilder, ErrorKind, TopicPartition};

use crate::support::*;

#[test]
fn positions_pass_transaction_markers() {
    let log = connect(exactly_once(&unique("markers"), &unique("id")));
    let target = TopicPartition::new(topic(&log, "markers", 1), 0);
    for round in 0..3 {
        let appended = write(&log, &target, values([format!("a{round}"), format!("b{round}")])).unwrap();
        // Two records and a marker a round.
        assert_eq!((appended.base_offset, appended.next_offset), (round * 3, round * 3 + 2));
    }
    // Markers are written behind the answer to the commit.
    eventually("the last marker is there", || log.offsets(&target).unwrap().end == 9);
    let end = 9;
    // The last marker is no record, and yet the position reaches the end: the lag is 0.
    let records = read_to(&log, &target, 0, end);
    assert_eq!(texts(&records), ["a0", "b0", "a1", "b1", "a2", "b2"]);
    let fetched = log.fetch(&target, end, 1000).unwrap();
    assert_eq!((fetched.next_offset, fetched.range.end), (9, 9));
}

#[test]
fn what_is_aborted_stays_unseen() {
    let log = connect(exactly_once(&unique("aborts"), &unique("id")));
    let name = topic(&log, "aborts", 2);
    let (first, second) = (TopicPartition::new(name.clone(), 0), TopicPartition::new(name, 1));
    let mut large = BatchBuilder::default();
    large.push(None, Some(&vec![b'x'; 3_000_000]), &[], -1);
    let unit = request("", vec![(first.clone(), values(["unseen".into()])), (second, large)]);
    let error = log.commit(unit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    write(&log, &first, values(["seen".into()])).unwrap();
    let end = log.offsets(&first).unwrap().end;
    assert_eq!(texts(&read_to(&log, &first, 0, end)), ["seen"]);
}

#[test]
fn a_producer_that_was_replaced_is_fenced_and_can_begin_anew() {
    let (group, id) = (unique("fences"), unique("id"));
    let (first, second) = (connect(exactly_once(&group, &id)), connect(exactly_once(&group, &id)));
    let target = TopicPartition::new(topic(&first, "fences", 1), 0);
    write(&first, &target, values(["first".into()])).unwrap();
    write(&second, &target, values(["second".into()])).unwrap();
    let error = write(&first, &target, values(["zombie".into()])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    write(&first, &target, values(["again".into()])).unwrap();
    let end = first.offsets(&target).unwrap().end;
    assert_eq!(texts(&read_to(&first, &target, 0, end)), ["first", "second", "again"]);
}

#[test]
fn records_and_positions_move_together() {
    let group = unique("together");
    let log = connect(options(&group));
    let input = topic(&log, "input", 1);
    let output = TopicPartition::new(topic(&log, "output", 1), 0);
    let worker = Worker::start(exactly_once(&group, &unique("id")), std::slice::from_ref(&input));
    eventually("the partition is assigned", || worker.owned().len() == 1);
    let partition = TopicPartition::new(input, 0);
    let mut unit = request(&group, vec![(output.clone(), values(["out".into()]))]);
    unit.offsets = vec![(partition.clone(), 5)];
    worker.log.commit(unit).unwrap();
    let committed = log.committed(&group, std::slice::from_ref(&partition)).unwrap();
    assert_eq!(committed, [Some(5)]);
    assert_eq!(texts(&read_to(&log, &output, 0, 1)), ["out"]);

    // Nobody commits for a partition that is not his.
    let mut unit = request(&group, vec![(output.clone(), values(["stolen".into()]))]);
    unit.offsets = vec![(TopicPartition::new(output.topic.clone(), 0), 1)];
    assert_eq!(worker.log.commit(unit).unwrap_err().kind(), ErrorKind::Aborted);
    // And nobody who is no member.
    let outsider = connect(exactly_once(&group, &unique("id")));
    let mut unit = request(&group, vec![]);
    unit.offsets = vec![(partition, 9)];
    assert_eq!(outsider.commit(unit).unwrap_err().kind(), ErrorKind::Usage);
}

/// Commits go on while members come: one that crosses a rebalance is aborted, and its repetition works.
#[test]
fn a_commit_that_crosses_a_rebalance_is_aborted_and_can_be_repeated() {
    let group = unique("crossing");
    let log = connect(options(&group));
    let input = topic(&log, "input", 4);
    let output = TopicPartition::new(topic(&log, "output", 1), 0);
    let first = Worker::start(exactly_once(&group, &unique("id")), std::slice::from_ref(&input));
    eventually("all partitions are assigned", || first.owned().len() == 4);
    let mut others = Vec::new();
    let (begun, mut committed, mut aborted, mut position) = (Instant::now(), 0, 0, 0);
    while begun.elapsed() < Duration::from_secs(6) {
        if others.len() < 3 && begun.elapsed() > Duration::from_millis(1500 * (others.len() as u64 + 1)) {
            others.push(Worker::start(exactly_once(&group, &unique("id")), std::slice::from_ref(&input)));
        }
        position += 1;
        let mut unit = request(&group, vec![(output.clone(), values([format!("{position}")]))]);
        // The first partition stays with its owner: sticky.
        let Some(mine) = first.owned().into_iter().next() else { panic!("nothing is left") };
        unit.offsets = vec![(mine, position)];
        match first.log.commit(unit) {
            Ok(_) => committed += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Aborted, "{error}");
                aborted += 1;
            }
        }
    }
    eventually("one partition each", || {
        first.owned().len() == 1 && others.iter().all(|worker| worker.owned().len() == 1)
    });
    let end = log.offsets(&output).unwrap().end;
    assert_eq!(read_to(&log, &output, 0, end).len(), committed, "{aborted} were aborted");
    assert!(committed > 20, "{committed} commits, {aborted} aborted");
    println!("{committed} commits, {aborted} aborted");
    first.holds.store(false, Ordering::Release);
}

#[test]
fn one_that_was_fenced_joins_as_somebody_new() {
    let (group, id) = (unique("anew"), unique("id"));
    let log = connect(options(&group));
    let input = topic(&log, "input", 2);
    let output = TopicPartition::new(topic(&log, "output", 1), 0);
    let worker = Worker::start(exactly_once(&group, &id), std::slice::from_ref(&input));
    eventually("assigned", || worker.owned().len() == 2);
    write(&worker.log, &output, values(["first".into()])).unwrap();
    let thief = connect(exactly_once(&unique("other"), &id));
    write(&thief, &output, values(["thief".into()])).unwrap();
    let mut unit = request(&group, vec![(output.clone(), values(["zombie".into()]))]);
    unit.offsets = vec![(TopicPartition::new(input.clone(), 0), 1)];
    assert_eq!(worker.log.commit(unit).unwrap_err().kind(), ErrorKind::Fenced);

    let before = worker.events.lock().unwrap().len();
    worker.log.join(&group, std::slice::from_ref(&input)).unwrap();
    eventually("assigned anew", || worker.events.lock().unwrap().len() >= before + 2 && worker.owned().len() == 2);
    let events = worker.events.lock().unwrap()[before..].to_vec();
    assert!(matches!(&events[0], beltline_log::GroupEvent::Lost(list) if list.len() == 2), "{events:?}");

    // What was made before the loss does not count as made after it.
    let mut unit = request(&group, vec![(output.clone(), values(["outdated".into()]))]);
    unit.offsets = vec![(TopicPartition::new(input.clone(), 0), 1)];
    assert_eq!(worker.log.commit(unit).unwrap_err().kind(), ErrorKind::Aborted);
    let mut unit = request(&group, vec![(output.clone(), values(["anew".into()]))]);
    unit.offsets = vec![(TopicPartition::new(input, 0), 2)];
    unit.losses = 1;
    worker.log.commit(unit).unwrap();
    eventually("everything is there", || {
        let end = log.offsets(&output).unwrap().end;
        texts(&read_to(&log, &output, 0, end)) == ["first", "thief", "anew"]
    });
}

/// A transaction that a killed worker left open ends when its id is used again, before positions are read.
#[test]
fn a_worker_that_comes_back_does_not_wait_for_its_own_open_transaction() {
    let (group, id) = (unique("reborn"), unique("id"));
    let log = connect(options(&group));
    let target = TopicPartition::new(topic(&log, "reborn", 1), 0);
    let first = connect(exactly_once(&group, &id));
    write(&first, &target, values(["seen".into()])).unwrap();
    let second = connect(exactly_once(&group, &id));
    let begun = Instant::now();
    assert_eq!(second.committed(&group, std::slice::from_ref(&target)).unwrap(), [None]);
    assert!(begun.elapsed() < Duration::from_secs(8));
    // It is the one producer of its id already.
    assert_eq!(write(&first, &target, values(["zombie".into()])).unwrap_err().kind(), ErrorKind::Fenced);
}
