//! Subscriptions whose topics grow, and topics whose partitions do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use beltline_engine::{Guarantee, LogEvent, StartFrom, SubscriptionId, TableId, TableSpec};
use beltline_table::ValueForm;
use beltline_types::{ErrorKind, TopicPartition, TopicSpec};
use support::{Bench, options};

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

fn table(bench: &mut Bench, name: &str, partitions: u32) -> TableId {
    let changelog = format!("{name}-changelog").into();
    bench.core.add_table(TableSpec { name: name.into(), changelog, partitions, values: ValueForm::Json })
}

/// A reader of `in` with two partitions, everything read and committed.
fn reader(guarantee: Guarantee) -> (Bench, SubscriptionId) {
    let mut bench = Bench::new(options(guarantee));
    let topic = bench.topic("in", 2);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.write("in", 0, &["a"]);
    bench.turn();
    assert_eq!(bench.drain(reader), ["a"]);
    bench.pass(200);
    bench.accept();
    (bench, reader)
}

#[test]
fn a_subscription_takes_up_topics_that_it_is_given_later() {
    for guarantee in BOTH {
        let (mut bench, reader) = reader(guarantee);
        let (more, last) = (bench.topic("more", 1), bench.topic("last", 1));
        bench.write("more", 0, &["b", "c"]);
        bench.core.extend(reader, &[more, last]).unwrap();
        bench.turn();
        assert_eq!(bench.joins.last().unwrap(), &["in", "last", "more"]);
        assert_eq!(bench.drain(reader), ["b", "c"]);
        bench.write("in", 1, &["d"]);
        bench.turn();
        assert_eq!(bench.drain(reader), ["d"]);
        bench.pass(200);
        let unit = bench.accept();
        assert_eq!(unit.request.offsets, [(TopicPartition::new("in", 1), 1), (TopicPartition::new("more", 0), 2)]);
        let joins = bench.joins.len();
        bench.core.extend(reader, &[more]).unwrap();
        bench.turn();
        assert_eq!(bench.joins.len(), joins, "what is read already is nothing new");
    }
}

#[test]
fn a_subscription_may_begin_without_topics() {
    let mut bench = Bench::new(options(Guarantee::AtLeastOnce));
    let reader = bench.core.subscribe("reader", &[]).unwrap();
    bench.turn();
    assert!(!bench.core.is_joining() && bench.joins.is_empty());
    let topic = bench.topic("late", 1);
    bench.write("late", 0, &["a"]);
    bench.core.extend(reader, &[topic]).unwrap();
    bench.turn();
    assert_eq!(bench.drain(reader), ["a"]);
}

