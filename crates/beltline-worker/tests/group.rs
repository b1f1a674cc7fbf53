//! A worker with real threads on a log whose group the test plays.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use beltline_engine::{Core, CoreOptions, Guarantee, Next, SubscriptionId, TableId, TableSpec};
use beltline_env::{Clock, ManualClock, MemoryFiles, SystemClock};
use beltline_log::{EmbeddedLog, Fetched, GroupEvent, Log};
use beltline_store::{Store, StoreOptions};
use beltline_table::{Key, Value, ValueForm};
use beltline_types::{
    Append, BatchBuilder, CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo,
    TopicPartition, TopicSpec,
};
use beltline_worker::{Worker, io};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Script {
    events: VecDeque<GroupEvent>,
    joins: Vec<Vec<String>>,
    released: Vec<TopicPartition>,
    has_left: bool,
    interrupted: bool,
    trouble: Option<String>,
    /// What the next commit is answered with.
    refusal: Option<ErrorKind>,
    /// Questions and joins are not answered.
    silent: bool,
    /// How many more reads of changelogs find nothing, as while a transaction is open.
    blocked: u64,
    /// Bytes read from changelogs.
    read: usize,
}

impl Script {
    fn take_block(&mut self) -> bool {
        let blocked = self.blocked > 0;
        self.blocked = self.blocked.saturating_sub(1);
        blocked
    }
}

/// A shared log seen by one member, whose group is the test.
struct Scripted {
    log: Arc<EmbeddedLog>,
    script: Mutex<Script>,
    changed: Condvar,
}

impl Scripted {
    fn new(log: &Arc<EmbeddedLog>) -> Arc<Scripted> {
        Arc::new(Scripted { log: log.clone(), script: Mutex::default(), changed: Condvar::new() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        let result = change(&mut self.script.lock().unwrap());
        self.changed.notify_all();
        result
    }

    fn say(&self, event: GroupEvent) {
        self.change(|script| script.events.push_back(event));
    }

    fn answers(&self) -> Result<()> {
        match self.change(|script| script.silent) {
            true => Err(Error::new(ErrorKind::Unavailable, "silence")),
            false => Ok(()),
        }
    }
}

impl Log for Scripted {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        self.answers()?;
        self.log.create_topics(wanted)
    }
    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics()
    }
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        self.answers()?;
        self.log.topic(name)
    }
    fn delete_topic(&self, name: &str) -> Result<()> {
        self.log.delete_topic(name)
    }
    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        let changelog = partition.topic.ends_with("-changelog");
        if changelog && self.change(|script| script.take_block()) {
            return Ok(Fetched { range: self.log.offsets(partition)?, next_offset: offset, batches: Vec::new() });
        }
        let found = self.log.fetch(partition, offset, max_bytes)?;
        if changelog {
            let bytes: usize = found.batches.iter().map(|batch| batch.record_bytes().len()).sum();
            self.change(|script| script.read += bytes);
        }
        Ok(found)
    }
    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        self.log.offsets(partition)
    }
    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.log.wait(seen, timeout)
    }
    fn interrupt(&self) {
        self.change(|script| script.interrupted = true);
        self.log.interrupt();
    }
    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt> {
        match self.change(|script| script.refusal.take()) {
            Some(kind) => Err(Error::new(kind, "refused by the test")),
            None => self.log.commit(request),
        }
    }
    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        self.log.committed(group, partitions)
    }
    fn reset_group(&self, group: &str) -> Result<()> {
        self.log.reset_group(group)
    }
    fn sync(&self) -> Result<()> {
        self.log.sync()
    }
    fn join(&self, _group: &str, topics: &[Arc<str>]) -> Result<()> {
        self.answers()?;
        self.change(|script| script.joins.push(topics.iter().map(ToString::to_string).collect()));
        Ok(())
    }
    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        let idle = |script: &mut Script| script.events.is_empty() && !script.interrupted;
        let (mut script, _) = self.changed.wait_timeout_while(self.script.lock().unwrap(), timeout, idle).unwrap();
        script.interrupted = false;
        Ok(script.events.pop_front())
    }
    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.change(|script| script.released.extend_from_slice(partitions));
        Ok(())
    }
    fn leave(&self) -> Result<()> {
        self.change(|script| script.has_left = true);
        Ok(())
    }
    fn trouble(&self) -> Option<String> {
        self.change(|script| script.trouble.clone())
    }
    fn maintain(&self) -> Result<()> {
        self.log.maintain()
    }
}

/// A worker that counts values per partition.
struct Member {
    worker: Worker,
    log: Arc<Scripted>,
    reader: SubscriptionId,
    table: TableId,
    files: MemoryFiles,
}

fn spec() -> TableSpec {
    TableSpec { name: "t".into(), changelog: "t-changelog".into(), partitions: 2, values: ValueForm::Json }
}

