//! The log itself: what callers ask goes to the part that knows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_env::spawn_thread;
use beltline_log::{Fetched, GroupEvent, Log, Membership};
use beltline_types::{
    Appended, CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo, TopicPartition,
    TopicSpec,
};

use crate::context::Context;
use crate::health::Health;
use crate::member::Member;
use crate::options::{Guarantee, KafkaOptions, Patience};
use crate::positions::Positions;
use crate::producer::Producer;
use crate::raw::admin::Scope;
use crate::raw::client::{Client, Role};
use crate::reader::Reader;
use crate::signal::Signal;
use crate::{at_least_once, exactly_once, topics};

/// How often the watch looks after what nobody else serves.
const WATCH: Duration = Duration::from_millis(500);

/// How long one question lasts that only finds out whether anybody answers.
const PROBE_MS: i32 = 1000;

/// The first question of all lasts so long and each one after it twice as long as the one before: with each, librdkafka
/// tries another address, and brokers that are far away have their time too.
const FIRST_PROBE_MS: i32 = 200;
const LONGEST_PROBE_MS: i32 = 2000;

struct Shared {
    context: Arc<Context>,
    member: Mutex<Option<Arc<Member>>>,
    /// In the place of a membership for one who only observes.
    observer: Membership,
    producer: Mutex<Option<Producer>>,
    /// What the watch may poll while commits use the producer.
    producer_client: Mutex<Option<Arc<Client>>>,
    reader: Reader,
    /// Positions that are sent and not confirmed yet, in at-least-once.
    positions: Positions,
    /// How often the group has called something lost.
    losses: AtomicU64,
    /// A commit was answered with `Fenced`, so the next join begins a new membership.
    fenced: AtomicBool,
    ended: AtomicBool,
    ending: Signal,
    /// An interruption before anybody polls.
    interrupted: AtomicBool,
}

/// The belt on Apache Kafka.
///
/// Not promised: order across partitions; that records written at least once are there once.
pub struct KafkaLog {
    shared: Arc<Shared>,
    watch: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KafkaLog {
    /// Connects: waits for the first answer of a broker, as long as `connect_timeout` says.
    ///
    /// # Errors
    /// `Usage` for options that cannot be, `Unavailable` when no broker answers in time, `Unauthorized` when they refuse
    /// the credentials.
    pub fn connect(options: KafkaOptions) -> Result<KafkaLog> {
        options.check()?;
        let health = Arc::new(Health::new(&options.bootstrap_servers));
        let context = Arc::new(Context {
            options,
            health,
            signal: Arc::default(),
            writer: Mutex::default(),
            known: Mutex::default(),
        });
        let reader = Reader::new(&context)?;
        let shared = Arc::new(Shared {
            context,
            member: Mutex::default(),
            observer: Membership::default(),
            producer: Mutex::default(),
            producer_client: Mutex::default(),
            reader,
            positions: Positions::default(),
            losses: AtomicU64::new(0),
            fenced: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ending: Signal::default(),
            interrupted: AtomicBool::new(false),
        });
        shared.greet()?;
        let watched = shared.clone();
        let watch = spawn_thread("beltline-kafka", move || watched.watch()).map_err(|error| {
            Error::new(ErrorKind::Internal, "the system gives no thread for watching the brokers").with_source(error)
        })?;
        Ok(KafkaLog { shared, watch: Some(watch) })
    }

    /// The version of librdkafka underneath.
    pub fn client_version() -> String {
        crate::raw::admin::library_version()
    }

    fn member(&self) -> Option<Arc<Member>> {
        lock(&self.shared.member).clone()
    }
}

impl Shared {
    /// Waits for the first answer; a refusal ends the wait.
    fn greet(&self) -> Result<()> {
        let context = &self.context;
        let options = &context.options;
        let deadline = context.deadline(options.connect_timeout.unwrap_or(options.request_timeout));
        let mut longest = FIRST_PROBE_MS;
        loop {
            let slice = deadline.remaining_ms().min(longest);
            longest = LONGEST_PROBE_MS.min(longest * 2);
            match self.reader.client.metadata(Scope::Brokers, slice) {
                Ok(_) => {
                    context.health.well();
                    return Ok(());
                }
                Err(fault) => {
                    self.reader.tidy();
                    let goes_on = |patience: &Arc<dyn Patience>| patience.goes_on(&context.health.silence());
                    if deadline.is_over()
                        || context.health.is_refused()
                        || !options.patience.as_ref().is_none_or(goes_on)
                    {
                        return Err(context.error("connecting", &deadline, &fault));
                    }
                }
            }
        }
    }

