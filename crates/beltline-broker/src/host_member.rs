//! The membership of the endpoint's own process: the classic protocol as any client speaks it, by calls instead of requests.
//!
//! It rebalances cooperatively (KIP-429), as beltline's Kafka client does: what is taken away is let go first, then the group
//! is joined again; everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use beltline_log::GroupEvent;
use beltline_log::assignment::{GroupAssignor, MemberView, Numbers, PROTOCOL};
use beltline_types::{CommitRequest, Error, ErrorKind, Result, TopicPartition};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition as Given};
use kafka_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::context::{Context, MAX_SESSION_TIMEOUT, text};
use crate::group::{Answer, Denied, JoinRequest, Joined, Membership, Synced, Ticket};

/// What beltline's Kafka client says too.
const VERSION: i16 = 1;

/// How long a member may take to give partitions back, as beltline's Kafka client says.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);

/// The kind of group that consumers make.
const PROTOCOL_TYPE: &str = "consumer";

/// What the member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Outside,
    Joining(Ticket),
    Syncing(Ticket),
    Settled,
}

pub(crate) struct HostMember {
    context: Arc<Context>,
    assignor: GroupAssignor,
    /// Whether a group that it is the first in waits for more members.
    gathers: bool,
    group: Option<Arc<str>>,
    topics: Vec<Arc<str>>,
    member_id: Arc<str>,
    generation: i32,
    doing: Doing,
    /// Topics have changed, or something was let go.
    wants_join: bool,
    /// A join has not been answered by an assignment yet.
    owes_answer: bool,
    owned: BTreeSet<TopicPartition>,
    /// Told to go, and not let go yet.
    revoking: BTreeSet<TopicPartition>,
    standby: Numbers,
    /// What this member has divided as the leader, with the numbers of partitions; empty for others.
    divided: BTreeMap<Arc<str>, u32>,
    events: VecDeque<GroupEvent>,
    /// How often something was called lost.
    losses: u64,
}

impl HostMember {
    pub(crate) fn new(context: Arc<Context>, gathers: bool, warm: Numbers) -> HostMember {
        HostMember {
            context,
            assignor: GroupAssignor::new(warm),
            gathers,
            group: None,
            topics: Vec::new(),
            member_id: Arc::from(""),
            generation: -1,
            doing: Doing::Outside,
            wants_join: false,
            owes_answer: false,
            owned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            standby: Numbers::new(),
            divided: BTreeMap::new(),
            events: VecDeque::new(),
            losses: 0,
        }
    }

