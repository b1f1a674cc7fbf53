//! Partitions come, are handed over, and get lost, while the others go on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use beltline_engine::{
    CoreOptions, Guarantee, LogCommand, LogEvent, Next, PartitionOffsets, Pause, SubscriptionId, TableId, TableSpec,
};
use beltline_table::{Key, Value, ValueForm};
use beltline_types::{Batch, BatchBuilder, ErrorKind, TopicPartition};
use support::{Bench, options};

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

struct Member {
    bench: Bench,
    reader: SubscriptionId,
    table: TableId,
}

fn part(partition: u32) -> TopicPartition {
    TopicPartition::new("in", partition)
}

fn parts(numbers: &[u32]) -> Vec<TopicPartition> {
    numbers.iter().map(|number| part(*number)).collect()
}

/// A reader of three partitions with a table; in each wait three records, in batches of one so that partitions alternate.
fn member(options: CoreOptions, assigned: &[u32]) -> Member {
    let mut bench = Bench::new(options);
    bench.plays_group = true;
    let topic = bench.topic("in", 3);
    bench.topic("out", 1);
    let reader = bench.core.subscribe("reader", &[topic]).unwrap();
    let spec = TableSpec { name: "t".into(), changelog: "t-changelog".into(), partitions: 3, values: ValueForm::Json };
    let table = bench.core.add_table(spec);
    for partition in 0..3 {
        ["a", "b", "c"].iter().for_each(|value| bench.write("in", partition, &[value]));
    }
    bench.turn();
    assert_eq!(bench.joins, [["in"]]);
    let mut member = Member { bench, reader, table };
    member.tell(LogEvent::Assigned(parts(assigned)));
    member
}

impl Member {
    fn tell(&mut self, event: LogEvent) {
        self.bench.core.handle(event, self.bench.now);
        self.bench.turn();
    }

    /// Takes the next event, writes its shard and sends a record.
    fn take(&mut self) -> beltline_engine::Ticket {
        let ticket = self.bench.event(self.reader);
        let partition = self.bench.core.partition(&ticket).unwrap();
        let shard = self.bench.core.shard_mut(self.table, partition).unwrap();
        shard.insert(Key::Text("k"), Value::Int(ticket.offset() + 1));
        let out = self.bench.core.topic_id("out").unwrap();
        self.bench.core.emit(out, Some(0), None, Some(b"seen"), &[], 7).unwrap();
        ticket
    }

    /// Takes events until one is of this partition; finishes the others.
    fn take_of(&mut self, partition: u32) -> beltline_engine::Ticket {
        loop {
            let ticket = self.take();
            if self.bench.core.partition(&ticket) == Some(partition) {
                return ticket;
            }
            self.bench.core.done(ticket);
        }
    }

    fn partitions_seen(&mut self) -> Vec<u32> {
        let mut seen = Vec::new();
        while let Next::Event(ticket) = self.bench.core.next(self.reader) {
            seen.push(self.bench.core.partition(&ticket).unwrap());
            self.bench.core.done(ticket);
            self.bench.turn();
        }
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

#[test]
fn only_assigned_partitions_are_read_restored_and_listed() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[1]);
    assert!(member.bench.core.shards_ready());
    assert!(member.bench.core.shard(member.table, 0).is_none());
    assert!(member.bench.core.shard(member.table, 1).is_some());
    let health = member.bench.core.health();
    assert_eq!(health.partitions.iter().map(|one| one.partition.partition).collect::<Vec<_>>(), [1]);
    assert_eq!((health.tables[0].ready, health.tables[0].partitions), (1, 1));
    assert_eq!(member.partitions_seen(), [1]);
    member.bench.pass(100);
    member.bench.accept();
    assert!(member.bench.core.is_idle());
    member.tell(LogEvent::Assigned(parts(&[2])));
    assert_eq!(member.partitions_seen(), [2]);
}

#[test]
fn nothing_is_idle_or_ready_before_the_group_has_answered() {
    let mut bench = Bench::new(options(Guarantee::AtLeastOnce));
    bench.plays_group = true;
    let topic = bench.topic("in", 1);
    bench.core.subscribe("reader", &[topic]).unwrap();
    bench.turn();
    assert!(!bench.core.is_idle() && !bench.core.shards_ready() && bench.core.health().joining);
    bench.core.handle(LogEvent::Assigned(Vec::new()), bench.now);
    assert!(bench.core.is_idle() && bench.core.shards_ready());
}

