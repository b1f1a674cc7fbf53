//! Events out, positions forward: the cursor and the in-flight set, through the public API.

mod support;

use beltline_engine::{Guarantee, LogCommand, LogEvent, Next, Pause, StartFrom, TableSpec};
use beltline_table::{Shard, ValueForm};
use beltline_types::{ErrorKind, TopicPartition};
use support::{Bench, options};

fn bench() -> Bench {
    Bench::new(options(Guarantee::AtLeastOnce))
}

fn committed(bench: &Bench, partition: u32) -> Option<i64> {
    bench.committed.get(&TopicPartition::new("in", partition)).copied()
}

#[test]
fn events_come_in_order_and_their_position_is_committed() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.write("in", 0, &["c"]);
    assert_eq!(bench.core.next(reader), Next::Wait);
    bench.turn();
    assert_eq!(bench.drain(reader), ["a", "b", "c"]);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(3));
    assert!(bench.core.is_idle());
    bench.write("in", 0, &["d"]);
    bench.turn();
    assert_eq!(bench.drain(reader), ["d"]);
    assert!(!bench.core.is_idle());
}

#[test]
fn an_unfinished_event_holds_the_position_back_and_only_that() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b", "c", "d"]);
    bench.turn();
    let tickets: Vec<_> = (0..4).map(|_| bench.event(reader)).collect();
    for index in [0, 3, 2] {
        bench.core.done(tickets[index]);
    }
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(1));
    let health = bench.core.health();
    assert_eq!((health.partitions[0].in_flight, health.partitions[0].position), (1, Some(1)));
    bench.core.done(tickets[1]);
    // A second time has no effect.
    bench.core.done(tickets[1]);
    assert_eq!(bench.core.in_flight(), 0);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(4));
}

#[test]
fn released_events_come_again_first_and_in_order() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    let (first, second) = (bench.event(reader), bench.event(reader));
    bench.core.release(second);
    bench.core.release(first);
    // It is nobody's now: finishing it with the old ticket must not count.
    bench.core.done(second);
    assert_eq!(bench.core.in_flight(), 2);
    assert_eq!(bench.drain(reader), ["a", "b", "c"]);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(3));
}

#[test]
fn gaps_of_a_compacted_topic_do_not_stop_the_position() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write_at("in", 0, 0, &[2, 5], 10);
    bench.write_at("in", 0, 10, &[], 20);
    bench.write_at("in", 0, 20, &[25], 30);
    bench.turn();
    let offsets: Vec<i64> = std::iter::from_fn(|| match bench.core.next(reader) {
        Next::Event(ticket) => {
            bench.core.done(ticket);
            Some(ticket.offset())
        }
        _ => None,
    })
    .collect();
    assert_eq!(offsets, [2, 5, 25]);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(30));
    assert!(bench.core.is_idle());
}

#[test]
fn a_restart_within_a_batch_begins_at_the_committed_record() {
    let mut bench = bench();
    bench.committed.insert(TopicPartition::new("in", 0), 2);
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b", "c", "d"]);
    bench.turn();
    assert_eq!(bench.drain(reader), ["c", "d"]);
}

#[test]
fn latest_skips_what_was_there_and_writes_its_start_down() {
    let mut bench =
        Bench::new(beltline_engine::CoreOptions { start: StartFrom::Latest, ..options(Guarantee::AtLeastOnce) });
    let topic = bench.topic("in", 1);
    bench.write("in", 0, &["old"]);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.turn();
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(1));
    bench.write("in", 0, &["new"]);
    bench.turn();
    assert_eq!(bench.drain(reader), ["new"]);
}

#[test]
fn every_subscription_sees_every_event_and_the_slowest_decides() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let fast = bench.core.subscribe("fast", &[topic]).unwrap();
    let slow = bench.core.subscribe("slow", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    assert_eq!(bench.drain(fast), ["a", "b", "c"]);
    let ticket = bench.event(slow);
    bench.core.done(ticket);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(1));
    assert_eq!(bench.drain(slow), ["b", "c"]);
    bench.core.unsubscribe(slow);
    assert_eq!(bench.core.next(slow), Next::Closed);
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(3));
}

#[test]
fn a_late_subscription_begins_where_the_slowest_is() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let first = bench.core.subscribe("first", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    let ticket = bench.event(first);
    bench.core.done(ticket);
    let late = bench.core.subscribe("late", &[topic]).unwrap();
    bench.turn();
    assert_eq!(bench.drain(late), ["b", "c"]);
}

