//! Commit units: when they are sealed, what is in them, and what an abort takes back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::time::Duration;

use beltline_engine::{CoreOptions, Guarantee, Next, Pause, TableId, TableSpec};
use beltline_table::{Key, Value, ValueForm};
use beltline_types::{ErrorKind, TopicPartition};
use support::{Bench, options};

fn table(bench: &mut Bench, partitions: u32) -> TableId {
    let spec = TableSpec { name: "t".into(), changelog: "t-changelog".into(), partitions, values: ValueForm::Json };
    bench.core.add_table(spec)
}

fn bench(guarantee: Guarantee) -> Bench {
    Bench::new(options(guarantee))
}

fn set(bench: &mut Bench, table: TableId, key: &str, value: i64) {
    bench.core.shard_mut(table, 0).unwrap().insert(Key::Text(key), Value::Int(value));
}

fn get(bench: &Bench, table: TableId, key: &str) -> Option<i64> {
    match bench.core.shard(table, 0).unwrap().get(Key::Text(key)) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    }
}

#[test]
fn a_unit_holds_outputs_the_last_value_per_key_and_positions() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let (input, output) = (bench.topic("in", 1), bench.topic("out", 1));
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    let table = table(&mut bench, 1);
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    for value in [1, 2] {
        let ticket = bench.event(reader);
        set(&mut bench, table, "k", value);
        bench.core.emit(output, None, Some(b"k"), Some(b"v"), &[], 5).unwrap();
        bench.core.done(ticket);
    }
    bench.pass(100);
    let unit = bench.accept();
    assert_eq!(unit.request.offsets, [(TopicPartition::new("in", 0), 2)]);
    assert_eq!(unit.tables.len(), 1);
    let changes = &unit.request.appends[unit.tables[0].append];
    assert_eq!(changes.target, TopicPartition::new("t-changelog", 0));
    let changes = changes.records.build(0).unwrap();
    let pairs: Vec<_> = changes.iter().map(|record| (record.key.unwrap(), record.value.unwrap())).collect();
    assert_eq!(pairs, [(&b"\"k\""[..], &b"2"[..])]);
    assert_eq!(unit.request.appends[0].records.len(), 2);
    assert!(!bench.core.has_uncommitted());
}

#[test]
fn exactly_once_waits_for_unfinished_events_and_at_least_once_does_not() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut bench = bench(guarantee);
        let input = bench.topic("in", 1);
        let reader = bench.core.subscribe("reader", &[input]).unwrap();
        bench.write("in", 0, &["a", "b", "c"]);
        bench.turn();
        let (first, second) = (bench.event(reader), bench.event(reader));
        bench.core.done(first);
        bench.pass(100);
        if guarantee == Guarantee::AtLeastOnce {
            assert_eq!(bench.accept().request.offsets[0].1, 1);
            continue;
        }
        assert!(bench.commits.is_empty());
        assert_eq!(bench.core.next(reader), Next::Wait);
        assert_eq!(bench.core.health().partitions[0].paused, Some(Pause::Draining));
        bench.core.done(second);
        assert!(bench.core.wants_turn());
        // A consumer that asks at once is not held up by the commit.
        let third = bench.event(reader);
        bench.turn();
        assert_eq!(bench.accept().request.offsets[0].1, 2);
        bench.core.done(third);
    }
}

#[test]
fn who_asks_for_a_commit_again_and_again_wakes_nobody_in_vain() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut bench = bench(guarantee);
        let (input, output) = (bench.topic("in", 1), bench.topic("out", 1));
        let reader = bench.core.subscribe("reader", &[input]).unwrap();
        bench.write("in", 0, &["a"]);
        bench.turn();
        let first = bench.event(reader);
        bench.core.request_commit();
        assert!(!bench.core.wants_turn(), "nothing is to be written yet");
        bench.core.emit(output, None, None, Some(b"out"), &[], 5).unwrap();
        bench.core.done(first);
        bench.core.request_commit();
        assert!(bench.core.wants_turn());
        bench.turn();
        assert_eq!(bench.commits.len(), 1);
        bench.core.request_commit();
        assert!(!bench.core.wants_turn(), "the unit before is on its way");
        // What is asked for meanwhile comes as soon as the answer is there.
        bench.core.emit(output, None, None, Some(b"out"), &[], 5).unwrap();
        bench.turn();
        bench.core.request_commit();
        assert!(!bench.core.wants_turn(), "the unit before is on its way");
        bench.accept();
        bench.turn();
        assert_eq!(bench.commits.len(), 1);
    }
}

#[test]
fn draining_brings_all_readers_of_a_partition_to_the_same_place() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let (input, output) = (bench.topic("in", 1), bench.topic("out", 1));
    let fast = bench.core.subscribe("fast", &[input]).unwrap();
    let slow = bench.core.subscribe("slow", &[input]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    for _ in 0..2 {
        let ticket = bench.event(fast);
        bench.core.emit(output, None, None, Some(b"seen"), &[], 7).unwrap();
        bench.core.done(ticket);
    }
    bench.pass(100);
    assert!(bench.commits.is_empty(), "a position between two readers would repeat events for the faster one");
    assert_eq!(bench.core.next(fast), Next::Wait);
    assert_eq!(bench.drain(slow), ["a", "b", "c"]);
    assert_eq!(bench.commits[0].request.offsets[0].1, 2);
}

