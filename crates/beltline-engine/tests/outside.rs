//! Sends that no event makes: nobody would send them again, so they outlive a unit that is rolled back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::time::Duration;

use beltline_engine::{Guarantee, Origin, Outgoing, Receipt, Sent, SubscriptionId, TopicId};
use beltline_types::{Append, ErrorKind};
use support::{Bench, options};

const BOTH: [Guarantee; 2] = [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce];

const TIMER: Origin = Origin::Outside(1);
const WEB_VIEW: Origin = Origin::Outside(2);

fn bench(guarantee: Guarantee) -> (Bench, SubscriptionId, TopicId) {
    let mut bench = Bench::new(options(guarantee));
    let (input, output) = (bench.topic("in", 1), bench.topic("out", 1));
    let reader = bench.core.subscribe("reader", &[input]).unwrap();
    bench.write("in", 0, &["a", "b", "c"]);
    bench.turn();
    (bench, reader, output)
}

fn send(bench: &mut Bench, topic: TopicId, value: &str, origin: Origin) -> Sent {
    let value = Some(value.as_bytes());
    let record = Outgoing { partition: None, key: None, value, headers: &[], timestamp: 5 };
    bench.core.send(topic, &record, origin).unwrap()
}

fn values(append: &Append) -> Vec<String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    append.records.records().map(|record| text(record.value)).collect()
}

fn receipts(bench: &mut Bench) -> Vec<Receipt> {
    std::iter::from_fn(|| bench.core.poll_receipt()).collect()
}

/// Where the send with this number is; the one receipt that knows of it says so.
fn offset_of(receipts: &[Receipt], sent: Sent) -> Option<i64> {
    let holds = |receipt: &&Receipt| {
        (receipt.first_sequence..receipt.first_sequence + u64::from(receipt.count)).contains(&sent.sequence)
    };
    let found: Vec<_> = receipts.iter().filter(holds).collect();
    assert_eq!(found.len(), 1, "{sent:?} in {receipts:?}");
    found[0].offset(sent.sequence)
}

#[test]
fn what_nobody_would_send_again_goes_with_the_next_unit_in_its_order() {
    for guarantee in BOTH {
        let (mut bench, reader, output) = bench(guarantee);
        let ticket = bench.event(reader);
        let sealed = [
            send(&mut bench, output, "outside 1", TIMER),
            send(&mut bench, output, "event 1", Origin::Event),
            send(&mut bench, output, "outside 2", WEB_VIEW),
        ];
        bench.core.done(ticket);
        bench.pass(100);
        let open = [
            send(&mut bench, output, "event 2", Origin::Event),
            send(&mut bench, output, "outside 3", TIMER),
            send(&mut bench, output, "outside 4", TIMER),
        ];
        assert_eq!(values(&bench.refuse(ErrorKind::Aborted).request.appends[0]), ["outside 1", "event 1", "outside 2"]);
        let refused = receipts(&mut bench);
        assert!(refused.iter().all(|receipt| receipt.appended.is_none() && receipt.comes_again));
        assert_eq!(refused.iter().map(|receipt| receipt.count).sum::<u32>(), 2);
        for of_event in [sealed[1], open[0]] {
            assert_eq!(offset_of(&refused, of_event), None);
        }

        let later = send(&mut bench, output, "outside 5", WEB_VIEW);
        bench.pass(1000);
        let written = bench.accept();
        let expected = ["outside 1", "outside 2", "outside 3", "outside 4", "outside 5"];
        assert_eq!(values(&written.request.appends[0]), expected);
        let receipts = receipts(&mut bench);
        for (place, sent) in [sealed[0], sealed[2], open[1], open[2], later].into_iter().enumerate() {
            assert_eq!(offset_of(&receipts, sent), Some(place as i64));
        }
        assert_eq!(bench.core.health().outbox_bytes, 0);
    }
}

#[test]
fn it_is_sent_again_until_it_is_written() {
    let (mut bench, _, output) = bench(Guarantee::ExactlyOnce);
    let sent = send(&mut bench, output, "outside", TIMER);
    for kind in [ErrorKind::Aborted, ErrorKind::Fenced, ErrorKind::Unavailable] {
        bench.pass(1000);
        assert_eq!(values(&bench.refuse(kind).request.appends[0]), ["outside"]);
        assert!(bench.core.health().outbox_bytes > 0);
    }
    bench.pass(1000);
    bench.accept();
    assert_eq!(offset_of(&receipts(&mut bench), sent), Some(0));
    assert_eq!(bench.core.health().outbox_bytes, 0);
}

#[test]
fn what_a_timer_sends_and_changes_counts_as_a_whole_where_events_count_once() {
    for guarantee in BOTH {
        let (mut bench, _, output) = bench(guarantee);
        let tied = send(&mut bench, output, "of the timer", TIMER);
        send(&mut bench, output, "of a web view", WEB_VIEW);
        bench.core.changed_outside(1);
        bench.pass(100);
        // The change of the next unit is another one's.
        bench.core.changed_outside(3);
        bench.refuse(ErrorKind::Aborted);
        let refused = receipts(&mut bench);
        bench.pass(1000);
        let written = values(&bench.accept().request.appends[0]);
        match guarantee {
            Guarantee::ExactlyOnce => {
                assert_eq!(written, ["of a web view"]);
                assert_eq!(offset_of(&refused, tied), None);
                assert!(!refused[0].comes_again);
            }
            Guarantee::AtLeastOnce => {
                assert_eq!(written, ["of the timer", "of a web view"]);
                assert_eq!(refused, []);
            }
        }
        // A unit later nothing ties them any more.
        receipts(&mut bench);
        send(&mut bench, output, "of the timer again", TIMER);
        bench.pass(1000);
        bench.refuse(ErrorKind::Aborted);
        bench.pass(1000);
        assert_eq!(values(&bench.accept().request.appends[0]), ["of the timer again"]);
    }
}

#[test]
fn the_last_unit_is_tried_again_while_there_is_time() {
    let (mut bench, reader, output) = bench(Guarantee::ExactlyOnce);
    let ticket = bench.event(reader);
    bench.core.done(ticket);
    let sent = send(&mut bench, output, "outside", TIMER);
    bench.core.stop(bench.now + Duration::from_secs(10));
    bench.turn();
    bench.refuse(ErrorKind::Aborted);
    assert!(!bench.core.is_stopped() && bench.commits.is_empty(), "after a pause");
    assert!(bench.core.next_deadline().unwrap() > bench.now && !bench.core.wants_turn());
    bench.pass(200);
    bench.accept();
    assert!(bench.core.is_stopped());
    assert_eq!(offset_of(&receipts(&mut bench), sent), Some(0));
}

#[test]
fn the_deadline_of_a_stop_ends_the_trying() {
    let (mut bench, _, output) = bench(Guarantee::ExactlyOnce);
    send(&mut bench, output, "outside", TIMER);
    bench.core.stop(bench.now + Duration::from_secs(1));
    bench.turn();
    bench.refuse(ErrorKind::Aborted);
    bench.pass(1000);
    bench.refuse(ErrorKind::Aborted);
    assert!(bench.core.is_stopped());
}
