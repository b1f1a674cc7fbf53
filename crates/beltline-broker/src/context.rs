//! What all connections share.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_env::Clock;
use beltline_log::Log;
use beltline_types::{CommitReceipt, CommitRequest, Error, ErrorKind, Result, TopicPartition};
use kafka_protocol::protocol::StrBytes;

use crate::BrokerOptions;
use crate::group::{self, Answer, GroupLimits, Replies, Ticket};
use crate::journal::{Entry, Journal};
use crate::limits::Budget;
use crate::producers::Producers;
use crate::transaction;

/// Producer ids that one write to the journal reserves.
const ID_BLOCK: i64 = 1000;

/// Offsets with a metadata text that are remembered.
const MAX_OFFSET_TEXTS: usize = 100_000;

/// The longest a request waits without looking whether its client is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The longest sleep of the thread that ends what has lasted too long.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// As Kafka's `group.max.session.timeout.ms`.
pub(crate) const MAX_SESSION_TIMEOUT: Duration = Duration::from_secs(30 * 60);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Groups, and the answers that wait for their connection.
pub(crate) struct Groups {
    pub(crate) coordinator: group::Coordinator,
    answers: BTreeMap<Ticket, Option<Answer>>,
    last_ticket: Ticket,
}

/// Producer ids that may be given out without asking the journal.
struct ProducerIds {
    next: i64,
    reserved: i64,
}

/// An offset, and what its group said with it.
type OffsetText = (i64, Arc<str>);

/// The one of a broker.
pub(crate) struct Context {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: BrokerOptions,
    /// Names this run of the endpoint.
    pub(crate) cluster_id: String,
    /// The password where one is required.
    pub(crate) token: String,
    pub(crate) journal: Journal,
    pub(crate) producers: Producers,
    pub(crate) transactions: Mutex<transaction::Coordinator>,
    pub(crate) requests: Budget,
    pub(crate) decompression: Budget,
    /// Held while a topic is looked for and then made.
    pub(crate) creating: Mutex<()>,
    groups: Mutex<Groups>,
    answered: Condvar,
    producer_ids: Mutex<ProducerIds>,
    offset_texts: Mutex<BTreeMap<(Arc<str>, TopicPartition), OffsetText>>,
    is_stopped: AtomicBool,
    random: RandomState,
    drawn: AtomicU64,
}

/// Who asks.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) host: String,
    /// What it is written with, as newer clients say.
    pub(crate) software: String,
    /// Host and port by which it reaches the one node there is.
    pub(crate) node: (String, u16),
    pub(crate) stream: Option<TcpStream>,
}

impl Client {
    /// Whether it counts the offsets of a batch up from the one that is answered, also from "none".
    pub(crate) fn is_librdkafka(&self) -> bool {
        self.software.starts_with("librdkafka") || self.software.starts_with("confluent")
    }

    /// Whether the other end has closed the connection; bytes that wait to be read are no sign of it.
    fn is_gone(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        if stream.set_nonblocking(true).is_err() {
            return true;
        }
        let gone = match stream.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        stream.set_nonblocking(false).is_err() || gone
    }
}

impl Context {
    pub(crate) fn new(log: Arc<dyn Log>, clock: Arc<dyn Clock>, options: BrokerOptions) -> Result<Context> {
        let limits = options.limits.clone();
        let journal = Journal::new(log.clone());
        let groups = GroupLimits {
            min_session_timeout: options.min_session_timeout,
            max_session_timeout: MAX_SESSION_TIMEOUT,
            gather: options.gather_members,
            max_groups: limits.max_groups,
            max_members: limits.max_group_members,
        };
        let groups = Groups { coordinator: group::Coordinator::new(groups), answers: BTreeMap::new(), last_ticket: 0 };
        let random = RandomState::new();
        let drawn = || format!("{:016x}{:016x}", random.hash_one(0), RandomState::new().hash_one(1));
        // Everybody sees it, so it is no part of the token.
        let cluster_id = format!("{:016x}", random.hash_one(1));
        let token = options.token.clone().unwrap_or_else(drawn);
        let context = Context {
            log,
            clock,
            cluster_id,
            token,
            producers: Producers::new(limits.max_producers),
            transactions: Mutex::new(transaction::Coordinator::new(
                limits.max_transaction_bytes,
                limits.max_all_transactions_bytes,
                limits.max_producers,
            )),
            requests: Budget::new(limits.max_queued_bytes),
            // Two batches are decompressed at one time at most.
            decompression: Budget::new(2),
            creating: Mutex::default(),
            groups: Mutex::new(groups),
            answered: Condvar::new(),
            producer_ids: Mutex::new(ProducerIds { next: 0, reserved: 0 }),
            offset_texts: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            random,
            drawn: AtomicU64::new(2),
            options,
            journal,
        };
        context.restore()?;
        Ok(context)
    }