#[test]
fn a_partition_is_finished_and_committed_before_it_is_released() {
    for guarantee in BOTH {
        let mut member = member(options(guarantee), &[0, 1]);
        let mine = member.take_of(0);
        member.tell(LogEvent::Revoking(parts(&[0])));
        assert!(member.bench.released.is_empty());
        let paused = member.bench.core.health().partitions[0].paused.clone();
        assert!(matches!(paused, Some(Pause::HandingOver { .. })), "{paused:?}");
        // The other one goes on.
        let other = member.take();
        assert_eq!(member.bench.core.partition(&other), Some(1));
        member.bench.core.done(mine);
        assert!(member.bench.core.wants_turn());
        member.bench.turn();
        member.bench.core.done(other);
        member.bench.turn();
        assert!(member.bench.released.is_empty(), "not before the log has said yes");
        let unit = member.bench.accept();
        assert!(unit.request.offsets.contains(&(part(0), 1)), "{:?}", unit.request.offsets);
        assert!(unit.tables.iter().any(|change| change.partition == 0));
        assert_eq!(member.bench.released, parts(&[0]));
        assert_eq!(member.bench.dropped_shards, [0]);
        assert!(member.bench.core.shard(member.table, 0).is_none());
        assert_eq!(member.partitions_seen(), [1]);
        assert_eq!(member.bench.core.in_flight(), 0);
    }
}

#[test]
fn a_partition_nobody_works_on_is_released_at_once() {
    for guarantee in BOTH {
        let mut member = member(options(guarantee), &[0, 1]);
        let busy = member.take();
        let idle = 1 - member.bench.core.partition(&busy).unwrap();
        member.tell(LogEvent::Revoking(parts(&[idle])));
        assert_eq!(member.bench.released, parts(&[idle]));
        assert!(member.bench.commits.is_empty());
        assert!(member.bench.core.is_current(&busy));
    }
}

#[test]
fn a_hand_over_waits_for_the_unit_on_its_way() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0]);
    let ticket = member.take();
    member.bench.core.done(ticket);
    member.bench.pass(100);
    assert_eq!(member.bench.commits.len(), 1);
    member.tell(LogEvent::Revoking(parts(&[0])));
    assert!(member.bench.released.is_empty());
    member.bench.accept();
    assert_eq!(member.bench.released, parts(&[0]));
}

#[test]
fn an_aborted_hand_over_gives_back_what_was_committed_before() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0]);
    let ticket = member.take();
    member.bench.core.done(ticket);
    member.tell(LogEvent::Revoking(parts(&[0])));
    member.bench.refuse(ErrorKind::Aborted);
    assert_eq!(member.bench.released, parts(&[0]));
    assert_eq!(member.bench.committed.get(&part(0)), None);
    assert_eq!(member.bench.core.next(member.reader), Next::Wait);
}

#[test]
fn all_readers_of_a_partition_stand_at_the_same_place_when_it_goes() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0]);
    let topic = member.bench.core.topic_id("in").unwrap();
    let slow = member.bench.core.subscribe("slow", &[topic]).unwrap();
    member.bench.turn();
    for _ in 0..2 {
        let ticket = member.take();
        member.bench.core.done(ticket);
    }
    member.tell(LogEvent::Revoking(parts(&[0])));
    assert_eq!(member.bench.core.next(member.reader), Next::Wait);
    assert!(member.bench.core.is_worth_asking(slow));
    assert_eq!(member.bench.drain(slow), ["a", "b"]);
    member.bench.turn();
    assert_eq!(member.bench.accept().request.offsets, [(part(0), 2)]);
    assert_eq!(member.bench.released, parts(&[0]));
}

#[test]
fn at_the_deadline_a_partition_goes_without_its_unfinished_events() {
    for guarantee in BOTH {
        let mut member = member(CoreOptions { hand_over_deadline_ms: 1000, ..options(guarantee) }, &[0, 1]);
        let first = member.take_of(0);
        member.bench.core.done(first);
        let stuck = member.take_of(0);
        member.tell(LogEvent::Revoking(parts(&[0])));
        assert!(member.bench.core.next_deadline().is_some());
        while let Some(unit) = (!member.bench.commits.is_empty()).then(|| member.bench.accept()) {
            assert_eq!(guarantee, Guarantee::AtLeastOnce, "{unit:?}");
        }
        member.bench.pass(1000);
        let told: Vec<String> = std::iter::from_fn(|| member.bench.core.poll_notice()).collect();
        assert!(told.iter().any(|notice| notice.contains("in[0]")), "{told:?}");
        assert!(!member.bench.core.is_current(&stuck));
        match guarantee {
            Guarantee::AtLeastOnce => {
                member.bench.pass(100);
                while !member.bench.commits.is_empty() {
                    member.bench.accept();
                }
                assert_eq!(member.bench.committed[&part(0)], 1);
            }
            Guarantee::ExactlyOnce => assert_eq!(member.bench.committed.get(&part(0)), None),
        }
        assert_eq!(member.bench.released, parts(&[0]));
        member.bench.core.done(stuck);
        assert_eq!(member.partitions_seen(), [1]);
    }
}

