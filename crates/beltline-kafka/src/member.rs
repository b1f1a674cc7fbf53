//! The membership in a group: what librdkafka says becomes [`GroupEvent`]s, answers go back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_env::Clock;
use beltline_log::assignment::{Numbers, PROTOCOL};
use beltline_log::{Fetched, GroupEvent};
use beltline_types::{Error, ErrorKind, Offset, Result, TopicPartition};

use crate::assignor::MemberAssignor;
use crate::context::Context;
use crate::errors::{cause_of, is_transient, kind_of};
use crate::health::Deadline;
use crate::lane::Lane;
use crate::options::StartPolicy;
use crate::raw::client::{Client, Role};
use crate::raw::code::{Code, Fault};
use crate::raw::consumer::GroupMetadata;
use crate::raw::list::{BEGINNING, END, Entry, NO_OFFSET, PartitionList};
use crate::raw::queue::{Event, Queue, REBALANCE_EVENT};
use crate::topics;

/// How long one look at the queue lasts at most, so that a loss during a revocation is seen.
const SLICE: Duration = Duration::from_millis(100);

/// How long librdkafka may take to end a membership without the brokers.
const ENDING: Duration = Duration::from_secs(1);

/// How long what the group was told may differ from what is to be read before it is told again: longer than a rebalance
/// that nobody delays.
const UNANNOUNCED: Duration = Duration::from_secs(2);

/// Partitions that others are to get.
struct Revoking {
    all: Vec<TopicPartition>,
    /// Those that the worker has not let go yet.
    open: BTreeSet<TopicPartition>,
}

#[derive(Default)]
struct State {
    /// What is to be read, in order.
    topics: Vec<Arc<str>>,
    /// Since when the group has been told something else, and after how many joins.
    unannounced: (Duration, u64),
    events: VecDeque<GroupEvent>,
    revoking: Option<Revoking>,
    /// What was last said about standbys.
    standby: Numbers,
}

type Lanes = BTreeMap<TopicPartition, Arc<Mutex<Lane>>>;

/// One membership, from joining to leaving.
pub(crate) struct Member {
    context: Arc<Context>,
    pub(crate) group: Arc<str>,
    state: Mutex<State>,
    lanes: Mutex<Lanes>,
    queue: Queue,
    assignor: Arc<MemberAssignor>,
    client: Arc<Client>,
    /// Held by whoever serves the queue.
    serving: Mutex<()>,
    interrupted: AtomicBool,
    leaving: AtomicBool,
    /// The brokers have forgotten this member in the middle of a revocation; it must begin anew.
    ended: AtomicBool,
}