    fn restore(&self) -> Result<()> {
        let mut transactions = lock(&self.transactions);
        let now = self.now();
        for entry in self.journal.load(self.clock.now_ms())? {
            match entry {
                Entry::NextProducerId(next) => *lock(&self.producer_ids) = ProducerIds { next, reserved: next },
                Entry::Sequence { producer_id, partition, history } => {
                    lock(&self.producers.get(producer_id, now)).set(partition, history, None);
                }
                Entry::Transaction { id, stored } => transactions.restore(id, stored),
                Entry::Metadata { group, partition, offset, text } => {
                    lock(&self.offset_texts).insert((group, partition), (offset, text));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A number nobody can guess.
    pub(crate) fn draw(&self) -> u64 {
        self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// An id that no producer had before, also not before a restart.
    pub(crate) fn fresh_producer_id(&self) -> Result<i64> {
        let mut ids = lock(&self.producer_ids);
        if ids.next == ids.reserved {
            let reserved = ids.reserved + ID_BLOCK;
            self.journal.write(&[Entry::NextProducerId(reserved)])?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Tells everybody who waits to come to an end.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        let _groups = lock(&self.groups);
        self.answered.notify_all();
        self.log.interrupt();
    }

    /// A moment's rest, shorter when the broker stops.
    pub(crate) fn pause(&self, time: Duration) {
        drop(self.answered.wait_timeout(lock(&self.groups), time));
    }

    /// Whether it makes no sense to wait for this client any longer.
    pub(crate) fn is_over_for(&self, client: &Client) -> bool {
        self.is_stopped() || client.is_gone()
    }

    /// The longest one may wait before [`Context::is_over_for`] is to be asked again.
    pub(crate) fn slice(&self, wanted: Duration) -> Duration {
        wanted.min(LOOK_AGAIN)
    }

    /// A look at the groups, or a change that is answered at once.
    pub(crate) fn groups<T>(&self, act: impl FnOnce(&mut group::Coordinator, Duration) -> (T, Replies)) -> T {
        let mut groups = lock(&self.groups);
        let (result, replies) = act(&mut groups.coordinator, self.now());
        self.deliver(&mut groups, replies);
        result
    }

    /// A change that may be answered later; `None` when there is nobody left to answer.
    pub(crate) fn await_group(
        &self,
        client: &Client,
        act: impl FnOnce(&mut group::Coordinator, Ticket, Duration) -> Replies,
    ) -> Option<Answer> {
        let mut groups = lock(&self.groups);
        let ticket = self.ask(&mut groups, act);
        loop {
            if let Some(Some(_)) = groups.answers.get(&ticket) {
                return groups.answers.remove(&ticket).flatten();
            }
            let waited = self.answered.wait_timeout(groups, LOOK_AGAIN);
            groups = waited.unwrap_or_else(PoisonError::into_inner).0;
            let is_answered = matches!(groups.answers.get(&ticket), Some(Some(_)));
            if !is_answered && self.is_over_for(client) {
                groups.answers.remove(&ticket);
                return None;
            }
        }
    }

    fn ask(
        &self,
        groups: &mut Groups,
        act: impl FnOnce(&mut group::Coordinator, Ticket, Duration) -> Replies,
    ) -> Ticket {
        groups.last_ticket += 1;
        let ticket = groups.last_ticket;
        groups.answers.insert(ticket, None);
        let replies = act(&mut groups.coordinator, ticket, self.now());
        self.deliver(groups, replies);
        ticket
    }

    /// As [`Context::await_group`] for the endpoint's own process, which comes back for its answer.
    pub(crate) fn ask_group(&self, act: impl FnOnce(&mut group::Coordinator, Ticket, Duration) -> Replies) -> Ticket {
        self.ask(&mut lock(&self.groups), act)
    }

    /// The answer to [`Context::ask_group`], once it is there.
    pub(crate) fn take_answer(&self, ticket: Ticket) -> Option<Answer> {
        let mut groups = lock(&self.groups);
        if groups.answers.get(&ticket)?.is_none() {
            return None;
        }
        groups.answers.remove(&ticket).flatten()
    }

    /// A commit of the endpoint's own process with positions of its group. The groups are held until it is written, so that
    /// nobody is given the partitions in between.
    pub(crate) fn commit_as_member(&self, member_id: &str, request: CommitRequest) -> Result<CommitReceipt> {
        let groups = lock(&self.groups);
        if !groups.coordinator.has_member(&request.group, member_id) {
            let message = format!("this worker is no member of the group {} any more", request.group);
            return Err(Error::new(ErrorKind::Aborted, message));
        }
        let receipt = self.log.commit(request);
        drop(groups);
        receipt
    }

    /// Wakes whoever waits in [`Context::pause`].
    pub(crate) fn wake(&self) {
        let _groups = lock(&self.groups);
        self.answered.notify_all();
    }

    fn deliver(&self, groups: &mut Groups, replies: Replies) {
        for (ticket, answer) in replies {
            // Who has gone away has taken its entry along.
            if let Some(waiting) = groups.answers.get_mut(&ticket) {
                *waiting = Some(answer);
            }
        }
        // Also without replies: the thread that ticks looks for its next deadline.
        self.answered.notify_all();
    }

    /// Body of the thread that ends sessions, rebalances and transactions when their time is over.
    pub(crate) fn tick_until_stopped(&self) {
        while !self.is_stopped() {
            let transaction_deadline = self.expire_transactions();
            let mut groups = lock(&self.groups);
            let now = self.now();
            let replies = groups.coordinator.tick(now);
            if !replies.is_empty() {
                self.deliver(&mut groups, replies);
            }
            let deadlines = [groups.coordinator.next_deadline(), transaction_deadline];
            let next = deadlines.into_iter().flatten().min().map_or(LONGEST_SLEEP, |next| next.saturating_sub(now));
            let sleep = next.clamp(Duration::from_millis(1), LONGEST_SLEEP);
            drop(self.answered.wait_timeout(groups, sleep));
        }
    }

    /// Ends transactions that are open for too long; says when the next one will be.
    pub(crate) fn expire_transactions(&self) -> Option<Duration> {
        let mut transactions = lock(&self.transactions);
        let expired = transactions.expire(self.now());
        let entries: Vec<Entry> = expired.into_iter().map(|(id, stored)| Entry::Transaction { id, stored }).collect();
        // Under the lock: whoever takes an id next must not be overwritten. What cannot be written is found open after a
        // restart, which ends it too.
        let _ = self.journal.write(&entries);
        transactions.next_deadline()
    }

    /// Remembers what groups say with their offsets; gives what the journal must know.
    pub(crate) fn remember_texts(
        &self,
        group: &Arc<str>,
        offsets: impl IntoIterator<Item = (TopicPartition, i64, Arc<str>)>,
    ) -> Vec<Entry> {
        let mut texts = lock(&self.offset_texts);
        let mut entries = Vec::new();
        for (partition, offset, text) in offsets {
            let key = (group.clone(), partition.clone());
            // One that says nothing needs no entry: an older text belongs to another offset.
            if text.is_empty() || (texts.len() >= MAX_OFFSET_TEXTS && !texts.contains_key(&key)) {
                continue;
            }
            texts.insert(key, (offset, text.clone()));
            entries.push(Entry::Metadata { group: group.clone(), partition, offset, text });
        }
        entries
    }

    /// What the group said with this offset.
    pub(crate) fn offset_text(&self, group: &Arc<str>, partition: &TopicPartition, offset: i64) -> Arc<str> {
        let texts = lock(&self.offset_texts);
        let found = texts.get(&(group.clone(), partition.clone())).filter(|(known, _)| *known == offset);
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    }
}