#[test]
fn topics_of_others_and_subscriptions_that_have_ended_are_refused() {
    let (mut bench, reader) = reader(Guarantee::AtLeastOnce);
    let mut other = Bench::new(options(Guarantee::AtLeastOnce));
    let foreign = (0..3).map(|number| other.topic(&format!("t{number}"), 1)).last().unwrap();
    assert_eq!(bench.core.extend(reader, &[foreign]).unwrap_err().kind(), ErrorKind::NotFound);
    let topic = bench.topic("late", 1);
    bench.core.unsubscribe(reader);
    assert_eq!(bench.core.extend(reader, &[topic]).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn what_comes_up_meanwhile_is_read_from_its_first_record_on() {
    let mut bench =
        Bench::new(beltline_engine::CoreOptions { start: StartFrom::Latest, ..options(Guarantee::AtLeastOnce) });
    let topic = bench.topic("in", 1);
    bench.write("in", 0, &["old"]);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    bench.turn();
    let late = bench.topic("late", 1);
    bench.write("late", 0, &["first"]);
    bench.core.extend(reader, &[late]).unwrap();
    bench.turn();
    assert_eq!(bench.drain(reader), ["first"]);
}

#[test]
fn partitions_that_the_group_gives_beyond_those_known_are_read() {
    for guarantee in BOTH {
        let (mut bench, reader) = reader(guarantee);
        let late = TopicPartition::new("in", 3);
        bench.records.insert(late.clone(), Vec::new());
        bench.write("in", 3, &["b"]);
        bench.core.handle(LogEvent::Assigned(vec![late]), bench.now);
        bench.turn();
        assert_eq!(bench.drain(reader), ["b"]);
        let id = bench.core.topic_id("in").unwrap();
        assert_eq!(bench.core.topic(id).unwrap().partitions, 4);
        // What is sent may go there too.
        assert_eq!(bench.core.emit(id, Some(3), None, Some(b"x"), &[], -1).unwrap().partition, 3);
    }
}

#[test]
fn a_survey_tells_of_new_topics_and_partitions() {
    let (mut bench, reader) = reader(Guarantee::AtLeastOnce);
    assert_eq!((bench.core.topics_version(), bench.core.topics_seen().len()), (0, 0));
    let topics = vec![TopicSpec::new("in", 3), TopicSpec::new("new", 1)];
    bench.core.handle(LogEvent::Topics(topics.clone()), bench.now);
    assert_eq!((bench.core.topics_version(), bench.core.topics_seen()), (1, &topics[..]));
    assert_eq!(bench.core.topic_id("new"), None);
    let new = TopicPartition::new("in", 2);
    bench.records.insert(new.clone(), Vec::new());
    bench.write("in", 2, &["b"]);
    bench.turn();
    assert!(bench.drain(reader).is_empty(), "it is not ours before the group says so");
    bench.core.handle(LogEvent::Assigned(vec![new]), bench.now);
    bench.turn();
    assert_eq!(bench.drain(reader), ["b"]);
}

#[test]
fn a_topic_with_a_table_must_not_grow() {
    let (mut bench, reader) = reader(Guarantee::AtLeastOnce);
    assert!(bench.core.misgrowth("in", 4).is_none(), "without tables it may");
    let counts = table(&mut bench, "counts", 2);
    let error = bench.core.misgrowth("in", 4).expect("nobody has said what is written where");
    let sentence = error.to_string();
    for part in ["topic in ", "4 in the place of 2", "table counts", "reader", "counts-changelog has 2", "version="] {
        assert!(sentence.contains(part), "{part:?} is missing in {sentence:?}");
    }
    assert!(bench.core.misgrowth("in", 2).is_none());
    bench.core.couple(reader, &[]);
    assert!(bench.core.misgrowth("in", 4).is_none(), "its events are written to no table");
    bench.core.couple(reader, &[counts]);
    assert!(bench.core.misgrowth("in", 4).is_some());
    bench.core.unsubscribe(reader);
    assert!(bench.core.misgrowth("in", 4).is_none());
}

#[test]
fn a_topic_with_more_partitions_than_its_table_is_found() {
    let (mut bench, reader) = reader(Guarantee::AtLeastOnce);
    let (fitting, small) = (table(&mut bench, "fitting", 2), table(&mut bench, "small", 1));
    assert!(bench.core.misfit().is_none(), "nobody has said what is written where");
    bench.core.couple(reader, &[fitting]);
    assert!(bench.core.misfit().is_none());
    bench.core.couple(reader, &[fitting, small]);
    let sentence = bench.core.misfit().unwrap().to_string();
    for part in ["topic in has 2", "table small", "reader", "has 1", "small-changelog", "partitions=2", "group_by"] {
        assert!(sentence.contains(part), "{part:?} is missing in {sentence:?}");
    }
}

#[test]
fn a_topic_of_a_pattern_may_go_and_come_back() {
    for guarantee in BOTH {
        let (mut bench, reader) = reader(guarantee);
        let tenant = bench.topic("tenant", 1);
        bench.write("tenant", 0, &["a", "b"]);
        bench.core.extend(reader, &[tenant]).unwrap();
        bench.turn();
        let ticket = bench.event(reader);
        assert!(bench.core.needs("tenant"));
        bench.core.loosen(reader);
        assert!(!bench.core.needs("tenant"));
        bench.core.handle(LogEvent::Gone { topic: "tenant".into(), why: "deleted".into() }, bench.now);
        bench.turn();
        assert!(!bench.core.is_current(&ticket), "its events are nobody's any more");
        assert_eq!((bench.core.in_flight(), bench.joins.last().unwrap()), (0, &vec!["in".to_owned()]));
        assert_eq!(bench.core.topics_of(reader).count(), 1);
        // The group takes back what we have given up already.
        bench.core.handle(LogEvent::Revoking(vec![TopicPartition::new("tenant", 0)]), bench.now);
        bench.turn();
        assert_eq!(bench.released, [TopicPartition::new("tenant", 0)]);
        bench.write("in", 0, &["c"]);
        bench.turn();
        assert_eq!(bench.drain(reader), ["c"]);
        bench.records.insert(TopicPartition::new("tenant", 0), Vec::new());
        bench.write("tenant", 0, &["new"]);
        bench.core.extend(reader, &[tenant]).unwrap();
        bench.turn();
        assert_eq!(bench.drain(reader), ["new"]);
    }
}