#[test]
fn a_lost_partition_takes_the_open_unit_with_it_only_where_events_count_once() {
    for guarantee in BOTH {
        let mut member = member(options(guarantee), &[0, 1]);
        let lost = member.take_of(0);
        let kept = member.take_of(1);
        member.bench.core.done(lost);
        member.tell(LogEvent::Lost(parts(&[0])));
        assert!(member.bench.released.is_empty());
        assert_eq!(member.bench.dropped_shards, [0]);
        assert!(!member.bench.core.is_current(&lost));
        assert_eq!(member.bench.core.is_current(&kept), guarantee == Guarantee::AtLeastOnce);
        member.bench.core.done(kept);
        assert_eq!(member.partitions_seen(), [1]);
        member.bench.pass(1000);
        let unit = member.bench.accept();
        assert_eq!(unit.request.offsets, [(part(1), 3)]);
        assert!(unit.tables.iter().all(|change| change.partition == 1));
        let outputs = unit.request.appends.iter().filter(|append| &*append.target.topic == "out").count();
        assert_eq!(outputs, usize::from(guarantee == Guarantee::AtLeastOnce));
    }
}

#[test]
fn losing_a_partition_nobody_touched_takes_nothing_back() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0, 1]);
    let kept = member.take();
    let other = 1 - member.bench.core.partition(&kept).unwrap();
    member.tell(LogEvent::Lost(parts(&[other])));
    assert!(member.bench.core.is_current(&kept));
    assert!(!member.bench.core.is_taken_back(kept.epoch()));
    assert_eq!(member.bench.core.health().counters.lost, 1);
}

#[test]
fn the_answer_of_a_commit_on_its_way_decides_when_its_partition_gets_lost() {
    for happened in [true, false] {
        let mut member = member(options(Guarantee::ExactlyOnce), &[0, 1]);
        let (first, second) = (member.take_of(0), member.take_of(1));
        member.bench.core.done(first);
        member.bench.core.done(second);
        member.bench.pass(100);
        assert_eq!(member.bench.commits.len(), 1);
        let (open, kept) = (member.take_of(0), member.take_of(1));
        member.tell(LogEvent::Lost(parts(&[0])));
        assert!(!member.bench.core.is_current(&open));
        // Neither can do anything more, although the one's lane has not been rewound yet.
        assert!(member.bench.core.is_taken_back(open.epoch()) && member.bench.core.is_taken_back(kept.epoch()));
        assert_eq!(member.bench.core.next(member.reader), Next::Wait, "what comes now would be taken back");
        if happened {
            member.bench.accept();
        } else {
            member.bench.refuse(ErrorKind::Aborted);
        }
        assert!(!member.bench.core.is_current(&kept));
        let expected = if happened { member.bench.committed[&part(1)] } else { 0 };
        let again = member.bench.event(member.reader);
        assert_eq!(again.offset(), expected);
        assert!(!member.bench.core.is_taken_back(again.epoch()));
        assert_eq!(member.bench.committed.contains_key(&part(0)), happened);
    }
}

#[test]
fn a_partition_that_comes_back_begins_where_others_left_it() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0]);
    let ticket = member.take();
    let version = member.bench.core.shard(member.table, 0).unwrap().version();
    member.tell(LogEvent::Lost(parts(&[0])));
    member.bench.committed.insert(part(0), 2);
    member.tell(LogEvent::Assigned(parts(&[0])));
    let again = member.bench.event(member.reader);
    assert_eq!(again.offset(), 2);
    member.bench.core.done(ticket);
    assert_eq!(member.bench.core.in_flight(), 1);
    let shard = member.bench.core.shard(member.table, 0).unwrap();
    assert!(shard.is_empty() && shard.version() > version, "a place kept from before must look stale");
}

