//! The log that changes hands under a running worker.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_broker::{Endpoint, Serving};
use beltline_env::{Clock, spawn_thread};
use beltline_log::{DataDirectory, Fetched, GroupEvent, Log};
use beltline_types::{
    CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo, TopicPartition, TopicSpec,
};

use crate::AttachOptions;
use crate::opening::{Guest, Host, guest, host};

/// How often an attached process looks whether the holder has ended.
const LOOK: Duration = Duration::from_millis(200);

/// How often a question to a holder looks whether it has ended meanwhile.
const GIVE_UP: Duration = Duration::from_millis(50);

/// A wait's version carries which log it is of in the bits from here on.
const EPOCH_SHIFT: u32 = 48;

enum Role {
    Host(Host),
    Guest(Guest),
}

impl Role {
    fn log(&self) -> Arc<dyn Log> {
        match self {
            Role::Host(host) => host.log.clone(),
            Role::Guest(guest) => guest.log.clone(),
        }
    }
}

struct State {
    role: Role,
    /// Changes whenever the log in use is another one, or is known to be dead.
    epoch: u64,
    /// How often this log had said `Lost` when the log in use began; that one counts from 0.
    base: u64,
    /// How often this log has said `Lost`.
    losses: u64,
    /// What the worker wants to read, in which group.
    joined: Option<(Arc<str>, Vec<Arc<str>>)>,
    /// The log in use has not been told yet.
    needs_join: bool,
    assigned: BTreeSet<TopicPartition>,
    events: VecDeque<GroupEvent>,
    notices: VecDeque<String>,
    looked: Duration,
    /// Somebody calls [`Log::poll_group`] over and over, as nobody does before the worker has started.
    is_polled: bool,
    interrupted: bool,
    /// The worker ends: nothing changes hands any more.
    is_closing: bool,
}

