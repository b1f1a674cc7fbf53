//! Handlers that read every topic of a pattern, also those that come up while the app runs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use beltline::Running;
use beltline::prelude::*;
use beltline_attach::AttachOptions;
use beltline_log::Log;
use beltline_types::{Append, BatchBuilder, CommitRequest, TopicPartition, TopicSpec};

/// Where events came from, and what they were.
type Seen = Rc<RefCell<Vec<String>>>;

fn note(seen: &Seen) -> impl FnMut(u32, &mut Belt<'_>) -> HandlerResult + 'static {
    let seen = seen.clone();
    move |value, belt| {
        let place = belt.topic_partition().map(|place| place.topic.to_string()).unwrap_or_default();
        seen.borrow_mut().push(format!("{place} {value}"));
        Ok(())
    }
}

#[test]
fn topics_that_match_are_read_and_no_others() {
    let mut app = App::new("shops");
    let seen = Seen::default();
    let (there, other) = (app.topic::<u32>("orders-a"), app.topic::<u32>("invoices"));
    app.on_pattern(|name| name.starts_with("orders-")).run(note(&seen));
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&there, &(), &1).unwrap();
    belt.send(&other, &(), &2).unwrap();
    belt.drain().unwrap();
    let late = belt.create_topic::<u32>("orders-b", 3).unwrap();
    belt.create_topic::<u32>("late-orders", 1).unwrap();
    belt.send(&late, &(), &3).unwrap();
    belt.drain().unwrap();
    assert_eq!(*seen.borrow(), ["orders-a 1", "orders-b 3"]);
    assert_eq!(belt.notices(), ["pattern-0-0 reads more topics: orders-b"]);
}

#[test]
fn a_pattern_means_no_topic_that_the_app_keeps_for_itself() {
    let mut app = App::new("shops");
    let numbers = app.topic::<u32>("numbers");
    let counts = app.table::<String, u32>("counts");
    let everything = Seen::default();
    app.on(&numbers).by_value(|number| number.to_string()).run(move |number, belt| {
        *belt.table(&counts).entry(&number.to_string())? += 1;
        Ok(())
    });
    app.on_pattern(|_| true).by_value(|number: &u32| number.to_string()).run(note(&everything));
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&numbers, &(), &7).unwrap();
    belt.drain().unwrap();
    assert_eq!(*everything.borrow(), ["shops-pattern-0-0-pattern-0-repartition 7"]);
}

/// Makes a topic from outside of the app, and writes one record.
fn write_from_outside(directory: &Path, topic: &str, value: &str) {
    let log = beltline_attach::open(directory, AttachOptions::observing("outside")).unwrap().log;
    log.create_topics(&[TopicSpec::new(topic, 1)]).unwrap();
    let mut records = BatchBuilder::default();
    records.push(None, Some(value.as_bytes()), &[], -1);
    let append = Append { target: TopicPartition::new(topic, 0), records };
    log.commit(CommitRequest { appends: vec![append], ..CommitRequest::default() }).unwrap();
}

fn start(directory: &Path, seen: &Seen) -> Running {
    let mut app = App::new("shops");
    app.directory(directory);
    app.on_pattern(|name| name.starts_with("orders-")).run(note(seen));
    app.start().unwrap()
}

#[test]
fn topics_that_others_make_later_are_found_and_read_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Seen::default();
    let mut running = start(directory.path(), &seen);
    for (topic, value) in [("orders-a", "1"), ("others", "2"), ("orders-b", "3")] {
        write_from_outside(directory.path(), topic, value);
    }
    while seen.borrow().len() < 2 {
        running.turn(Duration::from_millis(50)).unwrap();
    }
    running.stop().unwrap();
    seen.borrow_mut().sort();
    assert_eq!(*seen.borrow(), ["orders-a 1", "orders-b 3"]);

    let mut running = start(directory.path(), &seen);
    write_from_outside(directory.path(), "orders-a", "4");
    while seen.borrow().len() < 3 {
        running.turn(Duration::from_millis(50)).unwrap();
    }
    running.stop().unwrap();
    assert_eq!(seen.borrow()[2..], ["orders-a 4"]);
}