fn store(files: &MemoryFiles) -> Store {
    Store::new(Arc::new(files.clone()), PathBuf::from("tables"), StoreOptions::default())
}

fn part(partition: u32) -> TopicPartition {
    TopicPartition::new("in", partition)
}

impl Member {
    fn start(log: &Arc<EmbeddedLog>) -> Member {
        let mut member = Member::declare(log);
        member.worker.start().unwrap();
        assert_eq!(member.log.change(|script| script.joins.clone()), [["in"]]);
        member
    }

    fn declare(log: &Arc<EmbeddedLog>) -> Member {
        let (scripted, files) = (Scripted::new(log), MemoryFiles::default());
        let options =
            CoreOptions { guarantee: Guarantee::ExactlyOnce, commit_interval_ms: Some(5), ..CoreOptions::default() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let mut worker =
            Worker::open(Core::new(options), scripted.clone(), store(&files), clock, Arc::new(|| {})).unwrap();
        let topic = worker.declare_topic(TopicSpec::new("in", 2)).unwrap();
        let table = worker.add_table(spec()).unwrap();
        let reader = worker.core.subscribe("reader", &[topic]).unwrap();
        Member { worker, log: scripted, reader, table, files }
    }

    /// Turns and works until `done`; says what it waited for when that does not come.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Member) -> bool) {
        let clock = SystemClock::default();
        while !done(self) {
            assert!(clock.monotonic() < PATIENCE, "waited in vain until {what}: {:?}", self.worker.health());
            self.worker.turn().unwrap();
            while let Next::Event(ticket) = self.worker.core.next(self.reader) {
                let partition = self.worker.core.partition(&ticket).unwrap();
                let shard = self.worker.core.shard_mut(self.table, partition).unwrap();
                let count = match shard.get(Key::Text("count")) {
                    Some(Value::Int(count)) => *count,
                    _ => 0,
                };
                shard.insert(Key::Text("count"), Value::Int(count + 1));
                self.worker.core.done(ticket);
            }
            self.worker.wait(Duration::from_millis(5));
        }
    }

    fn count(&self, partition: u32) -> Option<i64> {
        match self.worker.core.shard(self.table, partition)?.get(Key::Text("count"))? {
            Value::Int(count) => Some(*count),
            _ => None,
        }
    }

    fn until_counted(&mut self, partition: u32, count: i64) {
        self.until("everything is counted and committed", |member| {
            member.count(partition) == Some(count) && member.worker.core.is_idle()
        });
    }
}

fn shared_log() -> Arc<EmbeddedLog> {
    Arc::new(EmbeddedLog::in_memory(Arc::new(ManualClock::default())).unwrap())
}

fn write(log: &EmbeddedLog, target: TopicPartition, count: usize) {
    let mut records = BatchBuilder::default();
    (0..count).for_each(|_| records.push(Some(b"\"count\""), Some(b"1"), &[], 7));
    log.commit(CommitRequest { appends: vec![Append { target, records }], ..CommitRequest::default() }).unwrap();
}