    /// Wants to read these topics; [`HostMember::next_event`] does the rest.
    pub(crate) fn join(&mut self, group: &str, topics: &[Arc<str>]) -> Result<()> {
        if let Some(known) = self.group.as_deref().filter(|known| *known != group) {
            let message = format!("this log is a member of the group {known} already; leave it before joining {group}");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        for topic in topics {
            if self.context.log.topic(topic)?.is_none() {
                let message = format!("there is no topic {topic} to read; declare it first");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        }
        let mut wanted = topics.to_vec();
        wanted.sort();
        wanted.dedup();
        if self.group.is_some() && wanted == self.topics {
            // The group will not notice, so the answer is given here.
            self.events.push_back(GroupEvent::Assigned(Vec::new()));
            return Ok(());
        }
        self.group = Some(Arc::from(group));
        self.topics = wanted;
        (self.wants_join, self.owes_answer) = (true, true);
        Ok(())
    }

    /// What the group has decided, after everything was done that can be done without waiting.
    pub(crate) fn next_event(&mut self) -> Result<Option<GroupEvent>> {
        while self.events.is_empty() && self.step()? {}
        Ok(self.events.pop_front())
    }

    /// Does one thing; says whether there was one to do.
    fn step(&mut self) -> Result<bool> {
        let Some(group) = self.group.clone() else { return Ok(false) };
        match self.doing {
            Doing::Outside => self.ask_to_join(&group),
            Doing::Joining(ticket) => match self.context.take_answer(ticket) {
                Some(Answer::Join(joined)) => self.on_joined(&group, joined)?,
                Some(Answer::Sync(_)) | None => return Ok(false),
            },
            Doing::Syncing(ticket) => match self.context.take_answer(ticket) {
                Some(Answer::Sync(synced)) => self.on_synced(&group, synced)?,
                Some(Answer::Join(_)) | None => return Ok(false),
            },
            Doing::Settled => {
                let membership = self.membership(&group);
                let alive = self.context.groups(|groups, now| groups.heartbeat(&membership, now));
                match alive {
                    // The others wait until everything is let go.
                    Ok(()) | Err(Denied::RebalanceInProgress) if !self.revoking.is_empty() => return Ok(false),
                    Err(Denied::RebalanceInProgress) => self.ask_to_join(&group),
                    Ok(()) if self.wants_join || self.has_grown()? => self.ask_to_join(&group),
                    Ok(()) => return Ok(false),
                    Err(_) => self.lose(),
                }
            }
        }
        Ok(true)
    }

    /// Whether a topic has got partitions that nobody was given yet; it is the leader who looks, as in any client of Kafka.
    fn has_grown(&self) -> Result<bool> {
        for (topic, partitions) in &self.divided {
            if self.context.log.topic(topic)?.is_some_and(|info| info.partitions > *partitions) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn membership(&self, group: &Arc<str>) -> Membership {
        Membership {
            group: group.clone(),
            member_id: self.member_id.clone(),
            instance_id: None,
            generation: self.generation,
        }
    }

    fn ask_to_join(&mut self, group: &Arc<str>) {
        let request = JoinRequest {
            group: group.clone(),
            member_id: self.member_id.clone(),
            instance_id: None,
            client_id: group.clone(),
            // The holder comes from here, by no socket.
            client_host: Arc::from("/127.0.0.1"),
            // It lives and dies with the endpoint itself.
            session_timeout: MAX_SESSION_TIMEOUT,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocol_type: Arc::from(PROTOCOL_TYPE),
            protocols: vec![(protocol(), self.subscription())],
            requires_known_member: false,
            can_skip_assignment: false,
            gathers: self.gathers,
            fresh_member_id: Arc::from(format!("host-{:016x}{:016x}", self.context.draw(), self.context.draw())),
        };
        self.wants_join = false;
        self.doing = Doing::Joining(self.context.ask_group(|groups, ticket, now| groups.join(&request, ticket, now)));
    }

    fn subscription(&self) -> Bytes {
        let owned = self.owned.iter().cloned().collect();
        // The protocol's own field of owned partitions stays empty, as with beltline's Kafka client: claims travel in the
        // user data. To a member that says in the field what it owns, librdkafka as the leader gives back what the assignor
        // has taken away, so that nothing moves.
        let message = ConsumerProtocolSubscription::default()
            .with_topics(self.topics.iter().map(|topic| text(topic)).collect())
            .with_user_data(Some(self.assignor.user_data(owned).into()));
        versioned(&message)
    }

    /// What follows when the group refuses to let this member join or to tell it what it is given.
    fn on_denied(&mut self, group: &str, denied: Denied) -> Result<()> {
        match denied {
            Denied::InconsistentProtocol => {
                let message = format!(
                    "the group {group} has members that are not beltline (plain Kafka consumers): a group must be all \
                     beltline at a time; stop the others, then start again"
                );
                return Err(Error::new(ErrorKind::Usage, message));
            }
            Denied::GroupFull => {
                let message = format!("the group {group} has as many members as the endpoint allows");
                return Err(Error::new(ErrorKind::Limit, message));
            }
            Denied::RebalanceInProgress => self.doing = Doing::Outside,
            _ => self.lose(),
        }
        Ok(())
    }

    fn on_joined(&mut self, group: &Arc<str>, joined: Joined) -> Result<()> {
        if let Some(denied) = joined.error {
            return self.on_denied(group, denied);
        }
        self.member_id = joined.member_id.clone();
        self.generation = joined.generation;
        self.divided.clear();
        let assignments =
            if joined.leader == joined.member_id { self.assign(group, &joined)? } else { BTreeMap::new() };
        let membership = self.membership(group);
        let name = protocol();
        self.doing = Doing::Syncing(self.context.ask_group(|groups, ticket, now| {
            groups.sync(&membership, (Some(PROTOCOL_TYPE), Some(&name)), assignments, ticket, now)
        }));
        Ok(())
    }

    /// The leader's decision.
    fn assign(&mut self, group: &Arc<str>, joined: &Joined) -> Result<BTreeMap<Arc<str>, Bytes>> {
        let strange = || {
            let message = format!(
                "the group {group} has a member that another version of beltline made and that is not understood here; \
                 stop it, then start again"
            );
            Error::new(ErrorKind::Usage, message)
        };
        let mut views = Vec::with_capacity(joined.members.len());
        let mut topics: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for (id, _, metadata) in &joined.members {
            let message: ConsumerProtocolSubscription = read_versioned(metadata).ok_or_else(strange)?;
            let wanted: Vec<Arc<str>> = message.topics.iter().map(|topic| Arc::from(&**topic)).collect();
            for topic in &wanted {
                if let Some(info) = self.context.log.topic(topic)? {
                    topics.insert(topic.clone(), info.partitions);
                }
            }
            let user_data = message.user_data.map(|data| data.to_vec()).unwrap_or_default();
            views.push(MemberView { id: id.to_string(), user_data, topics: wanted });
        }
        self.divided.clone_from(&topics);
        let topics: Vec<(Arc<str>, u32)> = topics.into_iter().collect();
        let decided = self.assignor.assign(&topics, &views).ok_or_else(strange)?;
        let one = |assignment: beltline_log::assignment::Assignment| {
            let mut by_topic: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
            for TopicPartition { topic, partition } in assignment.partitions {
                by_topic.entry(topic).or_default().push(partition as i32);
            }
            let given = by_topic.into_iter().map(|(topic, partitions)| {
                Given::default().with_topic(text(&topic).into()).with_partitions(partitions)
            });
            let message = ConsumerProtocolAssignment::default()
                .with_assigned_partitions(given.collect())
                .with_user_data(Some(assignment.user_data.into()));
            versioned(&message)
        };
        let ids = joined.members.iter().map(|(id, ..)| id.clone());
        Ok(ids.zip(decided.into_iter().map(one)).collect())
    }

    fn on_synced(&mut self, group: &str, synced: Synced) -> Result<()> {
        if let Some(denied) = synced.error {
            return self.on_denied(group, denied);
        }
        let unreadable =
            || Error::new(ErrorKind::Internal, "the group's leader gave an assignment that makes no sense");
        let message = if synced.assignment.is_empty() {
            ConsumerProtocolAssignment::default()
        } else {
            read_versioned(&synced.assignment).ok_or_else(unreadable)?
        };
        self.assignor.assigned(self.generation, message.user_data.as_deref().unwrap_or_default());
        let given: BTreeSet<TopicPartition> = message
            .assigned_partitions
            .iter()
            .flat_map(|one| {
                let topic: Arc<str> = Arc::from(&**one.topic);
                one.partitions.iter().map(move |number| TopicPartition::new(topic.clone(), *number as u32))
            })
            .collect();
        let new: Vec<TopicPartition> = given.difference(&self.owned).cloned().collect();
        self.revoking = self.owned.difference(&given).cloned().collect();
        self.owned.extend(new.iter().cloned());
        self.doing = Doing::Settled;
        if std::mem::take(&mut self.owes_answer) || !new.is_empty() {
            self.events.push_back(GroupEvent::Assigned(new));
        }
        if !self.revoking.is_empty() {
            self.events.push_back(GroupEvent::Revoking(self.revoking.iter().cloned().collect()));
        }
        let standby = self.assignor.standby();
        if standby != self.standby {
            self.events.push_back(GroupEvent::Standby(standby.iter().copied().collect()));
            self.standby = standby;
        }
        Ok(())
    }

    /// The group knows this member no more.
    fn lose(&mut self) {
        self.assignor.forget_generation();
        self.revoking.clear();
        self.member_id = Arc::from("");
        self.generation = -1;
        self.doing = Doing::Outside;
        let lost: Vec<TopicPartition> = std::mem::take(&mut self.owned).into_iter().collect();
        if !lost.is_empty() {
            self.losses += 1;
            self.owes_answer = true;
            self.events.push_back(GroupEvent::Lost(lost));
        }
    }

    /// The worker is done with these.
    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        let was_revoking = !self.revoking.is_empty();
        for partition in partitions {
            self.owned.remove(partition);
            self.revoking.remove(partition);
        }
        if was_revoking && self.revoking.is_empty() {
            self.wants_join = true;
        }
    }

    /// Under which name a commit is made; `None` where it moves no position of the group.
    pub(crate) fn place(&self, request: &CommitRequest) -> Result<Option<Arc<str>>> {
        let aborted = |message: String| Err(Error::new(ErrorKind::Aborted, message));
        if self.group.as_deref() != Some(&*request.group) || request.offsets.is_empty() {
            return Ok(None);
        }
        if self.losses > request.losses {
            return aborted("the unit was made before partitions were lost; nothing of it is written".to_owned());
        }
        match request.offsets.iter().find(|(partition, _)| !self.owned.contains(partition)) {
            Some((gone, _)) => aborted(format!("{gone} belongs to another member of the group {} now", request.group)),
            None => Ok(Some(self.member_id.clone())),
        }
    }

    /// Says good-bye, so that others take over at once.
    pub(crate) fn leave(&mut self) {
        let Some(group) = self.group.take() else { return };
        if !self.member_id.is_empty() {
            // Who is no member any more needs not leave.
            let _ = self.context.groups(|groups, now| groups.leave(&group, &self.member_id, None, now));
        }
        let gathers = self.gathers;
        let losses = self.losses;
        *self = HostMember::new(self.context.clone(), gathers, self.assignor.standby());
        self.losses = losses;
    }
}

fn protocol() -> Arc<str> {
    Arc::from(&*PROTOCOL.to_string_lossy())
}

/// A message with its version before it, as members and leaders exchange them.
fn versioned(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    // Every field is one of this version; a name that is too long was refused when its topic was made.
    if message.encode(&mut bytes, VERSION).is_err() {
        return Bytes::new();
    }
    bytes.freeze()
}

/// What another member wrote, in whatever version.
fn read_versioned<T: Decodable>(bytes: &Bytes) -> Option<T> {
    let mut rest = bytes.clone();
    if rest.remaining() < size_of::<i16>() {
        return None;
    }
    // A later version has further fields behind those that are known.
    let version = rest.get_i16().clamp(0, 3);
    T::decode(&mut rest, version).ok()
}