#[test]
fn answers_that_belong_to_an_earlier_assignment_are_ignored() {
    let mut bench = Bench::new(options(Guarantee::ExactlyOnce));
    let topic = bench.topic("in", 1);
    bench.core.subscribe("reader", &[topic]).unwrap();
    bench.core.tick(bench.now);
    let lookup = |bench: &mut Bench| {
        std::iter::from_fn(|| bench.core.poll_command())
            .find_map(|command| match command {
                LogCommand::LookupOffsets { lookup, .. } => Some(lookup),
                _ => None,
            })
            .unwrap()
    };
    while bench.core.poll_command().is_some() {}
    bench.core.handle(LogEvent::Assigned(parts(&[0])), bench.now);
    let first = lookup(&mut bench);
    bench.core.handle(LogEvent::Lost(parts(&[0])), bench.now);
    bench.core.handle(LogEvent::Assigned(parts(&[0])), bench.now);
    let second = lookup(&mut bench);
    let found = |committed| {
        let range = beltline_types::OffsetRange { start: 0, end: 9 };
        vec![PartitionOffsets { partition: part(0), committed: Some(committed), range }]
    };
    bench.core.handle(LogEvent::Offsets { lookup: first, found: found(3) }, bench.now);
    assert_eq!(bench.core.health().partitions[0].position, None);
    bench.core.handle(LogEvent::Offsets { lookup: second, found: found(5) }, bench.now);
    assert_eq!(bench.core.health().partitions[0].position, Some(5));
}

#[test]
fn a_fenced_member_drops_everything_and_joins_again() {
    for guarantee in BOTH {
        let mut member = member(options(guarantee), &[0, 1]);
        let ticket = member.take_of(0);
        member.bench.core.done(ticket);
        member.bench.pass(100);
        member.bench.refuse(ErrorKind::Fenced);
        assert_eq!(member.bench.joins, [["in"], ["in"]]);
        assert_eq!(member.bench.dropped_shards, [0, 1]);
        let health = member.bench.core.health();
        assert_eq!((health.counters.fenced, health.partitions.len(), health.joining), (1, 0, true));
        assert!(
            std::iter::from_fn(|| member.bench.core.poll_notice()).any(|notice| notice.contains("taken the place"))
        );
        member.tell(LogEvent::Assigned(parts(&[2])));
        assert_eq!(member.partitions_seen(), [2]);
    }
}

#[test]
fn an_unknown_outcome_is_read_from_the_log_where_events_count_once() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[0]);
    let ticket = member.take();
    member.bench.core.done(ticket);
    member.bench.pass(100);
    // The log has the unit, and the answer got lost.
    member.bench.committed.insert(part(0), 1);
    member.bench.refuse(ErrorKind::Unavailable);
    assert!(member.bench.core.health().failure.is_none());
    assert_eq!(member.bench.event(member.reader).offset(), 1);
    assert_eq!(member.bench.joins.len(), 1);
}

#[test]
fn after_an_unknown_outcome_at_least_once_says_again_where_it_stands() {
    let mut member = member(options(Guarantee::AtLeastOnce), &[0]);
    let ticket = member.take();
    member.bench.core.done(ticket);
    member.bench.pass(100);
    member.bench.committed.insert(part(0), 1);
    member.bench.refuse(ErrorKind::Unavailable);
    // The event is in a handler's hands again, its table write goes with the next unit, and the log must not go on
    // behind it.
    let _again = member.take();
    member.bench.pass(1000);
    let unit = member.bench.accept();
    assert_eq!((unit.request.offsets, unit.tables.len()), (vec![(part(0), 0)], 1));
}

#[test]
fn topics_that_come_and_go_change_the_membership() {
    let mut member = member(options(Guarantee::AtLeastOnce), &[0]);
    let more = member.bench.topic("more", 1);
    let second = member.bench.core.subscribe("second", &[more]).unwrap();
    member.bench.turn();
    assert_eq!(member.bench.joins.last().unwrap(), &["in", "more"]);
    assert!(!member.bench.core.is_idle());
    member.tell(LogEvent::Assigned(Vec::new()));
    member.bench.core.unsubscribe(second);
    member.bench.turn();
    assert_eq!(member.bench.joins.last().unwrap(), &["in"]);
}

#[test]
fn shards_beyond_the_topics_belong_to_their_changelog() {
    let mut bench = Bench::new(options(Guarantee::AtLeastOnce));
    bench.plays_group = true;
    let spec = TableSpec { name: "t".into(), changelog: "t-changelog".into(), partitions: 2, values: ValueForm::Json };
    let table = bench.core.add_table(spec);
    bench.turn();
    assert_eq!(bench.joins, [["t-changelog"]]);
    let given = (0..2).map(|partition| TopicPartition::new("t-changelog", partition)).collect();
    bench.core.handle(LogEvent::Assigned(given), bench.now);
    bench.turn();
    assert!(bench.core.shards_ready());
    bench.core.shard_mut(table, 1).unwrap().insert(Key::Text("k"), Value::Int(1));
    bench.core.handle(LogEvent::Revoking(vec![TopicPartition::new("t-changelog", 1)]), bench.now);
    bench.turn();
    assert!(bench.released.is_empty());
    bench.accept();
    assert_eq!(bench.released, [TopicPartition::new("t-changelog", 1)]);
}