#[test]
fn unsubscribing_with_an_event_in_flight_repeats_it_after_a_restart() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    let unfinished = bench.event(reader);
    bench.core.unsubscribe(reader);
    assert_eq!(bench.core.in_flight(), 0);
    bench.core.done(unfinished);
    assert!(bench.core.record(&unfinished).is_none());
    bench.pass(100);
    bench.accept();
    assert_eq!(committed(&bench, 0), Some(1));
}

#[test]
fn partitions_take_turns_and_none_starves() {
    let mut bench = bench();
    let topic = bench.topic("in", 3);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    for _ in 0..4 {
        bench.write("in", 0, &["0", "0"]);
    }
    bench.write("in", 1, &["1"]);
    bench.write("in", 2, &["2"]);
    bench.turn();
    let order: String = bench.drain(reader).concat();
    assert_eq!(order.len(), 10);
    assert!(order.find('1').unwrap() < 5 && order.find('2').unwrap() < 5, "{order}");
}

#[test]
fn the_queue_is_bounded_and_says_who_holds_it() {
    let mut bench = Bench::new(beltline_engine::CoreOptions {
        queue_bytes: 4000,
        fetch_max_bytes: 1000,
        ..options(Guarantee::AtLeastOnce)
    });
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    for _ in 0..100 {
        bench.write("in", 0, &["x"; 10]);
    }
    bench.turn();
    let unfinished = bench.event(reader);
    let rest = bench.drain(reader).len();
    assert!(rest < 200, "{rest} events were queued beyond the limit");
    let health = bench.core.health();
    assert!(health.partitions[0].queued_bytes <= 4000);
    assert!(matches!(health.partitions[0].paused, Some(Pause::QueueFull { oldest: 0, .. })), "{health:?}");
    bench.core.done(unfinished);
    assert!(bench.core.wants_turn());
    bench.turn();
    assert_eq!(bench.drain(reader).len() + rest + 1, 1000);
}

#[test]
fn sends_find_their_partition_and_their_receipt() {
    let mut bench = bench();
    let out = bench.topic("out", 4);
    let keyed = bench.core.emit(out, None, Some(b"the"), Some(b"1"), &[], -1).unwrap();
    assert_eq!(keyed.partition, beltline_types::partition_of(b"the", 4));
    let again = bench.core.emit(out, None, Some(b"the"), Some(b"2"), &[], -1).unwrap();
    assert_eq!((again.partition, again.sequence), (keyed.partition, keyed.sequence + 1));
    let turns: std::collections::BTreeSet<u32> =
        (0..4).map(|_| bench.core.emit(out, None, None, None, &[], -1).unwrap().partition).collect();
    assert_eq!(turns.len(), 4);
    let error = bench.core.emit(out, Some(4), None, None, &[], -1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("out has 4 partitions"), "{error}");
    bench.pass(100);
    bench.accept();
    let receipt =
        std::iter::from_fn(|| bench.core.poll_receipt()).find(|receipt| receipt.partition == keyed.partition).unwrap();
    assert_eq!((receipt.first_sequence, receipt.offset(0)), (0, Some(0)));
    assert!(receipt.count >= 2);
}

#[test]
fn a_full_outbox_holds_events_back_and_finally_refuses() {
    let mut bench = Bench::new(beltline_engine::CoreOptions { outbox_bytes: 1000, ..options(Guarantee::AtLeastOnce) });
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a", "b"]);
    bench.turn();
    bench.pass(100);
    let ticket = bench.event(reader);
    let refused = (0..100).find_map(|_| bench.core.emit(topic, Some(0), None, Some(&[0; 100]), &[], -1).err());
    assert_eq!(refused.unwrap().kind(), ErrorKind::Limit);
    bench.core.done(ticket);
    assert_eq!(bench.core.next(reader), Next::Wait);
    assert!(matches!(bench.core.health().partitions[0].paused, Some(Pause::OutboxFull { .. })));
    bench.pass(100);
    assert_eq!(bench.commits.len(), 1);
    assert!(matches!(bench.core.next(reader), Next::Event(_)));
}

