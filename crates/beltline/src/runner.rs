//! Turning the engine: events to handlers, failures to policies, time to timers.

use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Core, Next, SubscriptionId, TableSpec, Ticket, TopicId};
use beltline_env::Clock;
use beltline_table::ValueForm;
use beltline_types::{Error, ErrorKind, Result, TopicSpec, encode_headers};
use beltline_worker::{Local, Waker, Worker};

use crate::HandlerResult;
use crate::app::{App, Reads, Step};
use crate::belt::{Belt, Shared};
use crate::pattern::{OwnTopics, Patterns};
use crate::policy::{Last, OnError};

/// Events of one handler before the next one gets a turn.
const EVENTS_PER_TURN: usize = 1024;

/// The longest sleep without looking whether to stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

struct RunningHandler {
    name: String,
    subscription: SubscriptionId,
    step: Step,
    on_error: OnError,
    /// Where failed events go; looked up once.
    dead_letters: Option<TopicId>,
}

struct RunningTimer {
    every: Duration,
    due: Duration,
    step: Step,
}

/// A running app.
pub(crate) struct Runner {
    pub(crate) worker: Worker,
    pub(crate) shared: Shared,
    handlers: Vec<RunningHandler>,
    timers: Vec<RunningTimer>,
    pub(crate) patterns: Patterns,
    clock: Arc<dyn Clock>,
    stopping: bool,
}

impl Runner {
    /// Declares everything in the log and starts the I/O threads.
    pub(crate) fn start(app: App, local: Local, clock: Arc<dyn Clock>) -> Result<Runner> {
        let (waker, is_on_kafka): (Waker, bool) = (Arc::new(|| {}), app.is_on_kafka());
        let mut worker = local.into_worker(app.core.clone(), waker)?;
        let mut shared = Shared::default();
        for topic in &app.topics {
            shared.topics.push(worker.declare_topic(TopicSpec::new(topic.name.clone(), topic.partitions))?);
        }
        for table in &app.tables {
            let (changelog, partitions) = (Arc::from(app.changelog(table)), app.table_partitions());
            let spec = TableSpec { name: table.clone(), changelog, partitions, values: ValueForm::Json };
            shared.tables.push(worker.add_table(spec)?);
        }
        shared.warned = vec![false; shared.tables.len()];
        let partitions = app.table_partitions();
        let mut patterns = Patterns::new(app.patterns, OwnTopics::new(&app.name, app.between));
        let mut handlers = Vec::with_capacity(app.handlers.len());
        for handler in app.handlers {
            let on_error = handler.on_error.unwrap_or_else(|| app.on_error.clone());
            let dead_letters = match on_error.dead_letter_topic() {
                Some(topic) => Some(worker.declare_topic(TopicSpec::new(topic, partitions))?),
                None => None,
            };
            let subscription = match handler.reads {
                Reads::Topic(topic) => worker.core.subscribe(&handler.name, &[shared.topics[topic]])?,
                Reads::Pattern(pattern) => patterns.subscribe(&mut worker, &handler.name, pattern)?,
            };
            handlers.push(RunningHandler {
                name: handler.name,
                subscription,
                step: handler.step,
                on_error,
                dead_letters,
            });
        }
        let now = clock.monotonic();
        let timers = app.timers.into_iter().map(|timer| {
            let every = timer.every.max(Duration::from_millis(1));
            RunningTimer { every, due: now + every, step: timer.step }
        });
        let timers = timers.collect();
        worker.start()?;
        patterns.survey(&mut worker, is_on_kafka)?;
        // With a Kafka client the log itself is shared and served, see `App::open`.
        #[cfg(not(feature = "kafka"))]
        if !is_on_kafka {
            crate::serving::serve(&mut worker, &mut shared.notices, app.endpoint)?;
        }
        Ok(Runner { worker, shared, handlers, timers, patterns, clock, stopping: false })
    }

    /// One round: what the log brought, some events of every handler, timers that are due. Says whether anything
    /// happened.
    pub(crate) fn turn(&mut self) -> Result<bool> {
        let mut happened = self.worker.turn()?;
        self.patterns.hear(&mut self.worker.core, &mut self.shared.notices)?;
        while self.worker.core.poll_receipt().is_some() {}
        while let Some(notice) = self.worker.poll_notice() {
            self.shared.notices.push(notice);
        }
        for index in 0..self.handlers.len() {
            happened |= self.run_handler(index)?;
        }
        if !self.stopping {
            happened |= self.run_timers()?;
        }
        Ok(happened)
    }

    fn run_handler(&mut self, index: usize) -> Result<bool> {
        let subscription = self.handlers[index].subscription;
        for count in 0..EVENTS_PER_TURN {
            let Next::Event(ticket) = self.worker.core.next(subscription) else { return Ok(count > 0) };
            let handler = &mut self.handlers[index];
            match run_step(&mut handler.step, &mut self.worker.core, &mut self.shared, Some(ticket)) {
                Ok(()) => {}
                Err(error) => self.failed(index, ticket, error)?,
            }
            self.worker.core.done(ticket);
        }
        Ok(true)
    }

