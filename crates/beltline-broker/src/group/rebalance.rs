//! A group's states, and how a generation comes to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::member::Member;
use super::{Answer, Denied, Joined, Replies, Synced, Ticket};

/// A newcomer whose join waits longer than this is given up, as Kafka does: its connection may be dead.
const JOIN_WAIT_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    /// Members are to join again until the deadline.
    Preparing,
    /// Everybody has joined; the leader is to hand out assignments until the deadline.
    Completing,
    Stable,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Preparing => "PreparingRebalance",
            State::Completing => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

pub(super) struct Group {
    pub(super) state: State,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    /// Member ids given out and not used yet, and until when they may be.
    pub(super) pending: BTreeMap<Arc<str>, Duration>,
    /// When the present state ends by itself: joining, or syncing.
    pub(super) deadline: Duration,
    /// A new group waits for more members until here, even if all that are known have joined.
    pub(super) gather_until: Option<Duration>,
    /// When the group was last needed.
    pub(super) last_used: Duration,
}

impl Group {
    pub(super) fn new(now: Duration) -> Group {
        Group {
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            deadline: now,
            gather_until: None,
            last_used: now,
        }
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The member a static instance is at present.
    pub(super) fn of_instance(&self, instance_id: &str) -> Option<Arc<str>> {
        let found = self.members.iter().find(|(_, member)| member.instance_id.as_deref() == Some(instance_id));
        found.map(|(id, _)| id.clone())
    }

    /// Protocols that every member speaks.
    pub(super) fn common_protocols(&self) -> BTreeSet<Arc<str>> {
        let mut members = self.members.values();
        let names = |member: &Member| member.protocols.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        let Some(first) = members.next() else { return BTreeSet::new() };
        members.fold(names(first), |common, member| common.intersection(&names(member)).cloned().collect())
    }

    /// Each member votes for the first of its protocols that all speak.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let common = self.common_protocols();
        let mut votes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().map(|(name, _)| name).find(|name| common.contains(*name));
            vote.into_iter().for_each(|vote| *votes.entry(vote.clone()).or_default() += 1);
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    }

    /// Everybody is to join again.
    pub(super) fn prepare(&mut self, now: Duration, gather: Duration, replies: &mut Replies) {
        if self.state == State::Completing {
            self.end_syncs(Denied::RebalanceInProgress, now, replies);
        }
        let timeout = self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
        self.gather_until = (self.state == State::Empty).then(|| now + gather.min(timeout));
        self.deadline = now + timeout;
        self.state = State::Preparing;
        self.try_complete(now, replies);
    }

