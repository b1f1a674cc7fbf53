//! The worker: a core, its I/O threads, and the turn that connects them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_engine::{Core, Health, LogCommand, LogEvent, TableId, TableSpec, TopicId};
use beltline_env::{Clock, SystemClock, spawn_thread};
use beltline_log::{DataDirectory, Log};
use beltline_store::Store;
use beltline_types::{Error, ErrorKind, Result, TopicSpec};

use crate::committer::Committer;
use crate::fetcher::{FetchJob, Fetcher};
use crate::inbox::{Inbox, Waker, guarded};
use crate::io;
use crate::member::Member;
use crate::restorer::{RestoreJob, Restorer};
use crate::standby::Standby;
use crate::surveyor::Surveyor;
use crate::tidier::Tidier;
use crate::turns::Turns;

/// Shards restored side by side.
const RESTORE_THREADS: usize = 2;

/// The longest sleep of [`Worker::wait`] without looking again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

struct Threads {
    fetcher: Arc<Fetcher>,
    committer: Arc<Committer>,
    restorer: Arc<Restorer>,
    standby: Arc<Standby>,
    member: Arc<Member>,
    tidier: Arc<Tidier>,
    surveyor: Arc<Surveyor>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn end(&self) {
        self.member.end();
        self.fetcher.end();
        self.standby.end();
        self.restorer.end();
        self.tidier.end();
        self.surveyor.end();
        self.committer.end();
    }
}

/// Turns a [`Core`] in the real world. One thread owns it; the data plane is the public `core`.
pub struct Worker {
    /// Subscriptions, tables, sends. Topics and tables are added through the worker, which creates them in the log.
    pub core: Core,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    inbox: Arc<Inbox>,
    threads: Threads,
    started: bool,
    /// Numbers of the partitions whose shards are kept warm.
    standby: Vec<u32>,
    /// Whether there is a thread that does it.
    stands_by: bool,
    /// Somebody wants to hear of topics and partitions that come up.
    surveys: bool,
    failure: Option<(ErrorKind, String)>,
    /// What others started on this worker's log; let go before the directory is.
    guests: Vec<Box<dyn Send + Sync>>,
    /// Held for as long as anybody may write below it; let go after the threads have ended.
    directory: Option<DataDirectory>,
    events: VecDeque<LogEvent>,
    notices: Vec<String>,
}

/// Why the worker cannot go on after what has happened to a topic.
fn end_of_topic(core: &Core, event: &LogEvent) -> Option<Error> {
    match event {
        LogEvent::Gone { topic, why } if core.needs(topic) => Some(Error::new(ErrorKind::NotFound, why.clone())),
        LogEvent::Assigned(partitions) => {
            // Several new ones may come at once; the last of them tells best how many the topic has now.
            let grown = partitions.iter().filter_map(|name| {
                core.misgrowth(&name.topic, name.partition + 1).map(|error| (name.partition, error))
            });
            grown.max_by_key(|(number, _)| *number).map(|(_, error)| error)
        }
        LogEvent::Topics(topics) => topics.iter().find_map(|topic| core.misgrowth(&topic.name, topic.partitions)),
        _ => None,
    }
}

impl Worker {
    /// A worker that has not started: topics and tables can be declared. `waker` is called from I/O threads when
    /// [`Worker::turn`] has something to do; it must not block.
    ///
    /// # Errors
    /// None at present; opening may ask the log one day.
    pub fn open(core: Core, log: Arc<dyn Log>, store: Store, clock: Arc<dyn Clock>, waker: Waker) -> Result<Worker> {
        let inbox = Arc::new(Inbox::new(waker));
        let store = Arc::new(store);
        let turns = Arc::new(Turns::default());
        let group = core.options().group.clone();
        let surveyor = Arc::new(Surveyor::new(log.clone(), inbox.clone()));
        let threads = Threads {
            fetcher: Arc::new(Fetcher::new(log.clone(), inbox.clone(), group.clone())),
            committer: Arc::new(Committer::new(log.clone(), store.clone(), turns.clone(), inbox.clone())),
            restorer: Arc::new(Restorer::new(log.clone(), store.clone(), turns.clone(), inbox.clone())),
            standby: Arc::new(Standby::new(log.clone(), store.clone(), turns, inbox.clone())),
            member: Arc::new(Member::new(log.clone(), inbox.clone(), surveyor.clone(), group)),
            tidier: Arc::new(Tidier::new(log.clone(), store, inbox.clone())),
            surveyor,
            handles: Vec::new(),
        };
        let (events, notices) = (VecDeque::new(), Vec::new());
        Ok(Worker {
            core,
            log,
            clock,
            inbox,
            threads,
            started: false,
            standby: Vec::new(),
            stands_by: false,
            surveys: false,
            failure: None,
            guests: Vec::new(),
            directory: None,
            events,
            notices,
        })
    }