#[test]
fn a_log_of_our_own_gives_everything_before_the_first_turn() {
    let log = shared_log();
    let store = store(&MemoryFiles::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut worker = Worker::open(Core::new(CoreOptions::default()), log, store, clock, Arc::new(|| {})).unwrap();
    let topic = worker.declare_topic(TopicSpec::new("in", 3)).unwrap();
    worker.core.subscribe("reader", &[topic]).unwrap();
    worker.start().unwrap();
    assert_eq!(worker.core.assigned().count(), 3);
    worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_log_that_falls_silent_before_the_start_is_joined_when_it_answers() {
    let log = shared_log();
    let mut member = Member::declare(&log);
    member.log.change(|script| script.silent = true);
    member.worker.start().unwrap();
    member.until("the worker says what it waits for", |member| {
        let notice = member.worker.poll_notice();
        notice.is_some_and(|notice| notice.contains("joining the group is tried again"))
    });
    member.log.change(|script| script.silent = false);
    member.until("the group is joined", |member| member.log.change(|script| !script.joins.is_empty()));
    member.log.say(GroupEvent::Assigned(vec![part(0), part(1)]));
    write(&log, part(0), 3);
    member.until_counted(0, 3);
}

#[test]
fn a_partition_is_handed_over_with_its_table() {
    let log = shared_log();
    let (mut old, mut new) = (Member::start(&log), Member::start(&log));
    write(&log, part(0), 10);
    write(&log, part(1), 10);
    old.log.say(GroupEvent::Assigned(vec![part(0), part(1)]));
    new.log.say(GroupEvent::Assigned(Vec::new()));
    old.until_counted(0, 10);
    old.log.say(GroupEvent::Revoking(vec![part(0)]));
    old.until("the partition is released", |member| member.log.change(|script| !script.released.is_empty()));
    assert_eq!(old.log.change(|script| script.released.clone()), [part(0)]);
    assert_eq!((old.count(0), old.count(1)), (None, Some(10)));
    new.log.say(GroupEvent::Assigned(vec![part(0)]));
    write(&log, part(0), 5);
    new.until_counted(0, 15);
    // It comes back to where its files still are: only what it has missed is read.
    new.log.say(GroupEvent::Revoking(vec![part(0)]));
    new.until("it is released again", |member| member.log.change(|script| !script.released.is_empty()));
    old.log.say(GroupEvent::Assigned(vec![part(0)]));
    write(&log, part(0), 1);
    old.until_counted(0, 16);
    old.worker.stop(PATIENCE).unwrap();
    new.worker.stop(PATIENCE).unwrap();
    assert!(old.log.change(|script| script.has_left) && new.log.change(|script| script.has_left));
}

#[test]
fn a_restore_waits_for_what_cannot_be_read_yet() {
    let log = shared_log();
    let mut member = Member::start(&log);
    write(&log, TopicPartition::new("t-changelog", 0), 3);
    member.log.change(|script| script.blocked = 3);
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.until("the table is there", |member| member.worker.core.shards_ready());
    assert_eq!(member.count(0), Some(1));
    assert_eq!(member.log.change(|script| script.blocked), 0);
    member.worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_restore_ends_when_its_partition_goes_and_can_be_begun_again() {
    let log = shared_log();
    let mut member = Member::start(&log);
    write(&log, TopicPartition::new("t-changelog", 0), 3);
    member.log.change(|script| script.blocked = u64::MAX);
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.until("the restore waits", |member| member.log.change(|script| script.blocked) < u64::MAX - 1);
    member.log.say(GroupEvent::Revoking(vec![part(0)]));
    member.until("it is released", |member| member.log.change(|script| !script.released.is_empty()));
    member.log.change(|script| script.blocked = 0);
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.until("the table is there", |member| member.count(0) == Some(1));
    member.worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_warm_shard_is_taken_over_without_reading_it_again() {
    let log = shared_log();
    let (mut owner, mut heir) = (Member::start(&log), Member::start(&log));
    owner.log.say(GroupEvent::Assigned(vec![part(0), part(1)]));
    heir.log.say(GroupEvent::Assigned(Vec::new()));
    heir.log.say(GroupEvent::Standby(vec![0]));
    write(&log, part(0), 20);
    owner.until_counted(0, 20);
    let end = log.offsets(&TopicPartition::new("t-changelog", 0)).unwrap().end;
    let files = heir.files.clone();
    heir.until("the shard is warm", |_| store(&files).load("t", 0, &mut |_, _| {}).unwrap().end == end);
    owner.worker.stop(PATIENCE).unwrap();
    let read = heir.log.change(|script| script.read);
    assert!(read > 0);
    heir.log.say(GroupEvent::Assigned(vec![part(0), part(1)]));
    heir.until_counted(0, 20);
    assert_eq!(heir.log.change(|script| script.read), read);
    heir.worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_fenced_worker_joins_again_and_goes_on() {
    let log = shared_log();
    let mut member = Member::start(&log);
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.log.change(|script| script.refusal = Some(ErrorKind::Fenced));
    write(&log, part(0), 4);
    member.until("it joins again", |member| member.log.change(|script| script.joins.len()) == 2);
    assert_eq!(member.worker.core.assigned().count(), 0);
    member.log.say(GroupEvent::Lost(vec![part(0)]));
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.until_counted(0, 4);
    assert_eq!(member.worker.health().counters.fenced, 1);
    member.worker.stop(PATIENCE).unwrap();
}

#[test]
fn trouble_of_the_log_is_named_and_taken_back() {
    let log = shared_log();
    let mut member = Member::start(&log);
    member.log.say(GroupEvent::Assigned(vec![part(0)]));
    member.log.change(|script| script.trouble = Some("no broker answers".to_owned()));
    member.until("health names it", |member| member.worker.health().trouble.is_some());
    member.log.change(|script| script.trouble = None);
    member.until("it is over", |member| member.worker.health().trouble.is_none());
    member.worker.stop(PATIENCE).unwrap();
}

#[test]
fn a_changelog_that_gives_nothing_more_is_named() {
    let log = shared_log();
    log.create_topics(&[TopicSpec::new("t-changelog", 2).compacted()]).unwrap();
    write(&log, TopicPartition::new("t-changelog", 0), 3);
    let scripted = Scripted::new(&log);
    scripted.change(|script| script.blocked = u64::MAX);
    let clock = ManualClock::default();
    let mut asked = 0;
    let mut progress = |_, _| {
        clock.advance(Duration::from_secs(30));
        asked += 1;
        true
    };
    let result = io::restore(&*scripted, &store(&MemoryFiles::default()), &clock, &spec(), 0, &mut progress);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let message = error.to_string();
    assert!(message.contains("t-changelog[0]") && message.contains("offset 3"), "{message}");
    assert!(asked >= 2);
}
