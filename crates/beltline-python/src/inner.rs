//! The part of a belt that changes: the worker, and what Python waits for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use beltline_attach::SharedLog;
use beltline_engine::{Core, CoreOptions, Guarantee, Origin, SubscriptionId, Ticket, TopicId};
use beltline_env::{Clock, ManualClock, SystemClock};
use beltline_types::{Error, ErrorKind, Result};
use beltline_worker::Worker;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::delivery::{Deliveries, Receiver, Report, SentTo};
use crate::fork;
use crate::raw::context;
use crate::waker::LoopWaker;

/// Bytes of records from other threads that may wait for the owner's next turn.
const THREAD_SEND_BYTES: usize = 64 << 20;

/// A record to send.
pub struct Outgoing<'a> {
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub partition: Option<u32>,
    pub timestamp: Option<i64>,
    pub headers: &'a [u8],
    pub origin: Origin,
}

/// A record to send, owned.
pub struct Record {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub partition: Option<u32>,
    pub timestamp: Option<i64>,
    pub headers: Vec<u8>,
    pub receiver: Option<Receiver>,
    pub origin: Origin,
    /// When the event was handed out that it was sent in.
    pub epoch: Option<u32>,
}

impl Record {
    fn byte_len(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + self.headers.len()
    }
}

/// The number of whoever has sent something before senders were told apart.
pub const UNTOLD: u64 = 0;

/// What other threads, and objects that die at odd moments, may touch.
pub struct Shared {
    pub waker: LoopWaker,
    /// Events in the hands of streams that were dropped.
    abandoned: Mutex<Vec<Ticket>>,
    sends: Mutex<VecDeque<Record>>,
    send_bytes: AtomicUsize,
    /// Whether tables were ever changed outside of events: before, nobody need know who sends there.
    tells_senders: AtomicBool,
}

impl Shared {
    pub fn new(waker: LoopWaker) -> Shared {
        Shared {
            waker,
            abandoned: Mutex::default(),
            sends: Mutex::default(),
            send_bytes: AtomicUsize::new(0),
            tells_senders: AtomicBool::new(false),
        }
    }

    /// On whose behalf the running task or thread sends.
    #[inline]
    pub fn origin(&self, py: Python<'_>) -> Origin {
        if context::is_of_event(py) {
            Origin::Event
        } else if self.tells_senders.load(Ordering::Relaxed) {
            Origin::Outside(context::task_number(py))
        } else {
            Origin::Outside(UNTOLD)
        }
    }

    /// Somebody changes a table outside of events: from now on senders there are told apart. Says whether they were not.
    pub fn tell_senders(&self) -> bool {
        !self.tells_senders.swap(true, Ordering::Relaxed)
    }