    /// Body of the thread that hears what handles say, and asks again when the brokers seem gone.
    fn watch(&self) {
        while !self.ended.load(Ordering::Acquire) {
            self.ending.wait(1, WATCH);
            self.reader.tidy();
            self.reader.look_for_quiet();
            let producer = lock(&self.producer_client).clone();
            if let Some(client) = producer {
                client.poll(0);
                if self.is_committing() {
                    client.look_for_coordinators();
                }
            }
            let member = lock(&self.member).clone();
            if let Some(member) = member {
                self.positions.tend(&self.context, &member);
            }
            if self.context.health.is_suspected() && !self.ended.load(Ordering::Acquire) {
                match self.reader.client.metadata(Scope::Brokers, PROBE_MS) {
                    Ok(_) => self.context.health.well(),
                    Err(_) => self.context.health.unwell(),
                }
            }
        }
    }

    /// Whether somebody has the producer in hand.
    fn is_committing(&self) -> bool {
        matches!(self.producer.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// A handle that belongs to a group without being its member.
    fn outside(&self, group: &str) -> Result<Arc<Client>> {
        if *self.context.options.group_id == *group {
            return Ok(self.reader.client.clone());
        }
        self.context.client(Role::Reader, Some(group), None)
    }

    /// Grants every partition of these topics to one who is no member.
    fn observe(&self, topics: &[Arc<str>]) -> Result<()> {
        let mut found = Vec::with_capacity(topics.len());
        for name in topics {
            let topic = topics::find(&self.context, &self.reader.client, name)?;
            found.push((name.clone(), topic.map_or(0, |topic| topic.partitions)));
        }
        self.observer.join(&found);
        Ok(())
    }

    /// Whether something was called lost since the request was made.
    fn is_outdated(&self, request: &CommitRequest) -> bool {
        self.losses.load(Ordering::SeqCst) > request.losses
    }

    /// Ends a membership and begins the next one.
    fn renew(&self, slot: &mut Option<Arc<Member>>, topics: Option<&[Arc<str>]>) -> Result<()> {
        let Some(old) = slot.take() else { return Ok(()) };
        let (lost, old_topics, warm) = old.end();
        self.positions.forget(&lost);
        let topics = topics.unwrap_or(&old_topics);
        *slot = Some(Arc::new(Member::join(&self.context, &old.group, topics, lost, warm)?));
        Ok(())
    }

    /// In exactly-once: ends the transaction that an earlier producer of this id may have left open, so that positions
    /// are settled before they are asked for.
    fn settle_transactions(&self) {
        if self.context.options.guarantee != Guarantee::ExactlyOnce {
            return;
        }
        // Whoever holds the lock has a producer.
        let Ok(mut slot) = self.producer.try_lock() else { return };
        if slot.is_none() {
            // If this fails the brokers end the transaction when its time is over.
            *slot = exactly_once::producer(&self.context, &self.reader.client, &self.context.question()).ok();
            self.keep(&slot);
        }
    }

    fn keep(&self, slot: &Option<Producer>) {
        *lock(&self.producer_client) = slot.as_ref().map(|producer| producer.client.clone());
    }

    fn commit_at_least_once(&self, member: Option<&Arc<Member>>, request: &CommitRequest) -> Result<CommitReceipt> {
        let context = &self.context;
        let deadline = context.deadline(context.options.commit_timeout);
        if self.is_outdated(request) {
            return Err(outdated());
        }
        let mut appended = Vec::new();
        if !request.appends.is_empty() {
            let mut slot = lock(&self.producer);
            if slot.is_none() {
                *slot = Some(Producer::new(context, &self.reader.client)?);
                self.keep(&slot);
            }
            if let Some(producer) = slot.as_mut() {
                match at_least_once::append(producer, &request.appends, &deadline) {
                    Ok(went) => appended = went,
                    Err(error) => {
                        // What is still under way belongs to a unit that was answered.
                        *slot = None;
                        self.keep(&slot);
                        return Err(error);
                    }
                }
            }
        }
        match member {
            _ if request.offsets.is_empty() => {}
            Some(member) => {
                let is_outdated = || self.is_outdated(request);
                self.positions.commit(context, member, is_outdated, &request.offsets, &deadline)?;
            }
            None => {
                at_least_once::commit_outside(context, &self.outside(&request.group)?, &request.offsets, &deadline)?
            }
        }
        Ok(CommitReceipt { appended })
    }

    fn commit_exactly_once(&self, member: Option<&Arc<Member>>, request: &CommitRequest) -> Result<CommitReceipt> {
        let context = &self.context;
        let deadline = context.deadline(context.options.commit_timeout);
        let mut slot = lock(&self.producer);
        if slot.is_none() {
            *slot = Some(exactly_once::producer(context, &self.reader.client, &deadline)?);
            self.keep(&slot);
        }
        let committed =
            exactly_once::commit(context, &mut slot, member, || self.is_outdated(request), request, &deadline);
        self.keep(&slot);
        let mut appended = committed?;
        for (append, went) in request.appends.iter().zip(&mut appended) {
            // Beltline's own endpoint tells no offsets of a transaction before its end; a changelog is written by us alone.
            if went.base_offset < 0 && !append.records.is_empty() {
                let end = topics::range(context, &self.reader.client, &append.target)?.end;
                *went = Appended::contiguous(end - Offset::from(append.records.len()), append.records.len());
            }
        }
        Ok(CommitReceipt { appended })
    }
}

fn outdated() -> Error {
    Error::new(ErrorKind::Aborted, "the unit was made before partitions were lost; nothing of it is written")
}

impl Log for KafkaLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        topics::create(&self.shared.context, &self.shared.reader.client, wanted)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        topics::list(&self.shared.context, &self.shared.reader.client)
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        topics::find(&self.shared.context, &self.shared.reader.client, name)
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        topics::delete(&self.shared.context, &self.shared.reader.client, name)
    }

    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        let of_member = self.member().and_then(|member| member.fetch(partition, offset, max_bytes));
        of_member.unwrap_or_else(|| self.shared.reader.fetch(partition, offset, max_bytes))
    }

    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        let context = &self.shared.context;
        let client = &self.shared.reader.client;
        topics::require(context, client, partition)?;
        topics::range(context, client, partition)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.shared.context.signal.wait(seen, timeout)
    }

    fn interrupt(&self) {
        self.shared.context.signal.raise();
        self.shared.observer.interrupt();
        match self.member() {
            Some(member) => member.interrupt(),
            None => self.shared.interrupted.store(true, Ordering::Release),
        }
    }

    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt> {
        if request.appends.is_empty() && request.offsets.is_empty() {
            return Ok(CommitReceipt::default());
        }
        let member = self.member().filter(|member| *member.group == *request.group);
        let receipt = match self.shared.context.options.guarantee {
            Guarantee::AtLeastOnce => self.shared.commit_at_least_once(member.as_ref(), &request),
            Guarantee::ExactlyOnce => self.shared.commit_exactly_once(member.as_ref(), &request),
        };
        if receipt.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced) {
            self.shared.fenced.store(true, Ordering::Release);
        }
        receipt
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        self.shared.settle_transactions();
        let client = self.shared.outside(group)?;
        topics::committed(&self.shared.context, &client, partitions)
    }

    fn reset_group(&self, group: &str) -> Result<()> {
        topics::forget_group(&self.shared.context, &self.shared.reader.client, group)
    }

    fn sync(&self) -> Result<()> {
        // Brokers answer when a record is as safe as `acks` asks for.
        Ok(())
    }

    fn join(&self, group: &str, topics: &[Arc<str>]) -> Result<()> {
        for topic in topics.iter().filter(|topic| !topic.starts_with('^')) {
            topics::require(&self.shared.context, &self.shared.reader.client, &TopicPartition::new(topic.clone(), 0))?;
        }
        if self.shared.context.options.observes {
            return self.shared.observe(topics);
        }
        let mut member = lock(&self.shared.member);
        let fenced = self.shared.fenced.swap(false, Ordering::AcqRel);
        match &*member {
            Some(old) if *old.group == *group && fenced => self.shared.renew(&mut member, Some(topics)),
            Some(member) if *member.group == *group => member.subscribe(topics),
            Some(member) => Err(Error::new(
                ErrorKind::Usage,
                format!("this log is a member of the group {} already; leave it before joining {group}", member.group),
            )),
            None => {
                let warm = self.shared.context.options.warm_partitions.iter().copied().collect();
                *member = Some(Arc::new(Member::join(&self.shared.context, group, topics, Vec::new(), warm)?));
                Ok(())
            }
        }
    }

    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        if self.shared.context.options.observes {
            return Ok(self.shared.observer.poll(timeout));
        }
        let Some(member) = self.member() else {
            if !self.shared.interrupted.swap(false, Ordering::AcqRel) {
                self.shared.ending.wait(1, timeout.min(WATCH));
            }
            return Ok(None);
        };
        let event = member.poll(timeout)?;
        if event.is_none() && member.has_ended() {
            let mut slot = lock(&self.shared.member);
            if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, &member)) {
                self.shared.renew(&mut slot, None)?;
            }
            return Ok(None);
        }
        match &event {
            // What was kept warm by the other way of reading is read by the group from now on.
            Some(GroupEvent::Assigned(partitions)) => self.shared.reader.let_go(partitions),
            Some(GroupEvent::Standby(_)) if !self.shared.context.options.keeps_standbys => {
                return Ok(Some(GroupEvent::Standby(Vec::new())));
            }
            Some(GroupEvent::Lost(partitions)) => {
                self.shared.losses.fetch_add(1, Ordering::SeqCst);
                self.shared.positions.forget(partitions);
            }
            _ => {}
        }
        Ok(event)
    }

    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        let Some(member) = self.member() else { return Ok(()) };
        self.shared.positions.settle(&self.shared.context, &member, partitions)?;
        member.release(partitions)
    }

    fn leave(&self) -> Result<()> {
        let Some(member) = lock(&self.shared.member).take() else { return Ok(()) };
        let settled = self.shared.positions.settle_all(&self.shared.context, &member);
        member.leave().and(settled)
    }

    fn trouble(&self) -> Option<String> {
        self.shared.context.health.trouble()
    }

    fn keeps_its_tail(&self) -> bool {
        true
    }

    fn maintain(&self) -> Result<()> {
        // Retention and compaction are the brokers' own.
        Ok(())
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // Others take over at once if this works, and when the session has expired if not.
        let _ = self.leave();
        self.shared.ended.store(true, Ordering::Release);
        self.shared.ending.raise();
        self.shared.context.signal.raise();
        if let Some(watch) = self.watch.take() {
            // A panic there was reported by the thread itself.
            let _ = watch.join();
        }
    }
}