#[test]
fn events_that_a_commit_waits_for_may_send_however_full_the_outbox_is() {
    let options = beltline_engine::CoreOptions { outbox_bytes: 1000, ..options(Guarantee::ExactlyOnce) };
    let mut bench = Bench::new(options);
    let (topic, out) = (bench.topic("in", 1), bench.topic("out", 1));
    let ahead = bench.core.subscribe("ahead", &[topic]).unwrap();
    let behind = bench.core.subscribe("behind", &[topic]).unwrap();
    bench.write("in", 0, &["x"; 50]);
    bench.turn();
    while let Next::Event(ticket) = bench.core.next(ahead) {
        bench.core.done(ticket);
    }
    // Each of these sends more than the outbox takes, and no commit is possible before the last one.
    let mut events = 0;
    while let Next::Event(ticket) = bench.core.next(behind) {
        bench.core.emit(out, Some(0), None, Some(&[0; 1500]), &[], -1).unwrap();
        bench.core.done(ticket);
        bench.pass(100);
        events += 1;
    }
    assert_eq!(events, 50);
    assert_eq!(bench.accept().request.appends[0].records.len(), 50);
    assert_eq!(bench.committed[&TopicPartition::new("in", 0)], 50);
    // One event alone has its limit as ever.
    bench.write("in", 0, &["x"]);
    bench.pass(100);
    bench.event(behind);
    let sends = (0..100).take_while(|_| bench.core.emit(out, Some(0), None, Some(&[0; 500]), &[], -1).is_ok());
    assert!((4..=8).contains(&sends.count()));
}

#[test]
fn events_wait_for_the_shards_of_their_partition_only() {
    let mut bench = bench();
    bench.hold_restores = true;
    let topic = bench.topic("in", 2);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    let spec = TableSpec { name: "t".into(), changelog: "t-changelog".into(), partitions: 2, values: ValueForm::Json };
    let table = bench.core.add_table(spec);
    bench.write("in", 0, &["0"]);
    bench.write("in", 1, &["1"]);
    bench.turn();
    let restores: Vec<u64> = bench
        .restores
        .iter()
        .map(|command| match command {
            LogCommand::Restore { restore, .. } => *restore,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(restores.len(), 2);
    assert_eq!(bench.core.next(reader), Next::Wait);
    let progress = LogEvent::RestoreProgress { restore: restores[0], table, partition: 0, done: 3, total: 9 };
    bench.core.handle(progress, bench.now);
    let health = bench.core.health();
    assert_eq!((health.tables[0].done, health.tables[0].total), (3, 9));
    assert!(matches!(&health.partitions[0].paused, Some(Pause::Restoring { table, done: 3, .. }) if &**table == "t"));
    let shard = Shard::new(ValueForm::Json);
    bench.core.handle(LogEvent::Restored { restore: restores[1], table, partition: 1, shard }, bench.now);
    assert_eq!(bench.drain(reader), ["1"]);
    assert!(!bench.core.shards_ready());
    assert!(!bench.core.is_idle());
    let shard = Shard::new(ValueForm::Json);
    bench.core.handle(LogEvent::Restored { restore: restores[0], table, partition: 0, shard }, bench.now);
    assert_eq!(bench.drain(reader), ["0"]);
}

#[test]
fn a_position_outside_of_the_log_is_corrected_and_told() {
    let mut bench = bench();
    bench.committed.insert(TopicPartition::new("in", 0), 1);
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write_at("in", 0, 5, &[5, 6], 7);
    bench.turn();
    assert_eq!(bench.event(reader).offset(), 5);
    let notice = bench.core.poll_notice().unwrap();
    assert!(notice.contains("in[0]: offset 1") && notice.contains("goes on at 5"), "{notice}");
}

#[test]
fn a_failed_fetch_is_named_and_repeated() {
    let mut bench = bench();
    let topic = bench.topic("in", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.core.tick(bench.now);
    let mut fetch_id = None;
    bench.write("in", 0, &["a"]);
    while let Some(command) = bench.core.poll_command() {
        match command {
            beltline_engine::LogCommand::Join { .. } => {
                bench.core.handle(LogEvent::Assigned(vec![TopicPartition::new("in", 0)]), bench.now);
            }
            beltline_engine::LogCommand::LookupOffsets { lookup, partitions } => {
                let found = partitions.into_iter().map(|partition| beltline_engine::PartitionOffsets {
                    partition,
                    committed: None,
                    range: Default::default(),
                });
                bench.core.handle(LogEvent::Offsets { lookup, found: found.collect() }, bench.now);
            }
            beltline_engine::LogCommand::Fetch { fetch, .. } => fetch_id = Some(fetch),
            other => panic!("unexpected {other:?}"),
        }
    }
    let error = beltline_types::Error::new(ErrorKind::Storage, "the disk is on fire");
    let partition = TopicPartition::new("in", 0);
    bench.core.handle(LogEvent::FetchFailed { fetch: fetch_id.unwrap(), partition, error }, bench.now);
    let paused = bench.core.health().partitions[0].paused.clone().unwrap();
    assert!(paused.to_string().contains("on fire"), "{paused}");
    assert!(bench.core.poll_command().is_none());
    assert!(bench.core.next_deadline().is_some());
    bench.pass(100);
    assert_eq!(bench.drain(reader), ["a"]);
    assert!(bench.core.health().partitions[0].paused.is_none());
}