    /// Gives an event back with the next turn.
    pub fn abandon(&self, ticket: Ticket) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.waker.wake();
    }

    /// Queues a record for the owner; says whether there was room.
    pub fn queue_send(&self, record: Record) -> bool {
        let size = record.byte_len();
        if self.send_bytes.load(Ordering::Relaxed) + size > THREAD_SEND_BYTES {
            return false;
        }
        self.send_bytes.fetch_add(size, Ordering::Relaxed);
        self.sends.lock().unwrap_or_else(PoisonError::into_inner).push_back(record);
        self.waker.wake();
        true
    }

    fn next_send(&self) -> Option<Record> {
        let record = self.sends.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        self.send_bytes.fetch_sub(record.byte_len(), Ordering::Relaxed);
        Some(record)
    }

    fn has_sends(&self) -> bool {
        !self.sends.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// What a turn leaves to be done without the belt in hand: it calls into Python.
#[derive(Default)]
pub struct Aftermath {
    pub happened: bool,
    pub reports: Vec<Report>,
    pub sleepers: Vec<Py<PyAny>>,
    pub notices: Vec<String>,
    pub failure: Option<Error>,
}

pub struct Inner {
    pub options: CoreOptions,
    pub worker: Option<Worker>,
    /// The core of a worker that was stopped: its tables can still be read.
    finished: Option<Core>,
    pub clock: Option<Arc<ManualClock>>,
    /// The log in a data directory that other processes may share. Not kept from ending: it holds the directory.
    pub sharing: Weak<SharedLog>,
    deliveries: Deliveries,
    sleepers: Vec<(SubscriptionId, Py<PyAny>)>,
    made_in: u32,
}

impl Inner {
    pub fn new(options: CoreOptions) -> Inner {
        Inner {
            options,
            worker: None,
            finished: None,
            clock: None,
            sharing: Weak::new(),
            deliveries: Deliveries::default(),
            sleepers: Vec::new(),
            made_in: fork::generation(),
        }
    }

    /// The core, also of a worker that was stopped.
    #[inline]
    pub fn core(&self) -> Option<&Core> {
        match &self.worker {
            Some(worker) => Some(&worker.core),
            None => self.finished.as_ref(),
        }
    }

    /// The core of a worker that was not stopped.
    ///
    /// # Errors
    /// `Usage` before `open` and after `stop`.
    #[inline]
    pub fn core_mut(&mut self) -> Result<&mut Core> {
        match &mut self.worker {
            Some(worker) => Ok(&mut worker.core),
            None => Err(not_open(self.finished.is_some())),
        }
    }

    /// The worker.
    ///
    /// # Errors
    /// `Usage` before `open` and after `stop`.
    pub fn worker_mut(&mut self) -> Result<&mut Worker> {
        let stopped = self.finished.is_some();
        self.worker.as_mut().ok_or_else(|| not_open(stopped))
    }

    /// Whether the running task is in the middle of an event that was taken back: whatever it does is to be refused with
    /// [`crate::errors::taken_back`].
    #[inline]
    pub fn is_taken_back(&self, py: Python<'_>) -> bool {
        // Mostly nothing was ever taken back, and nobody need know what is in hand.
        self.worker.as_ref().is_some_and(|worker| {
            worker.core.has_taken_back() && context::epoch(py).is_some_and(|epoch| worker.core.is_taken_back(epoch))
        })
    }

    /// Finishes an event; one of a worker that was stopped is forgotten already.
    #[inline]
    pub fn done(&mut self, ticket: Ticket) {
        if let Some(worker) = &mut self.worker {
            worker.core.done(ticket);
        }
    }

    /// Gives an event back.
    pub fn release(&mut self, ticket: Ticket) {
        if let Some(worker) = &mut self.worker {
            worker.core.release(ticket);
        }
    }

    /// The number of a topic.
    ///
    /// # Errors
    /// `NotFound` for one that was not declared.
    pub fn topic_id(&mut self, name: &str) -> Result<TopicId> {
        self.core_mut()?.topic_id(name).ok_or_else(|| {
            let message = format!("topic {name} was not declared; make it with app.topic() first");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Puts a record into the outbox; returns its partition.
    ///
    /// # Errors
    /// `NotFound` for a topic that was not declared, `Usage` for a partition it has not, `Limit` when the outbox is full.
    pub fn send(&mut self, record: &Outgoing<'_>, receiver: Option<Receiver>) -> Result<u32> {
        let topic = self.topic_id(record.topic)?;
        self.send_to(topic, record, receiver).map(|sent| sent.partition)
    }

    /// As [`Inner::send`], with a receipt and without anything special.
    ///
    /// # Errors
    /// `Limit` when the outbox is full, `Usage` when the belt is closed.
    pub fn send_plain(
        &mut self,
        topic: TopicId,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        origin: Origin,
        receiver: Receiver,
    ) -> Result<SentTo> {
        let record = Outgoing { topic: "", key, value, partition: None, timestamp: None, headers: &[], origin };
        self.send_to(topic, &record, Some(receiver))
    }

    /// The receipt of a record, see [`Deliveries::take_back`].
    pub fn take_back(&mut self, py: Python<'_>, sent: &SentTo) -> Option<Py<PyAny>> {
        self.deliveries.take_back(py, sent)
    }

    fn send_to(&mut self, topic: TopicId, record: &Outgoing<'_>, receiver: Option<Receiver>) -> Result<SentTo> {
        let now_ms = self.clock.as_ref().map(|clock| clock.now_ms());
        let core = self.core_mut()?;
        let Outgoing { topic: _, key, value, partition, timestamp, headers, origin } = *record;
        // With exactly-once the commit that makes room waits for the events in flight, so these may go on up to the
        // core's own limit. Who sends outside of them waits for room, or there would soon be none for them either.
        let is_awaited =
            origin == Origin::Event && core.options().guarantee == Guarantee::ExactlyOnce && core.in_flight() > 0;
        if core.outbox_is_full() && !is_awaited {
            let name = core.topic(topic).map_or("", |topic| &topic.name);
            let message = format!("topic {name}: the outbox is full; let the loop run, then send again");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let timestamp = timestamp.or(now_ms).unwrap_or(-1);
        let record = beltline_engine::Outgoing { partition, key, value, headers, timestamp };
        let sent = core.send(topic, &record, origin)?;
        let sent = SentTo { topic, partition: sent.partition, sequence: sent.sequence };
        if let Some(receiver) = receiver {
            self.deliveries.add(&sent, timestamp, receiver);
        }
        Ok(sent)
    }

    fn send_owned(&mut self, record: Record) -> Result<u32> {
        let Record { topic, key, value, partition, timestamp, headers, receiver, origin, epoch: _ } = record;
        let (key, value) = (key.as_deref(), value.as_deref());
        let outgoing = Outgoing { topic: &topic, key, value, partition, timestamp, headers: &headers, origin };
        self.send(&outgoing, receiver)
    }

    /// Has a future resolved when the subscription may have an event.
    pub fn add_sleeper(&mut self, id: SubscriptionId, future: Py<PyAny>) {
        self.sleepers.push((id, future));
    }

    /// A consumer waits no longer.
    pub fn remove_sleeper(&mut self, future: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
        let index = self.sleepers.iter().position(|(_, other)| other.is(future))?;
        Some(self.sleepers.swap_remove(index).1)
    }

    /// Futures of consumers that should look again; all of them when the end has come.
    pub fn take_sleepers(&mut self, all: bool) -> Vec<Py<PyAny>> {
        let mut woken = Vec::new();
        let mut index = 0;
        while index < self.sleepers.len() {
            let id = self.sleepers[index].0;
            if all || self.core().is_none_or(|core| core.is_worth_asking(id)) {
                woken.push(self.sleepers.swap_remove(index).1);
            } else {
                index += 1;
            }
        }
        woken
    }

    /// One turn of the worker.
    pub fn turn(&mut self, shared: &Shared) -> Aftermath {
        let mut aftermath = Aftermath::default();
        shared.waker.silence();
        for ticket in std::mem::take(&mut *shared.abandoned.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.release(ticket);
        }
        while self.core().is_some_and(|core| !core.outbox_is_full())
            && let Some(record) = shared.next_send()
        {
            // Whoever sent it is in another thread and does not hear of it; the event is delivered again.
            if record.epoch.is_some_and(|epoch| self.core().is_some_and(|core| core.is_taken_back(epoch))) {
                continue;
            }
            if let Err(error) = self.send_owned(record) {
                aftermath.notices.push(format!("a record from another thread was not sent: {error}"));
            }
        }
        let Some(worker) = &mut self.worker else { return aftermath };
        match worker.turn() {
            Ok(happened) => aftermath.happened = happened,
            Err(error) => aftermath.failure = Some(error),
        }
        self.collect(&mut aftermath);
        aftermath.sleepers = self.take_sleepers(aftermath.failure.is_some());
        aftermath
    }

    /// Receipts and notices.
    fn collect(&mut self, aftermath: &mut Aftermath) {
        let now_ms = self.clock.as_ref().map_or_else(|| SystemClock::default().now_ms(), |clock| clock.now_ms());
        let Some(worker) = &mut self.worker else { return };
        while let Some(notice) = worker.poll_notice() {
            aftermath.notices.push(notice);
        }
        while let Some(receipt) = worker.core.poll_receipt() {
            let topic = name_of(&worker.core, receipt.topic);
            self.deliveries.settle(&receipt, &topic, now_ms, &mut aftermath.reports);
        }
    }

    /// Nothing to do and nothing under way.
    pub fn is_idle(&self, shared: &Shared) -> bool {
        !shared.has_sends() && self.core().is_some_and(Core::is_idle)
    }

    /// The worker has stopped: its threads are gone and its directory is free, the tables stay readable.
    pub fn retire(&mut self) -> Aftermath {
        let mut aftermath = Aftermath::default();
        self.collect(&mut aftermath);
        if let Some(mut worker) = self.worker.take() {
            self.deliveries.give_up(|topic| name_of(&worker.core, topic), &mut aftermath.reports);
            self.finished = Some(std::mem::replace(&mut worker.core, Core::new(self.options.clone())));
        }
        aftermath.sleepers = self.take_sleepers(true);
        aftermath
    }

    /// For the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        for (_, future) in &self.sleepers {
            visit.call(future)?;
        }
        self.deliveries.traverse(visit)
    }
}

impl Drop for Inner {
    /// In a child after `fork()` the worker's threads do not exist, and waiting for them would never end.
    fn drop(&mut self) {
        if self.made_in != fork::generation()
            && let Some(worker) = self.worker.take()
        {
            std::mem::forget(worker);
        }
    }
}

fn name_of(core: &Core, topic: TopicId) -> Arc<str> {
    core.topic(topic).map_or_else(|| Arc::from(""), |topic| topic.name.clone())
}

#[cold]
fn not_open(stopped: bool) -> Error {
    let state = if stopped { "was stopped" } else { "is not open yet" };
    Error::new(ErrorKind::Usage, format!("the belt {state}: start the app first"))
}