impl Member {
    /// Joins a group. `lost` is what an earlier membership had, which is said before anything else; the tables of `warm`
    /// numbers are on this machine.
    pub(crate) fn join(
        context: &Arc<Context>,
        group: &str,
        topics: &[Arc<str>],
        lost: Vec<TopicPartition>,
        warm: Numbers,
    ) -> Result<Member> {
        let client = context.client(Role::Member, Some(group), None)?;
        let assignor = Arc::new(MemberAssignor::new(warm));
        let deadline = context.question();
        let made = client
            .register_assignor(PROTOCOL, assignor.clone())
            .and_then(|()| Queue::of_consumer(&client))
            .map_err(|fault| context.error(&format!("joining the group {group}"), &deadline, &fault));
        let member = Member {
            context: context.clone(),
            group: group.into(),
            state: Mutex::default(),
            lanes: Mutex::default(),
            queue: made?,
            assignor,
            client,
            serving: Mutex::default(),
            interrupted: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        if !lost.is_empty() {
            member.state().events.push_back(GroupEvent::Lost(lost));
        }
        member.subscribe(topics)?;
        Ok(member)
    }

    /// Reads these topics from the next generation on.
    pub(crate) fn subscribe(&self, topics: &[Arc<str>]) -> Result<()> {
        let mut wanted = topics.to_vec();
        wanted.sort();
        wanted.dedup();
        self.look_up_new(&wanted)?;
        let mut state = self.state();
        if state.topics == wanted {
            // The group will not notice, so the answer is given here.
            state.events.push_back(GroupEvent::Assigned(Vec::new()));
            self.queue.interrupt();
            return Ok(());
        }
        self.announce(&wanted)?;
        state.topics = wanted;
        state.unannounced.0 = self.now();
        Ok(())
    }

    fn announce(&self, topics: &[Arc<str>]) -> Result<()> {
        let deadline = self.context.question();
        let subscribed = PartitionList::of_topics(topics).and_then(|list| self.client.subscribe(&list));
        let doing = || format!("subscribing to {}", topics.join(", "));
        subscribed.map_err(|fault| self.context.error(&doing(), &deadline, &fault))
    }

    /// Has librdkafka know the topics that come in before they are subscribed to. One that has to ask for them first
    /// calls the partitions of topics that go out lost, and joins again only if it is the leader; and it may abort the
    /// process while it joins without a member id.
    fn look_up_new(&self, wanted: &[Arc<str>]) -> Result<()> {
        let before = self.state().topics.clone();
        // The first subscription replaces none.
        let new = wanted.iter().filter(|topic| !before.is_empty() && !before.contains(topic));
        for topic in new {
            topics::find_at_once(&self.context, &self.client, topic)?;
        }
        Ok(())
    }

    /// librdkafka may take topics over and not join again for them, so that the group goes on with the old ones. Nobody
    /// says so: what was announced is compared with what is to be read, and where that differs for long, librdkafka is
    /// given the old topics and the new ones again, which makes it join.
    fn see_that_all_is_announced(&self) {
        let (announced, now) = (self.assignor.announced(), self.now());
        let wanted = {
            let mut state = self.state();
            let differs = announced.joins > 0 && announced.topics != state.topics;
            if !differs || state.revoking.is_some() || state.unannounced.1 != announced.joins {
                state.unannounced = (now, announced.joins);
                return;
            }
            if now.saturating_sub(state.unannounced.0) < UNANNOUNCED {
                return;
            }
            state.unannounced.0 = now;
            state.topics.clone()
        };
        if self.context.health.is_suspected() || !self.has_place() {
            return;
        }
        // What does not exist is not announced, and joining again changes nothing about it.
        let exists = |topic: &Arc<str>| {
            announced.topics.contains(topic)
                || topics::find_at_once(&self.context, &self.client, topic).is_ok_and(|found| found.is_some())
        };
        if wanted.iter().filter(|topic| exists(topic)).eq(&announced.topics) {
            return;
        }
        // If one of them fails, there is another time.
        let _ = self.announce(&announced.topics).and_then(|()| self.announce(&wanted));
    }

    fn now(&self) -> Duration {
        self.context.health.clock.monotonic()
    }

    /// Whether the brokers know this member.
    fn has_place(&self) -> bool {
        self.client.group_metadata().is_some_and(|metadata| metadata.is_member())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the group's next word.
    pub(crate) fn poll(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        let _serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = self.context.deadline(timeout);
        loop {
            if let Some(event) = self.state().events.pop_front() {
                return Ok(Some(event));
            }
            if self.interrupted.swap(false, Ordering::AcqRel) || self.leaving.load(Ordering::Acquire) {
                return Ok(None);
            }
            self.notice_loss();
            self.see_that_all_is_announced();
            if self.has_ended() {
                return Ok(None);
            }
            let slice = deadline.remaining().min(SLICE);
            match self.queue.poll(i32::try_from(slice.as_millis()).unwrap_or(0)) {
                Some(event) => self.handle(&event)?,
                None if deadline.is_over() && self.state().events.is_empty() => return Ok(None),
                None => {}
            }
        }
    }

    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.queue.interrupt();
    }

    fn handle(&self, event: &Event) -> Result<()> {
        let fault = event.fault();
        if event.kind() == REBALANCE_EVENT {
            let partitions = event.partitions();
            let paused: Vec<Arc<Mutex<Lane>>> = self.lanes().values().cloned().collect();
            for lane in paused {
                lane.lock().unwrap_or_else(PoisonError::into_inner).distrust();
            }
            match fault.code {
                Code::ASSIGN_PARTITIONS => self.on_assign(&partitions),
                _ => self.on_revoke(&partitions),
            }
        } else if fault.code.is_error() {
            self.on_error(&fault)
        } else {
            Ok(())
        }
    }

    fn on_assign(&self, entries: &[Entry]) -> Result<()> {
        let partitions: Vec<TopicPartition> = entries.iter().map(|entry| entry.partition.clone()).collect();
        let deadline = self.context.question();
        // The question for positions lasts as long as a transaction that a dead member left open.
        self.let_others_run(&[]);
        let positions = self.positions(&partitions);
        let mut lanes = Lanes::new();
        let assigned = (|| {
            for (partition, position) in partitions.iter().zip(&positions) {
                // A logical offset is known only when the first record arrives.
                let known = if *position >= 0 { *position } else { NO_OFFSET };
                let lane = Lane::new(&self.context, &self.client, partition, known)?;
                lanes.insert(partition.clone(), Arc::new(Mutex::new(lane)));
            }
            let list = PartitionList::with_offsets(partitions.iter().zip(positions))?;
            self.client.incremental_assign(&list)
        })();
        assigned.map_err(|fault| self.context.error("taking partitions over", &deadline, &fault))?;
        self.lanes().extend(lanes);
        self.context.health.well();
        self.tell(Some(GroupEvent::Assigned(partitions)));
        Ok(())
    }

    /// Where to begin with each partition, so that nothing is fetched from a wrong place first.
    fn positions(&self, partitions: &[TopicPartition]) -> Vec<Offset> {
        let start = match self.context.options.start {
            StartPolicy::Earliest => BEGINNING,
            StartPolicy::Latest => END,
        };
        // When the brokers do not answer now, the first fetch says where to begin.
        let committed = topics::committed(&self.context, &self.client, partitions).unwrap_or_default();
        (0..partitions.len()).map(|index| committed.get(index).copied().flatten().unwrap_or(start)).collect()
    }

    fn on_revoke(&self, entries: &[Entry]) -> Result<()> {
        let partitions: Vec<TopicPartition> = entries.iter().map(|entry| entry.partition.clone()).collect();
        if self.client.assignment_lost() {
            self.assignor.group.forget_generation();
            self.drop_lanes(&partitions);
            self.unassign(&partitions)?;
            self.tell(Some(GroupEvent::Lost(partitions)));
        } else if partitions.is_empty() {
            self.drop_lanes(&partitions);
            self.unassign(&partitions)?;
            self.tell(None);
        } else {
            let open = partitions.iter().cloned().collect();
            self.state().revoking = Some(Revoking { all: partitions.clone(), open });
            self.let_others_run(&partitions);
            self.tell(Some(GroupEvent::Revoking(partitions)));
        }
        Ok(())
    }

    /// librdkafka holds all partitions until it has its answer to a rebalance; those that stay go on.
    fn let_others_run(&self, going: &[TopicPartition]) {
        // Holding is under way on librdkafka's main thread, and what is not held yet cannot be let go; a question that the
        // same thread answers comes behind it.
        let _ = self.client.group_metadata();
        let going: BTreeSet<&TopicPartition> = going.iter().collect();
        let staying: Vec<TopicPartition> =
            self.lanes().keys().filter(|partition| !going.contains(partition)).cloned().collect();
        if let Ok(list) = PartitionList::of(&staying) {
            self.client.resume_during_revocation(&list);
        }
    }

    /// The brokers may forget a member while it has partitions to give back. librdkafka would keep the others and join
    /// again with a claim to them, though somebody else may have had them in between; so the membership ends instead.
    fn notice_loss(&self) {
        if self.state().revoking.is_none() {
            return;
        }
        if self.client.assignment_lost() || !self.has_place() {
            self.ended.store(true, Ordering::Release);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Hands an event out, and what the leader said about standbys along with it.
    fn tell(&self, event: Option<GroupEvent>) {
        let standby = self.assignor.group.standby();
        let mut state = self.state();
        state.events.extend(event);
        if state.standby != standby {
            state.events.push_back(GroupEvent::Standby(standby.iter().copied().collect()));
            state.standby = standby;
        }
        drop(state);
        self.context.signal.raise();
    }

    fn drop_lanes(&self, partitions: &[TopicPartition]) {
        let mut lanes = self.lanes();
        for partition in partitions {
            lanes.remove(partition);
        }
    }

    fn unassign(&self, partitions: &[TopicPartition]) -> Result<()> {
        let deadline = self.context.question();
        PartitionList::of(partitions)
            .and_then(|list| self.client.incremental_unassign(&list))
            .map_err(|fault| self.context.error("giving partitions back", &deadline, &fault))
    }

    fn on_error(&self, fault: &Fault) -> Result<()> {
        let group = &self.group;
        let refuse = |kind: ErrorKind, sentence: String| Err(Error::new(kind, sentence));
        match cause_of(fault.code, &fault.text) {
            Code::INCONSISTENT_GROUP_PROTOCOL => refuse(
                ErrorKind::Usage,
                format!(
                    "the group {group} has members that are not beltline (Faust workers, or plain Kafka consumers): a \
                     group must be all beltline or all Faust at a time; stop the others, then start again; positions and \
                     tables are taken over as they are"
                ),
            ),
            Code::FENCED_INSTANCE => refuse(
                ErrorKind::Fenced,
                format!("another worker joined the group {group} with the same group instance id; give each its own"),
            ),
            code if kind_of(code) == ErrorKind::Unauthorized => refuse(
                ErrorKind::Unauthorized,
                format!(
                    "the brokers refuse this member of the group {group}: {fault}; grant it READ on group and topics"
                ),
            ),
            code if kind_of(code) == ErrorKind::NotFound => self.on_missing_topic(fault),
            code if is_transient(code) => {
                self.context.health.note(code, &fault.text);
                Ok(())
            }
            _ if fault.fatal => refuse(ErrorKind::Fenced, format!("the membership in {group} has ended: {fault}")),
            // What else comes is a report on something that librdkafka does again by itself.
            code => {
                self.context.health.note(code, &fault.text);
                Ok(())
            }
        }
    }

    /// Brokers that have not heard of a new topic yet say the same, so it is asked for.
    fn on_missing_topic(&self, fault: &Fault) -> Result<()> {
        let topics = self.state().topics.clone();
        for topic in &topics {
            if topics::find(&self.context, &self.client, topic)?.is_none() {
                let why = format!("there is no topic {topic} any more, which this worker reads: {fault}; create it");
                self.tell(Some(GroupEvent::Gone { topic: topic.clone(), why }));
            }
        }
        Ok(())
    }

    /// The worker is done with these.
    pub(crate) fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut state = self.state();
        let Some(revoking) = &mut state.revoking else { return Ok(()) };
        partitions.iter().for_each(|partition| {
            revoking.open.remove(partition);
        });
        // librdkafka takes one answer for all of them.
        if revoking.open.is_empty()
            && let Some(revoking) = state.revoking.take()
        {
            drop(state);
            self.drop_lanes(&revoking.all);
            self.unassign(&revoking.all)?;
        }
        Ok(())
    }

    /// Reads a partition of this member; `None` when it is none.
    pub(crate) fn fetch(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        max_bytes: usize,
    ) -> Option<Result<Fetched>> {
        let lane = self.lanes().get(partition)?.clone();
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        Some(lane.fetch(offset, max_bytes, |at| {
            // While partitions wait to be given back, this would be taken for the answer.
            let state = self.state();
            if state.revoking.is_some() {
                return Err(Fault::of(Code::REBALANCE_IN_PROGRESS));
            }
            self.client.incremental_unassign(at)?;
            let assigned = self.client.incremental_assign(at);
            drop(state);
            assigned
        }))
    }

    /// This member's place in the group, if it still has all of these partitions. Taken before they are looked at, so that
    /// a loss in between leaves a place that no broker accepts.
    pub(crate) fn place<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> std::result::Result<GroupMetadata, String> {
        // One who leaves is not asked: closing may end without an answer.
        let is_leaving = self.leaving.load(Ordering::Acquire);
        let metadata = (!is_leaving).then(|| self.client.group_metadata()).flatten().filter(GroupMetadata::is_member);
        let Some(metadata) = metadata else { return Err(format!("no place in the group {} yet", self.group)) };
        let lanes = self.lanes();
        match partitions.into_iter().find(|partition| !lanes.contains_key(*partition)) {
            Some(gone) => Err(format!("{gone} belongs to another member of the group {} now", self.group)),
            None => Ok(metadata),
        }
    }

    pub(crate) fn owns(&self, partition: &TopicPartition) -> bool {
        self.lanes().contains_key(partition)
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Ends a membership that is of no use any more; gives what it had, its topics, and the numbers known here.
    pub(crate) fn end(&self) -> (Vec<TopicPartition>, Vec<Arc<str>>, Numbers) {
        let had: Vec<TopicPartition> = self.lanes().keys().cloned().collect();
        let mut warm = self.assignor.group.standby();
        warm.extend(had.iter().map(|partition| partition.partition));
        self.drop_lanes(&had);
        // The brokers know already, or find out when the session expires.
        let _ = self.leave();
        let topics = self.state().topics.clone();
        (had, topics, warm)
    }

    /// Gives everything back and says good-bye. A static member's place is kept for it until the session expires.
    pub(crate) fn leave(&self) -> Result<()> {
        self.leaving.store(true, Ordering::Release);
        self.queue.interrupt();
        let _serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = self.context.deadline(self.context.options.leave_timeout);
        let doing = || format!("leaving the group {}", self.group);
        let pending = self.state().revoking.take();
        if let Some(revoking) = pending {
            self.unassign(&revoking.all)?;
        }
        let all: Vec<TopicPartition> = self.lanes().keys().cloned().collect();
        self.client.close_into(&self.queue).map_err(|fault| self.context.error(&doing(), &deadline, &fault))?;
        self.drop_lanes(&all);
        let has_left = self.serve_until_closed(&deadline);
        if !has_left {
            self.client.wait_no_more_for_leaving();
            self.serve_until_closed(&self.context.deadline(ENDING));
        }
        match has_left {
            true => Ok(()),
            false => Err(self.context.error(&doing(), &deadline, &Fault::of(Code::TIMED_OUT))),
        }
    }

    fn serve_until_closed(&self, deadline: &Deadline) -> bool {
        while !self.client.is_closed() {
            if deadline.is_over() {
                return false;
            }
            // What is wrong with the group does not matter to one who leaves.
            if self.queue.poll(20).is_some_and(|event| event.kind() == REBALANCE_EVENT) {
                self.client.give_everything_back();
            }
        }
        true
    }
}