#[test]
fn the_drain_deadline_is_named_and_the_unit_still_waits() {
    let mut bench = Bench::new(CoreOptions { drain_deadline_ms: 1000, ..options(Guarantee::ExactlyOnce) });
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    let (first, second) = (bench.event(reader), bench.event(reader));
    bench.core.done(first);
    bench.pass(100);
    assert_eq!(bench.core.next_deadline(), Some(bench.now + Duration::from_millis(1000)));
    bench.pass(1000);
    let paused = bench.core.health().partitions[0].paused.clone().unwrap();
    assert!(matches!(paused, Pause::DrainOverdue { oldest: Some(1), .. }), "{paused}");
    assert!(bench.core.poll_notice().unwrap().contains("1 unfinished events"));
    assert!(bench.core.poll_notice().is_none());
    bench.pass(1000);
    assert!(bench.core.poll_notice().is_some(), "a wait that goes on is told again");
    assert!(bench.commits.is_empty());
    bench.core.done(second);
    bench.turn();
    assert_eq!(bench.accept().request.offsets[0].1, 2);
}

#[test]
fn draining_that_takes_long_makes_commits_rarer() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    let (mut draining, start) = (Duration::ZERO, bench.now);
    for _ in 0..200 {
        bench.write("in", 0, &["a", "b"]);
        bench.turn();
        let (first, second) = (bench.event(reader), bench.event(reader));
        bench.core.done(first);
        let interval = bench.core.health().commit_interval;
        bench.pass(interval.as_millis() as u64 + 1);
        bench.pass(50);
        draining += Duration::from_millis(50);
        bench.core.done(second);
        bench.turn();
        bench.accept();
    }
    let share = draining.as_secs_f64() / (bench.now - start).as_secs_f64();
    assert!(share < 0.06, "draining took {share:.3} of the time");
    assert!(bench.core.health().commit_interval >= Duration::from_millis(900));
}

#[test]
fn an_abort_takes_tables_positions_and_outputs_back() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut bench = bench(guarantee);
        let (input, output) = (bench.topic("in", 1), bench.topic("out", 1));
        let reader = bench.core.subscribe("reader", &[input]).unwrap();
        let table = table(&mut bench, 1);
        bench.write("in", 0, &["a", "b", "c", "d"]);
        bench.turn();
        let ticket = bench.event(reader);
        set(&mut bench, table, "k", 1);
        bench.core.done(ticket);
        bench.pass(100);
        bench.accept();

        let ticket = bench.event(reader);
        set(&mut bench, table, "k", 2);
        let sent = bench.core.emit(output, None, None, Some(b"2"), &[], -1).unwrap();
        bench.core.done(ticket);
        bench.pass(100);
        // The unit is on its way; this event belongs to the next one.
        let stale = bench.event(reader);
        set(&mut bench, table, "k", 3);
        set(&mut bench, table, "new", 3);
        bench.core.emit(output, None, None, Some(b"3"), &[], -1).unwrap();
        bench.refuse(ErrorKind::Aborted);

        assert_eq!((get(&bench, table, "k"), get(&bench, table, "new")), (Some(1), None));
        let lost: u32 = std::iter::from_fn(|| bench.core.poll_receipt())
            .filter(|receipt| receipt.appended.is_none() && receipt.partition == sent.partition)
            .map(|receipt| receipt.count)
            .sum();
        assert_eq!(lost, 2);
        // What at-least-once has sent it may send again.
        assert_eq!(bench.core.is_taken_back(stale.epoch()), guarantee == Guarantee::ExactlyOnce);
        bench.core.done(stale);
        bench.core.release(stale);
        assert!(bench.core.record(&stale).is_none());
        assert_eq!(bench.core.in_flight(), 0);
        let again = bench.event(reader);
        assert!(!bench.core.is_taken_back(again.epoch()));
        bench.core.release(again);
        assert_eq!(bench.drain(reader), ["b", "c", "d"]);
        bench.pass(1000);
        assert_eq!(bench.accept().request.offsets[0].1, 4);
    }
}

#[test]
fn a_refusal_that_cannot_be_repeated_ends_the_core_by_name() {
    let mut bench = bench(Guarantee::AtLeastOnce);
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    bench.pass(100);
    bench.refuse(ErrorKind::Storage);
    assert_eq!(bench.core.next(reader), Next::Closed);
    assert!(bench.core.health().failure.unwrap().contains("refused by the test"));
    assert!(bench.core.is_stopped());
}

