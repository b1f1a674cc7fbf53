//! One process's view of the shared log: everything is passed on, the group decides what may be.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_env::{Clock, ManualClock};
use beltline_log::{EmbeddedLog, Fetched, GroupEvent, Log};
use beltline_types::{
    CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo, TopicPartition, TopicSpec,
};

use crate::coordinator::{Coordinator, MemberId};
use crate::node::{BY_VALUE, CHANGELOG, INPUT};

#[derive(Default)]
struct State {
    id: Option<MemberId>,
    topics: Vec<Arc<str>>,
    /// Assigned in this membership and not given back.
    given: BTreeSet<TopicPartition>,
    /// Asked back in this membership.
    revoking: BTreeSet<TopicPartition>,
    /// How often something was called lost.
    losses: u64,
    /// What was given in a membership that ended, and not called lost yet.
    lost: BTreeSet<TopicPartition>,
}

pub(crate) struct MemberLog {
    log: Arc<EmbeddedLog>,
    group: Arc<Mutex<Coordinator>>,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
    /// As without transactions: what one who was thrown out appends is there, only its positions are refused.
    appends_late: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemberLog {
    pub(crate) fn new(
        log: Arc<EmbeddedLog>,
        group: Arc<Mutex<Coordinator>>,
        clock: Arc<ManualClock>,
        appends_late: bool,
    ) -> Self {
        MemberLog { log, group, clock, state: Mutex::default(), appends_late }
    }

    pub(crate) fn id(&self) -> Option<MemberId> {
        lock(&self.state).id
    }

    /// Whether the group has thrown this member out.
    fn is_out(&self) -> bool {
        lock(&self.state).id.is_none_or(|id| !lock(&self.group).is_member(id))
    }

    fn begin_anew(&self, state: &mut State) {
        let State { given, lost, revoking, .. } = state;
        lost.append(given);
        revoking.clear();
        state.id = Some(lock(&self.group).join(&state.topics, self.clock.monotonic()));
    }
}

impl Log for MemberLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        self.log.create_topics(wanted)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics()
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        self.log.topic(name)
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        self.log.delete_topic(name)
    }

    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        if [INPUT, BY_VALUE].contains(&&*partition.topic)
            && let Some(id) = self.id()
        {
            lock(&self.group).check(id, "reads", partition)?;
        }
        self.log.fetch(partition, offset, max_bytes)
    }

    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        self.log.offsets(partition)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.log.wait(seen, timeout)
    }

    fn interrupt(&self) {
        self.log.interrupt();
    }

    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt> {
        // Sends alone take no membership; those of events come with positions where events count once.
        let is_of_member =
            !request.offsets.is_empty() || request.appends.iter().any(|append| &*append.target.topic == CHANGELOG);
        if is_of_member && self.is_out() {
            if self.appends_late {
                self.log.commit(CommitRequest { offsets: Vec::new(), ..request })?;
            }
            let message = "the group knows no such member; it must join again";
            return Err(Error::new(ErrorKind::Fenced, message));
        }
        if lock(&self.state).losses > request.losses || !lock(&self.state).lost.is_empty() {
            let message = "the unit was made in a membership that has ended";
            return Err(Error::new(ErrorKind::Aborted, message));
        }
        for (partition, _) in &request.offsets {
            lock(&self.group).check(self.id().unwrap_or_default(), "commits", partition)?;
        }
        self.log.commit(request)
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
        let out = self.is_out();
        let mut state = lock(&self.state);
        state.topics = topics.to_vec();
        if out {
            self.begin_anew(&mut state);
        } else if let Some(id) = state.id {
            lock(&self.group).answer(id);
        }
        Ok(())
    }

    /// What was lost comes before what is new; a member that was thrown out joins again by itself, as Kafka's client does.
    fn poll_group(&self, _timeout: Duration) -> Result<Option<GroupEvent>> {
        let out = self.is_out();
        let mut state = lock(&self.state);
        if out && state.id.is_some() {
            self.begin_anew(&mut state);
        }
        if !state.lost.is_empty() {
            state.losses += 1;
            return Ok(Some(GroupEvent::Lost(std::mem::take(&mut state.lost).into_iter().collect())));
        }
        let Some(id) = state.id else { return Ok(None) };
        let event = lock(&self.group).next_event(id);
        match &event {
            Some(GroupEvent::Assigned(partitions)) => state.given.extend(partitions.iter().cloned()),
            Some(GroupEvent::Revoking(partitions)) => state.revoking.extend(partitions.iter().cloned()),
            _ => {}
        }
        Ok(event)
    }

    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut state = lock(&self.state);
        // What was not asked back in this membership was in another one, and is lost.
        let asked: Vec<TopicPartition> =
            partitions.iter().filter(|partition| state.revoking.remove(partition)).cloned().collect();
        state.given.retain(|partition| !asked.contains(partition));
        let Some(id) = state.id else { return Ok(()) };
        lock(&self.group).release(id, &asked)
    }

    fn leave(&self) -> Result<()> {
        let mut state = lock(&self.state);
        if let Some(id) = state.id.take() {
            lock(&self.group).remove(id);
        }
        *state = State::default();
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn maintain(&self) -> Result<()> {
        self.log.maintain()
    }
}