    /// Keeps the data directory held until the worker has stopped.
    pub(crate) fn hold(&mut self, directory: Option<DataDirectory>) {
        self.directory = directory;
    }

    /// The data directory this worker holds, if it holds one.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_ref().map(DataDirectory::path)
    }

    /// Keeps something that uses the log until the last commit is written: an endpoint. It is dropped then, whoever
    /// has asked for the end, and before another process may take the directory.
    pub fn accompany(&mut self, guest: Box<dyn Send + Sync>) {
        self.guests.push(guest);
    }

    /// The clock that this worker goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Gives the operator something to read, see [`Worker::poll_notice`].
    pub(crate) fn tell(&mut self, notice: Option<String>) {
        self.notices.extend(notice);
    }

    /// The log, for what needs no worker: listing topics, single reads.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Creates a topic if it does not exist and makes it known to the core. One that exists stays as it is; see
    /// `core.topic(id)` for the partitions it really has. Blocks.
    ///
    /// # Errors
    /// `Usage` for a name or a number of partitions the log refuses; otherwise what the disk says.
    pub fn declare_topic(&mut self, spec: TopicSpec) -> Result<TopicId> {
        self.check()?;
        let name = spec.name.clone();
        self.log.create_topics(&[spec])?;
        let info = self.log.topic(&name)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("topic {name} was deleted at the moment it was declared"))
        })?;
        Ok(self.core.add_topic(info))
    }

    /// Creates a table's changelog if it does not exist and adds the table to the core. Blocks.
    ///
    /// # Errors
    /// `Usage` when the changelog that exists has another number of partitions.
    pub fn add_table(&mut self, spec: TableSpec) -> Result<TableId> {
        self.check()?;
        io::prepare_changelog(&*self.log, &spec)?;
        Ok(self.core.add_table(spec))
    }

    /// Joins the group and starts the I/O threads; a second call has no effect.
    ///
    /// # Errors
    /// `Usage` when a topic does not fit a table, `Internal` when the system gives no thread, `Unauthorized` when the
    /// group does not take us. A log that does not answer is no error: the group is joined when it does.
    pub fn start(&mut self) -> Result<()> {
        self.check()?;
        if self.started {
            return Ok(());
        }
        if let Some(error) = self.core.misfit() {
            return Err(error);
        }
        self.join()?;
        let member = self.threads.member.clone();
        self.spawn("beltline-group", move || member.listen())?;
        let member = self.threads.member.clone();
        self.spawn("beltline-member", move || member.run())?;
        let fetcher = self.threads.fetcher.clone();
        self.spawn("beltline-fetch", move || fetcher.run())?;
        let fetcher = self.threads.fetcher.clone();
        self.spawn("beltline-watch", move || fetcher.watch())?;
        let fetcher = self.threads.fetcher.clone();
        self.spawn("beltline-look-up", move || fetcher.look_up_positions())?;
        let committer = self.threads.committer.clone();
        self.spawn("beltline-commit", move || committer.run())?;
        for _ in 0..RESTORE_THREADS {
            let restorer = self.threads.restorer.clone();
            self.spawn("beltline-restore", move || restorer.run())?;
        }
        let tidier = self.threads.tidier.clone();
        self.spawn("beltline-tidy", move || tidier.run())?;
        self.started = true;
        if self.surveys {
            self.spawn_surveyor()?;
        }
        Ok(())
    }

    /// Has the log looked through every so often, and whenever the group has decided something, for new topics (see
    /// [`Core::topics_seen`]) and for topics that have got more partitions, which are read from then on.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn survey_topics(&mut self, interval: Duration) -> Result<()> {
        self.threads.surveyor.every(interval);
        if !std::mem::replace(&mut self.surveys, true) && self.started {
            self.spawn_surveyor()?;
        }
        Ok(())
    }

    fn spawn_surveyor(&mut self) -> Result<()> {
        let surveyor = self.threads.surveyor.clone();
        self.spawn("beltline-topics", move || surveyor.run())
    }

    /// The first join, while no thread listens yet: a log of our own knows at once what is ours.
    fn join(&mut self) -> Result<()> {
        let now = self.clock.monotonic();
        self.core.tick(now);
        while let Some(command) = self.core.poll_command() {
            let LogCommand::Join { topics } = command else {
                self.execute(command)?;
                continue;
            };
            if let Some(event) = self.threads.member.join_now(topics)? {
                self.core.handle(event, now);
            }
        }
        Ok(())
    }

    fn spawn(&mut self, name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let inbox = self.inbox.clone();
        let handle = spawn_thread(name, move || guarded(&inbox, name, body)).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("the system gives no thread for {name}")).with_source(error)
        })?;
        self.threads.handles.push(handle);
        Ok(())
    }

    /// Refuses work after a fatal error.
    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some((kind, message)) => {
                Err(Error::new(*kind, format!("the worker has failed before and must be opened anew: {message}")))
            }
        }
    }

    /// Events in, time, commands out; says whether anything happened. Never blocks. Call it when the waker was
    /// called, when [`Core::next`] says `Wait`, when [`Core::wants_turn`] says so, and at
    /// [`Worker::next_deadline`].
    ///
    /// # Errors
    /// A fatal one (disk full, corrupt log, a panic of an I/O thread) with its cause; after it the worker refuses
    /// work and what was not committed is lost.
    pub fn turn(&mut self) -> Result<bool> {
        self.check()?;
        let fatal = self.inbox.take(&mut self.events, &mut self.notices);
        let now = self.clock.monotonic();
        let mut happened = !self.events.is_empty();
        let mut fatal = fatal;
        while let Some(event) = self.events.pop_front() {
            fatal = fatal.or_else(|| end_of_topic(&self.core, &event));
            self.core.handle(event, now);
        }
        if let Some(error) = fatal {
            self.failure = Some((error.kind(), error.to_string()));
            return Err(error);
        }
        self.core.tick(now);
        if !self.started {
            return Ok(happened);
        }
        while let Some(command) = self.core.poll_command() {
            happened = true;
            self.execute(command)?;
        }
        while let Some(notice) = self.core.poll_notice() {
            self.notices.push(notice);
        }
        self.threads.tidier.allow(self.core.shards_ready());
        Ok(happened)
    }

    fn execute(&mut self, command: LogCommand) -> Result<()> {
        match command {
            LogCommand::Fetch { fetch, partition, offset, max_bytes, wait } => {
                self.threads.fetcher.fetch(FetchJob { fetch, partition, offset, max_bytes, wait });
            }
            LogCommand::CancelFetch { fetch, .. } => self.threads.fetcher.cancel(fetch),
            LogCommand::LookupOffsets { lookup, partitions } => self.threads.fetcher.look_up(lookup, partitions),
            LogCommand::Commit(unit) => self.threads.committer.commit(unit, self.table_names()),
            LogCommand::Restore { restore, table, partition } => {
                if let Some(spec) = self.core.table_spec(table).cloned() {
                    self.threads.restorer.restore(RestoreJob { restore, table, spec, partition });
                }
            }
            LogCommand::Join { topics } => self.threads.member.join(topics),
            LogCommand::Release { partitions } => self.threads.member.release(partitions),
            LogCommand::DropShards { partitions } => {
                self.threads.standby.forget(&partitions);
                let names = self.table_names();
                partitions.iter().for_each(|partition| self.threads.restorer.drop_shards(*partition, &names));
            }
            LogCommand::Standby { partitions } => self.stand_by(partitions)?,
        }
        Ok(())
    }

    fn table_names(&self) -> Vec<Arc<str>> {
        self.core.tables().map(|(_, spec)| spec.name.clone()).collect()
    }

    /// Has other shards kept warm from now on. The thread is started when there is something to do for it: most workers
    /// never need one.
    fn stand_by(&mut self, partitions: Vec<u32>) -> Result<()> {
        let specs: Vec<TableSpec> = self.core.tables().map(|(_, spec)| spec.clone()).collect();
        self.threads.standby.set(&partitions, &specs);
        let names = self.table_names();
        let before = std::mem::replace(&mut self.standby, partitions);
        for partition in before.into_iter().filter(|partition| !self.standby.contains(partition)) {
            // One that became ours is closed and loaded anew by its restore.
            if !self.core.assigned().any(|ours| ours.partition == partition) {
                self.threads.restorer.drop_shards(partition, &names);
            }
        }
        if !self.standby.is_empty() && !std::mem::replace(&mut self.stands_by, true) {
            let standby = self.threads.standby.clone();
            self.spawn("beltline-standby", move || standby.run())?;
        }
        Ok(())
    }

    /// The next sentence for the operator's log.
    pub fn poll_notice(&mut self) -> Option<String> {
        (!self.notices.is_empty()).then(|| self.notices.remove(0))
    }

    /// How long the driver may sleep when nothing wakes it; `None` is for ever.
    pub fn next_deadline(&self) -> Option<Duration> {
        Some(self.core.next_deadline()?.saturating_sub(self.clock.monotonic()))
    }

    /// Sleeps until a turn has something to do, at most `timeout`: for drivers that are plain threads.
    pub fn wait(&self, timeout: Duration) {
        if self.core.wants_turn() {
            return;
        }
        let deadline = self.next_deadline().unwrap_or(LONGEST_WAIT);
        self.inbox.wait(timeout.min(deadline).min(LONGEST_WAIT));
    }

    /// Sleeps until an I/O thread has brought something, at most `timeout`, whatever is due: for a driver whose clock is
    /// moved by hand, where time alone makes nothing happen.
    pub fn wait_for_io(&self, timeout: Duration) {
        self.inbox.wait(timeout.min(LONGEST_WAIT));
    }

    /// The core's state at this moment.
    pub fn health(&self) -> Health {
        self.core.health()
    }

    /// Begins to stop without waiting: no new events; those in flight have until `deadline` from now. Turn on
    /// until `core.is_stopped()`, then call [`Worker::stop`].
    pub fn begin_stop(&mut self, deadline: Duration) {
        self.core.stop(self.clock.monotonic() + deadline);
    }

    /// Stops: writes the last unit, waiting for the log no longer than `deadline`, and joins the threads. Events
    /// still in flight cannot finish meanwhile, because this call holds the worker; they will be repeated.
    ///
    /// # Errors
    /// The fatal error if there is one; `Limit` when the log does not answer in time, the threads are then left
    /// to themselves.
    pub fn stop(&mut self, deadline: Duration) -> Result<()> {
        let result = self.finish(deadline);
        self.guests.clear();
        self.leave();
        self.threads.end();
        let hangs = matches!(&result, Err(error) if error.kind() == ErrorKind::Limit);
        for handle in std::mem::take(&mut self.threads.handles) {
            if !hangs {
                // A panic was reported through the inbox.
                let _ = handle.join();
            }
        }
        let fatal = self.inbox.take(&mut self.events, &mut self.notices);
        self.started = false;
        if self.failure.is_none() {
            self.failure = Some((ErrorKind::Usage, "it was stopped".to_owned()));
        }
        match fatal {
            Some(error) if result.is_ok() => Err(error),
            _ => result,
        }
    }

    /// Leaves the group after the last commit, so that others need not wait for the session to expire.
    fn leave(&mut self) {
        if self.started
            && let Err(error) = self.log.leave()
        {
            self.notices.push(format!("others take over when the session has expired: {error}"));
        }
    }

    fn finish(&mut self, deadline: Duration) -> Result<()> {
        if !self.started || self.failure.is_some() {
            return Ok(());
        }
        self.core.stop(self.clock.monotonic());
        // The log's answer takes real time, also where the worker's clock is moved by hand.
        let watch = SystemClock::default();
        loop {
            self.turn()?;
            if self.core.is_stopped() {
                return Ok(());
            }
            let left = deadline.saturating_sub(watch.monotonic());
            if left.is_zero() {
                return Err(Error::new(
                    ErrorKind::Limit,
                    "the log did not answer the last commit in time; after a restart its events may be repeated",
                ));
            }
            self.inbox.wait(left.min(LONGEST_WAIT));
        }
    }
}

impl Drop for Worker {
    /// Ends the threads without a last commit; [`Worker::stop`] is the orderly way.
    fn drop(&mut self) {
        self.guests.clear();
        self.leave();
        self.threads.end();
        for handle in std::mem::take(&mut self.threads.handles) {
            let _ = handle.join();
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").field("core", &self.core).field("started", &self.started).finish()
    }
}
