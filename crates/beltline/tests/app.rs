//! Apps through the public face, in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use beltline::prelude::*;
use beltline::{ErrorKind, Last};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    amount: f64,
}

fn order(customer: &str, amount: f64) -> Order {
    Order { customer: customer.into(), amount }
}

#[test]
fn events_of_one_key_come_together_and_count_in_one_entry() {
    let mut app = App::new("shop");
    let orders = app.topic::<Order>("orders");
    let big = app.topic::<Order>("big-orders");
    let spent = app.table::<String, f64>("spent");
    app.on(&orders).by(|order| &order.customer).run(move |order, belt| {
        *belt.table(&spent).entry(&order.customer)? += order.amount;
        Ok(())
    });
    app.on(&orders).to("big-orders").map(|order| (order.amount > 1000.0).then_some(order));
    let mut belt = beltline::testing::start(app).unwrap();
    for amount in [1.0, 2000.0, 3.5] {
        belt.send(&orders, &(), &order("ada", amount)).unwrap();
        belt.send(&orders, &(), &order("caf\u{e9}", amount)).unwrap();
    }
    belt.drain().unwrap();
    assert_eq!(belt.table(&spent).get("ada").unwrap(), Some(2004.5));
    assert_eq!(belt.table(&spent).get("caf\u{e9}").unwrap(), Some(2004.5));
    assert_eq!(belt.table(&spent).get("nobody").unwrap(), None);
    assert_eq!(belt.table(&spent).len().unwrap(), 2);
    assert_eq!(belt.values(&big).unwrap().len(), 2);
    assert_eq!(belt.notices(), Vec::<String>::new());
}

#[test]
fn a_key_in_the_wrong_partition_is_told_about_once() {
    let mut app = App::new("shop");
    let orders = app.topic::<Order>("orders");
    let spent = app.table::<String, f64>("spent");
    app.on(&orders).run(move |order, belt| {
        *belt.table(&spent).entry(&order.customer)? += order.amount;
        Ok(())
    });
    let mut belt = beltline::testing::start(app).unwrap();
    for _ in 0..20 {
        belt.send(&orders, &(), &order("ada", 1.0)).unwrap();
    }
    belt.drain().unwrap();
    let notices = belt.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("spent") && notices[0].contains("ada") && notices[0].contains("`by`"), "{notices:?}");
}

#[test]
fn values_of_every_shape_survive_a_table() {
    let mut app = App::new("shapes");
    let keys = app.topic::<i64>("keys");
    let orders = app.table::<(String, i64), Option<Order>>("orders");
    let lists = app.table::<i64, Vec<u64>>("lists");
    app.on(&keys).run(move |number, belt| {
        let key = (format!("key {number}"), number);
        belt.table(&orders).insert(&key, &Some(order("\u{1F600}", 1e16)))?;
        belt.table(&lists).entry(&number)?.push(u64::MAX);
        belt.table(&lists).entry(&number)?.push(1);
        if number == 3 {
            assert!(belt.table(&orders).remove(&key)?);
        }
        Ok(())
    });
    let mut belt = beltline::testing::start(app).unwrap();
    (1..=3).for_each(|number| belt.send(&keys, &number, &number).unwrap());
    belt.drain().unwrap();
    assert_eq!(belt.table(&orders).get(&("key 1".into(), 1)).unwrap(), Some(Some(order("\u{1F600}", 1e16))));
    assert_eq!(belt.table(&orders).get(&("key 3".into(), 3)).unwrap(), None);
    let mut entries = belt.table(&lists).entries().unwrap();
    entries.sort();
    assert_eq!(entries, [(1, vec![u64::MAX, 1]), (2, vec![u64::MAX, 1]), (3, vec![u64::MAX, 1])]);
}

#[test]
fn a_handler_sees_key_headers_and_address() {
    let mut app = App::new("address");
    app.partitions(1);
    let words = app.topic::<String>("words");
    let seen = app.topic::<String>("seen");
    app.on(&words).to("seen").map(Some);
    let target = app.topic::<String>("addresses");
    let sink = target.clone();
    app.on(&words).run(move |word, belt| {
        let key = belt.key().map(|key| String::from_utf8_lossy(key).into_owned());
        let place = belt.topic_partition().unwrap().to_string();
        let text = format!("{word} {key:?} {place} {:?} {}", belt.offset(), belt.headers().count());
        belt.send(&sink, &(), &text)?;
        Ok(())
    });
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&words, "k", &"hello".to_owned()).unwrap();
    belt.drain().unwrap();
    assert_eq!(belt.values(&seen).unwrap(), ["hello"]);
    assert_eq!(belt.values(&target).unwrap(), ["hello Some(\"k\") words[0] Some(0) 0"]);
}