/// The log of a data directory that several processes of one machine share, see the crate.
///
/// A holder reads and writes its log directly and is a member of its group beside those who are attached. An attached process
/// watches the directory in [`Log::poll_group`], which somebody must call over and over.
pub struct SharedLog {
    path: PathBuf,
    options: AttachOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// Closes a [`SharedLog`]'s endpoint when it is dropped, and keeps the log from changing hands from then on: for a worker to
/// hold until its last commit is written.
#[derive(Debug)]
pub struct Closing(pub Arc<SharedLog>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl SharedLog {
    pub(crate) fn hosting(path: &Path, options: AttachOptions, clock: Arc<dyn Clock>, host: Host) -> Arc<SharedLog> {
        SharedLog::new(path, options, clock, Role::Host(host))
    }

    pub(crate) fn attached(path: &Path, options: AttachOptions, clock: Arc<dyn Clock>, guest: Guest) -> Arc<SharedLog> {
        SharedLog::new(path, options, clock, Role::Guest(guest))
    }

    fn new(path: &Path, options: AttachOptions, clock: Arc<dyn Clock>, mut role: Role) -> Arc<SharedLog> {
        let notices = match &mut role {
            Role::Host(host) => std::mem::take(&mut host.notices).into(),
            Role::Guest(_) => VecDeque::new(),
        };
        let state = State {
            role,
            epoch: 1,
            base: 0,
            losses: 0,
            joined: None,
            needs_join: false,
            assigned: BTreeSet::new(),
            events: VecDeque::new(),
            notices,
            looked: Duration::ZERO,
            is_polled: false,
            interrupted: false,
            is_closing: false,
        };
        Arc::new(SharedLog { path: path.to_owned(), options, clock, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> Arc<dyn Log> {
        self.state().role.log()
    }

    /// Where the endpoint listens that others reach this log by; `None` when there is none.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.state().role {
            Role::Host(host) => host.serving.as_ref().map(Serving::address),
            Role::Guest(guest) => Some(guest.endpoint.address),
        }
    }

    /// The process that holds the directory, in words; `None` when it is this one.
    pub fn holder(&self) -> Option<String> {
        match &self.state().role {
            Role::Host(_) => None,
            Role::Guest(guest) => Some(guest.holder.clone()),
        }
    }

    /// Closes the endpoint. Those who are attached look for a new holder, which finds the directory free when this is dropped.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closing = true;
        let serving = match &mut state.role {
            Role::Host(host) => host.serving.take(),
            Role::Guest(_) => None,
        };
        drop(state);
        // Waits for its connections, which may ask for the state's lock never.
        drop(serving);
    }

    /// Asks the log in use. A holder that ends meanwhile ends the wait.
    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&dyn Log) -> Result<T> + Send + 'static) -> Result<T> {
        let state = self.state();
        let (log, epoch) = (state.role.log(), state.epoch);
        let is_host = matches!(state.role, Role::Host(_));
        drop(state);
        if is_host {
            return act(&*log);
        }
        let (sender, receiver) = sync_channel(1);
        let started = spawn_thread("beltline-attached", move || {
            // Who asked may have given up.
            let _ = sender.send(act(&*log));
        });
        started.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the system gives no thread for a question to the holder")
                .with_source(error)
        })?;
        loop {
            match receiver.recv_timeout(GIVE_UP) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if self.state().epoch == epoch => {
                    if !self.state().is_polled {
                        self.look()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let message = "the process that held the data directory has ended; its successor is asked again";
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "a question to the holder of the data directory panicked",
                    ));
                }
            }
        }
    }

    /// As [`SharedLog::ask`], for what may be asked twice: a worker that is about to start goes on with the next holder, for as
    /// long as its patience lasts.
    fn ask_on<T: Send + 'static>(&self, act: impl Fn(&dyn Log) -> Result<T> + Clone + Send + 'static) -> Result<T> {
        let deadline = self.clock.monotonic() + self.options.patience;
        loop {
            let epoch = self.state().epoch;
            let answer = self.ask(act.clone());
            let state = self.state();
            let has_ended = matches!(&answer, Err(error) if error.kind() == ErrorKind::Unavailable);
            if !has_ended || state.is_polled || state.epoch == epoch || self.clock.monotonic() >= deadline {
                return answer;
            }
        }
    }

    // -- changing hands ----------------------------------------------------------------------------------------------------

    /// Looks, now and then, whether the directory is free or has another holder.
    fn look(&self) -> Result<()> {
        let mut state = self.state();
        let now = self.clock.monotonic();
        let Role::Guest(guest) = &state.role else { return Ok(()) };
        if state.is_closing || self.options.kafka.observes || now < state.looked + LOOK {
            return Ok(());
        }
        let endpoint = guest.endpoint.clone();
        state.looked = now;
        drop(state);
        // What is wrong with the directory now may be right at the next look; the holder, if there is one, goes on.
        if let Ok(Some(directory)) = DataDirectory::try_open(&self.path, &self.options.holder) {
            return self.take_over(directory);
        }
        match Endpoint::find(&self.path) {
            Some(found) if found != endpoint => self.attach_anew(found),
            _ => Ok(()),
        }
    }

    fn take_over(&self, directory: DataDirectory) -> Result<()> {
        let warm = self.lose();
        let mut host = host(directory, &self.options, &self.clock, Some(&warm))?;
        let mut notices = std::mem::take(&mut host.notices);
        let address =
            host.serving.as_ref().map_or_else(String::new, |serving| format!(", reached at {}", serving.address()));
        notices.insert(0, format!("the holder of the data directory has ended; this process holds it now{address}"));
        self.install(Role::Host(host), notices);
        Ok(())
    }

    fn attach_anew(&self, endpoint: Endpoint) -> Result<()> {
        self.lose();
        match guest(&self.path, endpoint, &self.options) {
            Ok(guest) => {
                let notice = format!("the data directory has a new holder, {}; attached to it", guest.holder);
                self.install(Role::Guest(guest), vec![notice]);
                Ok(())
            }
            // It may have ended too; the next look tells.
            Err(_) => Ok(()),
        }
    }

    /// Calls everything lost that the dead holder had given; returns the numbers of it.
    fn lose(&self) -> Vec<u32> {
        let mut state = self.state();
        let lost: Vec<TopicPartition> = std::mem::take(&mut state.assigned).into_iter().collect();
        let numbers: BTreeSet<u32> = lost.iter().map(|partition| partition.partition).collect();
        // Who waits for an answer of the dead holder waits no longer.
        state.epoch += 1;
        if !lost.is_empty() {
            state.losses += 1;
            state.base = state.losses;
            state.events.push_back(GroupEvent::Lost(lost));
        }
        numbers.into_iter().collect()
    }

    fn install(&self, role: Role, notices: Vec<String>) {
        let mut state = self.state();
        let old = std::mem::replace(&mut state.role, role);
        state.epoch += 1;
        state.base = state.losses;
        state.needs_join = state.joined.is_some();
        state.notices.extend(notices);
        drop(state);
        // The client of a dead holder takes its time to end. Where the system gives no thread, that time is ours.
        let _ = spawn_thread("beltline-detach", move || drop(old));
    }

    /// Joins the group at a new holder.
    fn join_again(&self) -> Result<()> {
        let state = self.state();
        let (log, joined) = (state.role.log(), state.joined.clone());
        let Some((group, topics)) = joined.filter(|_| state.needs_join) else { return Ok(()) };
        drop(state);
        match log.join(&group, &topics) {
            Ok(()) => self.state().needs_join = false,
            // The next round tries again.
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn note(&self, event: &GroupEvent) {
        let mut state = self.state();
        match event {
            GroupEvent::Assigned(new) => state.assigned.extend(new.iter().cloned()),
            GroupEvent::Lost(lost) => {
                state.assigned.retain(|partition| !lost.contains(partition));
                state.losses += 1;
            }
            GroupEvent::Revoking(_) | GroupEvent::Standby(_) | GroupEvent::Gone { .. } => {}
        }
    }
}

impl Log for SharedLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        let wanted = wanted.to_vec();
        self.ask_on(move |log| log.create_topics(&wanted))
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.ask_on(|log| log.topics())
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        let name = name.to_owned();
        self.ask_on(move |log| log.topic(&name))
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.ask(move |log| log.delete_topic(&name))
    }

    fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let name = name.to_owned();
        self.ask(move |log| log.grow_topic(&name, partitions))
    }

    fn change_topic(&self, wanted: &TopicSpec) -> Result<()> {
        let wanted = wanted.clone();
        self.ask(move |log| log.change_topic(&wanted))
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<Offset> {
        let partition = partition.clone();
        self.ask(move |log| log.delete_records(&partition, before))
    }

    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        self.log().fetch(partition, offset, max_bytes)
    }

    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        let partition = partition.clone();
        self.ask_on(move |log| log.offsets(&partition))
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let state = self.state();
        let (log, epoch) = (state.role.log(), state.epoch << EPOCH_SHIFT);
        drop(state);
        let mask = (1 << EPOCH_SHIFT) - 1;
        // What another log has said is news, whatever its number.
        let known = if seen & !mask == epoch { seen & mask } else { 0 };
        epoch | (log.wait(known, timeout) & mask)
    }

    fn interrupt(&self) {
        let mut state = self.state();
        state.interrupted = true;
        let log = state.role.log();
        drop(state);
        log.interrupt();
    }

    fn commit(&self, mut request: CommitRequest) -> Result<CommitReceipt> {
        let base = self.state().base;
        let Some(losses) = request.losses.checked_sub(base) else {
            let message = "the unit was made before the data directory changed hands; nothing of it is written";
            return Err(Error::new(ErrorKind::Aborted, message));
        };
        request.losses = losses;
        self.ask(move |log| log.commit(request))
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        let (group, partitions) = (group.to_owned(), partitions.to_vec());
        self.ask(move |log| log.committed(&group, &partitions))
    }

    fn reset_group(&self, group: &str) -> Result<()> {
        let group = group.to_owned();
        self.ask(move |log| log.reset_group(&group))
    }

    fn groups(&self) -> Result<Vec<Arc<str>>> {
        self.ask(|log| log.groups())
    }

    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let (group, partitions) = (group.to_owned(), partitions.to_vec());
        self.ask(move |log| log.forget_offsets(&group, &partitions))
    }

    fn sync(&self) -> Result<()> {
        self.ask(|log| log.sync())
    }

    fn join(&self, group: &str, topics: &[Arc<str>]) -> Result<()> {
        let mut state = self.state();
        state.joined = Some((Arc::from(group), topics.to_vec()));
        if state.needs_join {
            return Ok(());
        }
        let log = state.role.log();
        drop(state);
        log.join(group, topics)
    }

    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        let deadline = self.clock.monotonic() + timeout;
        self.state().is_polled = true;
        loop {
            self.look()?;
            if let Some(event) = self.state().events.pop_front() {
                return Ok(Some(event));
            }
            self.join_again()?;
            let left = deadline.saturating_sub(self.clock.monotonic());
            let state = self.state();
            let (log, is_guest) = (state.role.log(), matches!(state.role, Role::Guest(_)));
            drop(state);
            let slice = if is_guest { left.min(LOOK) } else { left };
            if let Some(event) = log.poll_group(slice)? {
                self.note(&event);
                return Ok(Some(event));
            }
            if std::mem::take(&mut self.state().interrupted) || self.clock.monotonic() >= deadline {
                return Ok(None);
            }
        }
    }

    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut state = self.state();
        state.assigned.retain(|partition| !partitions.contains(partition));
        let log = state.role.log();
        drop(state);
        log.release(partitions)
    }

    fn leave(&self) -> Result<()> {
        let mut state = self.state();
        state.joined = None;
        state.needs_join = false;
        let log = state.role.log();
        drop(state);
        log.leave()
    }

    fn trouble(&self) -> Option<String> {
        let state = self.state();
        let (log, holder) = (
            state.role.log(),
            match &state.role {
                Role::Host(_) => None,
                Role::Guest(guest) => Some(guest.holder.clone()),
            },
        );
        drop(state);
        let trouble = log.trouble()?;
        match holder {
            None => Some(trouble),
            Some(holder) => Some(format!("the data directory is held by {holder}, which does not answer: {trouble}")),
        }
    }

    fn notice(&self) -> Option<String> {
        self.state().notices.pop_front()
    }

    fn maintain(&self) -> Result<()> {
        self.ask(|log| log.maintain())
    }
}

impl fmt::Debug for SharedLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedLog")
            .field("path", &self.path)
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}