    /// Begins the next generation once everybody has joined, or their time is over.
    pub(super) fn try_complete(&mut self, now: Duration, replies: &mut Replies) {
        if self.state != State::Preparing {
            return;
        }
        self.gather_until = self.gather_until.filter(|until| now < *until);
        let all_joined = self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some());
        let is_gathering = self.gather_until.is_some() && !self.members.is_empty();
        if now < self.deadline && (!all_joined || is_gathering) {
            return;
        }
        // Static members may be late: their place is kept until their session ends.
        self.members.retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        if self.members.is_empty() {
            self.generation += 1;
            self.become_empty(now);
            return;
        }
        let is_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(is_joined) {
            let next = self.members.iter().find(|(_, member)| member.joining.is_some()).map(|(id, _)| id.clone());
            let Some(next) = next else {
                // Nobody has joined, but static members may yet: another round.
                let timeout = self.members.values().map(|member| member.rebalance_timeout).max();
                self.deadline = now + timeout.unwrap_or_default();
                return;
            };
            self.leader = Some(next);
        }
        self.begin_generation(now, replies);
    }

    fn begin_generation(&mut self, now: Duration, replies: &mut Replies) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.state = State::Completing;
        self.gather_until = None;
        let timeout = self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
        self.deadline = now + timeout;
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(ticket) = self.members.get_mut(&id).and_then(|member| member.joining.take()) else { continue };
            replies.push((ticket, Answer::Join(self.joined(&id))));
            if let Some(member) = self.members.get_mut(&id) {
                member.heard(now);
            }
        }
    }

    /// The answer that tells a member of the present generation.
    pub(super) fn joined(&self, member_id: &Arc<str>) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = if self.is_leader(member_id) {
            let entry = |(id, member): (&Arc<str>, &Member)| {
                (id.clone(), member.instance_id.clone(), member.metadata(&protocol))
            };
            self.members.iter().map(entry).collect()
        } else {
            Vec::new()
        };
        Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.clone(),
            skip_assignment: false,
            members,
        }
    }

    /// The leader has decided.
    pub(super) fn assign(&mut self, mut assignments: BTreeMap<Arc<str>, Bytes>, now: Duration, replies: &mut Replies) {
        self.state = State::Stable;
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            if let Some(ticket) = member.syncing.take() {
                member.heard(now);
                let synced = Synced {
                    error: None,
                    protocol_type: self.protocol_type.clone(),
                    protocol: self.protocol.clone(),
                    assignment: member.assignment.clone(),
                };
                replies.push((ticket, Answer::Sync(synced)));
            }
        }
    }

    pub(super) fn end_syncs(&mut self, error: Denied, now: Duration, replies: &mut Replies) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(ticket) = member.syncing.take() {
                // While it waited it could not say that it lives.
                member.heard(now);
                replies.push((ticket, Answer::Sync(Synced::denied(error))));
            }
        }
    }

    /// A member goes; requests of it that wait are answered.
    pub(super) fn remove(&mut self, member_id: &str, now: Duration, replies: &mut Replies) {
        let Some(member) = self.members.remove(member_id) else { return };
        let id = Arc::from(member_id);
        member.deny(Denied::UnknownMember, &id, replies);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        match self.state {
            State::Stable | State::Completing => self.prepare(now, Duration::ZERO, replies),
            State::Preparing => self.try_complete(now, replies),
            State::Empty => {}
        }
    }

    /// Ends what has lasted too long.
    pub(super) fn tick(&mut self, now: Duration, replies: &mut Replies) {
        self.pending.retain(|_, until| now < *until);
        let silent = self.members.iter().filter(|(_, member)| now >= member.given_up_at());
        let gone: Vec<Arc<str>> = silent.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id, now, replies));
        if self.state == State::Completing && now >= self.deadline {
            // Those who did not ask for their assignment are gone; if it was the leader, another one is found.
            let late = self.members.iter().filter(|(_, member)| member.syncing.is_none()).map(|(id, _)| id.clone());
            let late: Vec<Arc<str>> = late.collect();
            self.end_syncs(Denied::RebalanceInProgress, now, replies);
            late.iter().for_each(|id| drop(self.members.remove(id)));
            if !self.leader.as_ref().is_some_and(|leader| self.members.contains_key(leader)) {
                self.leader = self.members.keys().next().cloned();
            }
            self.prepare(now, Duration::ZERO, replies);
        }
        if self.state == State::Preparing {
            self.try_complete(now, replies);
        }
    }

    /// When [`Group::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let sessions = self.members.values().map(Member::given_up_at);
        let state = match self.state {
            State::Preparing => Some(self.gather_until.map_or(self.deadline, |until| until.min(self.deadline))),
            State::Completing => Some(self.deadline),
            State::Empty | State::Stable => None,
        };
        sessions.chain(self.pending.values().copied()).chain(state).min()
    }

    fn become_empty(&mut self, now: Duration) {
        self.state = State::Empty;
        self.protocol = None;
        self.leader = None;
        self.gather_until = None;
        self.last_used = now;
    }
}

impl Member {
    /// When its silence ends its membership.
    fn given_up_at(&self) -> Duration {
        let waiting = if self.is_waiting() { JOIN_WAIT_LIMIT.max(self.rebalance_timeout) } else { Duration::ZERO };
        self.session_ends + waiting
    }

    /// Answers what waits for this member.
    pub(super) fn deny(&self, error: Denied, member_id: &Arc<str>, replies: &mut Replies) {
        if let Some(ticket) = self.joining {
            replies.push((ticket, Answer::Join(Joined::denied(error, member_id))));
        }
        if let Some(ticket) = self.syncing {
            replies.push((ticket, Answer::Sync(Synced::denied(error))));
        }
    }

    /// Sets the join that waits; an earlier one is told to come again.
    pub(super) fn wait_for_join(&mut self, ticket: Ticket, member_id: &Arc<str>, replies: &mut Replies) {
        if let Some(earlier) = self.joining.replace(ticket) {
            replies.push((earlier, Answer::Join(Joined::denied(Denied::RebalanceInProgress, member_id))));
        }
    }
}