fn failing_app(policy: OnError, fails: u32) -> (App, Topic<u32>, Topic<u32>, Arc<AtomicU32>) {
    let mut app = App::new("failing");
    app.partitions(1);
    let numbers = app.topic::<u32>("numbers");
    let bad = app.topic::<u32>("bad");
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    app.on(&numbers).named("doubler").on_error(policy).run(move |number, _| {
        if number == 13 && counter.fetch_add(1, Ordering::SeqCst) < fails {
            return Err("unlucky".into());
        }
        Ok(())
    });
    (app, numbers, bad, runs)
}

#[test]
fn a_failed_event_is_skipped_and_named() {
    let (app, numbers, _, _) = failing_app(OnError::Skip, u32::MAX);
    let mut belt = beltline::testing::start(app).unwrap();
    [1, 13, 2].iter().for_each(|number| belt.send(&numbers, &(), number).unwrap());
    belt.send_bytes(&numbers, None, Some(b"{broken")).unwrap();
    belt.send_bytes(&numbers, None, None).unwrap();
    belt.drain().unwrap();
    let notices = belt.notices().join("\n");
    assert!(notices.contains("handler doubler failed on numbers[0]@1, skipped: unlucky"), "{notices}");
    assert!(notices.contains("numbers[0]@3") && notices.contains("the value is no u32 in JSON"), "{notices}");
    assert!(notices.contains("numbers[0]@4"), "{notices}");
}

#[test]
fn a_failed_event_stops_the_app_where_that_is_the_policy() {
    let (app, numbers, _, _) = failing_app(OnError::Fail, u32::MAX);
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&numbers, &(), &13).unwrap();
    let error = belt.drain().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Handler);
    assert!(error.to_string().contains("numbers[0]@0") && error.to_string().contains("unlucky"), "{error}");
}

#[test]
fn a_failed_event_is_retried_and_then_goes_to_the_dead_letters() {
    let zero = Duration::ZERO;
    let (app, numbers, bad, runs) =
        failing_app(OnError::Retry { times: 2, backoff: zero, last: Last::DeadLetter("bad".into()) }, 2);
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&numbers, &(), &13).unwrap();
    belt.drain().unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), belt.values(&bad).unwrap()), (3, vec![]));
    let (app, numbers, bad, runs) =
        failing_app(OnError::Retry { times: 2, backoff: zero, last: Last::DeadLetter("bad".into()) }, u32::MAX);
    let mut belt = beltline::testing::start(app).unwrap();
    belt.send(&numbers, &(), &13).unwrap();
    belt.drain().unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), belt.values(&bad).unwrap()), (3, vec![13]));
}

#[test]
fn timers_send_and_read_but_do_not_write() {
    let mut app = App::new("beats");
    let beats = app.topic::<u32>("beats");
    let seen = app.table::<String, u32>("seen");
    let target = beats.clone();
    app.on(&beats).run(move |beat, belt| {
        *belt.table(&seen).entry("all")? += beat;
        Ok(())
    });
    app.every(Duration::from_secs(10), move |belt| {
        let so_far = belt.table(&seen).get("all")?.unwrap_or(0);
        let outside = belt.table(&seen).insert("all", &7).unwrap_err();
        assert!(outside.to_string().contains("outside of an event"), "{outside}");
        belt.send(&target, "all", &(so_far + 1))?;
        Ok(())
    });
    let mut belt = beltline::testing::start(app).unwrap();
    for expected in [1, 3, 7] {
        belt.advance(Duration::from_secs(10)).unwrap();
        assert_eq!(belt.table(&seen).get("all").unwrap(), Some(expected));
    }
}

#[test]
fn a_handle_of_another_app_is_refused() {
    let mut other = App::new("other");
    other.topic::<u32>("a");
    let foreign = other.topic::<u32>("b");
    let mut app = App::new("app");
    let numbers = app.topic::<u32>("numbers");
    let target = foreign.clone();
    app.on(&numbers).on_error(OnError::Fail).run(move |number, belt| Ok(belt.send(&target, &(), &number)?));
    let mut belt = beltline::testing::start(app).unwrap();
    assert_eq!(belt.send(&foreign, &(), &1).unwrap_err().kind(), ErrorKind::Usage);
    belt.send(&numbers, &(), &1).unwrap();
    assert!(belt.drain().unwrap_err().to_string().contains("another app"));
}