    fn run_timers(&mut self) -> Result<bool> {
        let now = self.clock.monotonic();
        let mut happened = false;
        for timer in &mut self.timers {
            if timer.due > now {
                continue;
            }
            // A late timer does not run twice to catch up.
            timer.due = (timer.due + timer.every).max(now);
            happened = true;
            if let Err(error) = run_step(&mut timer.step, &mut self.worker.core, &mut self.shared, None) {
                return Err(Error::new(ErrorKind::Handler, "a timer failed").with_source(error));
            }
        }
        Ok(happened)
    }

    /// Does what the handler's policy says; an error stops the app, and the event stays unfinished.
    fn failed(
        &mut self,
        index: usize,
        ticket: Ticket,
        mut error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Result<()> {
        let mut attempts = 1;
        let undecodable = error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Decode);
        while let Some(pause) = self.handlers[index].on_error.pause(attempts).filter(|_| !undecodable) {
            self.sleep(pause)?;
            let step = &mut self.handlers[index].step;
            match run_step(step, &mut self.worker.core, &mut self.shared, Some(ticket)) {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
            attempts += 1;
        }
        let handler = &self.handlers[index];
        let name = &handler.name;
        let partition = self.worker.core.topic_partition(&ticket).map_or_else(String::new, ToString::to_string);
        let address = format!("{partition}@{}", ticket.offset());
        match handler.on_error.last() {
            Last::Fail => {
                let message = format!("handler {name} failed on {address}; the event is met again at the next start");
                Err(Error::new(ErrorKind::Handler, message).with_source(error))
            }
            Last::Skip => {
                self.shared.notices.push(format!("handler {name} failed on {address}, skipped: {error}"));
                Ok(())
            }
            Last::DeadLetter(topic) => {
                self.shared.notices.push(format!("handler {name} failed on {address}, sent to {topic}: {error}"));
                let target = handler.dead_letters;
                let name = name.clone();
                self.send_dead_letter(ticket, target, &name, &error.to_string(), attempts)
            }
        }
    }

    /// The record unchanged, with the cause in headers of the same names as the Python face has them.
    fn send_dead_letter(
        &mut self,
        ticket: Ticket,
        target: Option<TopicId>,
        handler: &str,
        message: &str,
        attempts: u32,
    ) -> Result<()> {
        let core = &mut self.worker.core;
        let (Some(target), Some(batch)) = (target, core.batch(&ticket).cloned()) else { return Ok(()) };
        let record = batch.get(ticket.index_in_batch());
        let source = core.topic_partition(&ticket).cloned().unwrap_or_default();
        let texts = [
            ("beltline-error-message", message.to_owned()),
            ("beltline-error-handler", handler.to_owned()),
            ("beltline-error-topic", source.topic.to_string()),
            ("beltline-error-partition", source.partition.to_string()),
            ("beltline-error-offset", record.offset.to_string()),
            ("beltline-error-attempts", attempts.to_string()),
        ];
        let causes = texts.iter().map(|(name, text)| (*name, Some(text.as_bytes())));
        let headers = encode_headers(record.headers().chain(causes));
        core.emit(target, None, record.key, record.value, &headers, record.timestamp)?;
        Ok(())
    }

    /// Waits before a retry while commits and fetches go on.
    fn sleep(&mut self, pause: Duration) -> Result<()> {
        let until = self.clock.monotonic() + pause;
        loop {
            self.worker.turn()?;
            let now = self.clock.monotonic();
            if now >= until {
                return Ok(());
            }
            self.worker.wait((until - now).min(LONGEST_SLEEP));
        }
    }

    /// Sleeps until something happens or a timer is due.
    pub(crate) fn wait(&self, longest: Duration) {
        let now = self.clock.monotonic();
        let due = self.timers.iter().map(|timer| timer.due.saturating_sub(now)).min().unwrap_or(longest);
        self.worker.wait(due.min(longest).min(LONGEST_SLEEP));
    }

    /// Finishes what is in flight, commits, and joins the threads.
    pub(crate) fn stop(&mut self, deadline: Duration) -> Result<()> {
        self.stopping = true;
        self.worker.begin_stop(deadline);
        let until = self.clock.monotonic() + deadline;
        while !self.worker.core.is_stopped() && self.clock.monotonic() < until {
            if !self.turn()? {
                self.wait(LONGEST_SLEEP);
            }
        }
        self.worker.stop(until.saturating_sub(self.clock.monotonic()))
    }

    /// Sentences for the operator since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.shared.notices)
    }
}

fn run_step(step: &mut Step, core: &mut Core, shared: &mut Shared, ticket: Option<Ticket>) -> HandlerResult {
    step(&mut Belt { core, shared, ticket })?;
    match shared.pending.take() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