#[test]
fn one_unit_at_a_time_and_work_goes_on_meanwhile() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    bench.pass(100);
    assert_eq!(bench.drain(reader), ["b", "c"]);
    bench.pass(1000);
    assert_eq!(bench.commits.len(), 1);
    bench.accept();
    bench.pass(1000);
    assert_eq!(bench.accept().request.offsets[0].1, 3);
    bench.pass(1000);
    assert!(bench.commits.is_empty(), "nothing changed, nothing is written");
    assert_eq!(bench.core.next_deadline(), None);
}

#[test]
fn after_a_rest_a_change_is_written_soon_and_then_each_interval() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    let mut written = Vec::new();
    bench.pass(1000);
    for millisecond in 0..350 {
        bench.write("in", 0, &["a"]);
        bench.pass(1);
        bench.drain(reader);
        bench.turn();
        if !bench.commits.is_empty() {
            bench.accept();
            written.push(millisecond);
        }
    }
    assert!(written[0] <= 12, "{written:?}");
    assert!(written.windows(2).all(|pair| (98..=102).contains(&(pair[1] - pair[0]))), "{written:?}");
    assert_eq!(written.len(), 4);
}

#[test]
fn events_and_bytes_trigger_before_the_interval() {
    let mut bench = Bench::new(CoreOptions { commit_events: 2, commit_bytes: 500, ..options(Guarantee::AtLeastOnce) });
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a"]);
    bench.turn();
    bench.drain(reader);
    bench.pass(100);
    bench.accept();
    bench.write("in", 0, &["b", "c"]);
    bench.turn();
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    bench.turn();
    assert!(bench.commits.is_empty());
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    assert!(bench.core.wants_turn());
    bench.turn();
    bench.accept();
    bench.core.emit(input, Some(0), None, Some(&[0; 600]), &[], -1).unwrap();
    assert!(bench.core.wants_turn());
    bench.turn();
    bench.accept();
}

#[test]
fn stopping_finishes_what_is_in_flight_and_commits() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut bench = bench(guarantee);
        let input = bench.topic("in", 1);
        let reader = bench.core.subscribe("reader", &[input]).unwrap();
        bench.write("in", 0, &["a", "b"]);
        bench.turn();
        let ticket = bench.event(reader);
        bench.core.stop(bench.now + Duration::from_secs(5));
        assert_eq!(bench.core.next(reader), Next::Closed);
        bench.turn();
        assert!(bench.commits.is_empty());
        bench.core.done(ticket);
        assert!(bench.core.wants_turn());
        bench.turn();
        assert!(!bench.core.is_stopped());
        assert_eq!(bench.accept().request.offsets[0].1, 1);
        assert!(bench.core.is_stopped());
        assert_eq!(bench.core.next(reader), Next::Closed);
    }
}

#[test]
fn at_the_stop_deadline_exactly_once_drops_half_a_unit_and_at_least_once_keeps_what_is_finished() {
    for guarantee in [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce] {
        let mut bench = bench(guarantee);
        let input = bench.topic("in", 1);
        let reader = bench.core.subscribe("reader", &[input]).unwrap();
        let table = table(&mut bench, 1);
        bench.write("in", 0, &["a", "b"]);
        bench.turn();
        let (first, _unfinished) = (bench.event(reader), bench.event(reader));
        set(&mut bench, table, "k", 1);
        bench.core.done(first);
        bench.core.stop(bench.now + Duration::from_millis(50));
        bench.pass(50);
        assert!(std::iter::from_fn(|| bench.core.poll_notice()).any(|notice| notice.contains("1 unfinished")));
        match guarantee {
            Guarantee::ExactlyOnce => {
                assert!(bench.core.is_stopped() && bench.commits.is_empty());
                assert_eq!(get(&bench, table, "k"), None);
            }
            Guarantee::AtLeastOnce => {
                assert_eq!(bench.accept().request.offsets[0].1, 1);
                assert!(bench.core.is_stopped());
            }
        }
    }
}

#[test]
fn stopping_waits_for_the_unit_on_its_way() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let input = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    bench.pass(100);
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    bench.core.stop(bench.now);
    bench.turn();
    assert_eq!(bench.commits.len(), 1);
    assert_eq!(bench.accept().request.offsets[0].1, 1);
    assert!(!bench.core.is_stopped());
    assert_eq!(bench.accept().request.offsets[0].1, 2);
    assert!(bench.core.is_stopped());
}

#[test]
fn a_reader_of_the_changelog_is_not_idle_before_it_has_read_the_last_change() {
    let mut bench = bench(Guarantee::ExactlyOnce);
    let (input, changelog) = (bench.topic("in", 1), bench.topic("t-changelog", 1));
    let table = table(&mut bench, 1);
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    let audit = bench.core.subscribe("audit", &[changelog]).unwrap();
    bench.write("in", 0, &["a"]);
    bench.turn();
    let ticket = bench.event(reader);
    set(&mut bench, table, "a", 1);
    bench.core.done(ticket);
    bench.pass(100);
    bench.accept();
    assert!(!bench.core.is_idle());
    assert_eq!(bench.drain(audit).len(), 1);
}