#[test]
fn standby_never_names_what_is_ours() {
    let mut member = member(options(Guarantee::AtLeastOnce), &[0, 1]);
    member.tell(LogEvent::Standby(vec![2, 1, 2]));
    assert_eq!(member.bench.standby, [2]);
    member.tell(LogEvent::Lost(parts(&[1])));
    assert_eq!(member.bench.standby, [1, 2]);
    member.tell(LogEvent::Assigned(parts(&[2])));
    assert_eq!(member.bench.standby, [1]);
}

#[test]
fn positions_follow_the_log_over_what_it_skips() {
    let mut member = member(options(Guarantee::ExactlyOnce), &[]);
    let mut fetches = Vec::new();
    member.bench.core.handle(LogEvent::Assigned(parts(&[0])), member.bench.now);
    let mut answer = |member: &mut Member, values: u32, next_offset: i64| {
        let mut lookups = Vec::new();
        while let Some(command) = member.bench.core.poll_command() {
            match command {
                LogCommand::LookupOffsets { lookup, .. } => lookups.push(lookup),
                LogCommand::Fetch { fetch, offset, .. } => fetches.push((fetch, offset)),
                LogCommand::Restore { restore, table, partition } => {
                    let shard = beltline_table::Shard::new(ValueForm::Json);
                    member.bench.core.handle(LogEvent::Restored { restore, table, partition, shard }, member.bench.now);
                }
                _ => {}
            }
            for lookup in lookups.drain(..) {
                let range = beltline_types::OffsetRange { start: 0, end: 3 };
                let found = vec![PartitionOffsets { partition: part(0), committed: None, range }];
                member.bench.core.handle(LogEvent::Offsets { lookup, found }, member.bench.now);
            }
        }
        let (fetch, offset) = fetches.pop().unwrap();
        let mut builder = BatchBuilder::default();
        (0..values).for_each(|_| builder.push(None, Some(b"v"), &[], 1));
        let batches: Vec<Batch> = if values > 0 { vec![builder.build(offset).unwrap()] } else { Vec::new() };
        let range = beltline_types::OffsetRange { start: 0, end: next_offset };
        let event = LogEvent::Fetched { fetch, partition: part(0), batches, range, next_offset };
        member.bench.core.handle(event, member.bench.now);
    };
    // Two records, then a marker; then only markers.
    answer(&mut member, 2, 3);
    for _ in 0..2 {
        let ticket = member.bench.event(member.reader);
        member.bench.core.done(ticket);
    }
    assert_eq!(member.bench.core.health().partitions[0].position, Some(3));
    answer(&mut member, 0, 5);
    assert_eq!(member.bench.core.health().partitions[0].position, Some(5));
    member.bench.now += std::time::Duration::from_millis(100);
    member.bench.core.tick(member.bench.now);
    member.bench.now += std::time::Duration::from_millis(100);
    member.bench.core.tick(member.bench.now);
    let offsets = std::iter::from_fn(|| member.bench.core.poll_command()).find_map(|command| match command {
        LogCommand::Commit(unit) => Some(unit.request.offsets),
        _ => None,
    });
    assert_eq!(offsets.unwrap(), [(part(0), 5)]);
}

#[test]
fn a_partition_that_stands_still_with_something_to_read_is_called_stalled_and_why() {
    let mut member = member(CoreOptions { stall_timeout_ms: 1000, ..options(Guarantee::AtLeastOnce) }, &[0]);
    member.bench.pass(0);
    let ticket = member.take();
    member.bench.pass(999);
    assert_eq!(member.bench.core.health().partitions[0].stalled, None);
    member.bench.pass(1);
    let health = member.bench.core.health();
    assert!(health.partitions[0].stalled.is_some());
    assert!(matches!(health.partitions[0].paused, Some(Pause::Handler { oldest: 0, .. })), "{health:?}");
    member.tell(LogEvent::Trouble(Some("no broker answers".into())));
    let paused = member.bench.core.health().partitions[0].paused.clone().unwrap();
    assert!(paused.to_string().contains("no broker answers"), "{paused}");
    member.tell(LogEvent::Trouble(None));
    member.bench.core.done(ticket);
    member.bench.turn();
    assert_eq!(member.bench.core.health().partitions[0].stalled, None);
    member.partitions_seen();
    member.bench.pass(5000);
    assert_eq!(member.bench.core.health().partitions[0].stalled, None, "an idle topic is fine");
}
