//! All groups, and what they are asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::member::Member;
use super::rebalance::{Group, State};
use super::{Answer, Denied, JoinRequest, Joined, Membership, Replies, Synced, Ticket};

/// Groups without members that are remembered for their generation.
const MAX_EMPTY_GROUPS: usize = 1000;

/// What groups are allowed.
#[derive(Clone, Debug)]
pub(crate) struct GroupLimits {
    pub(crate) min_session_timeout: Duration,
    pub(crate) max_session_timeout: Duration,
    /// How long a new group waits for more members than the first.
    pub(crate) gather: Duration,
    pub(crate) max_groups: usize,
    pub(crate) max_members: usize,
}

/// A group as it is described.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) protocol: Arc<str>,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member as it is described.
#[derive(Clone, Debug)]
pub(crate) struct DescribedMember {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// Holds all groups.
pub(crate) struct Coordinator {
    groups: BTreeMap<Arc<str>, Group>,
    limits: GroupLimits,
}

impl Coordinator {
    pub(crate) fn new(limits: GroupLimits) -> Coordinator {
        Coordinator { groups: BTreeMap::new(), limits }
    }

    /// With small limits, for tests and the simulation.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Coordinator {
        Coordinator::new(GroupLimits {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(60),
            gather: Duration::from_millis(200),
            max_groups: 10,
            max_members: 10,
        })
    }

    /// Joins a group; the answer comes now or later, under `ticket`.
    pub(crate) fn join(&mut self, request: &JoinRequest, ticket: Ticket, now: Duration) -> Replies {
        let mut replies = self.tick(now);
        let limits = &self.limits;
        let denied = if request.group.is_empty() {
            Some(Denied::InvalidGroupId)
        } else if !(limits.min_session_timeout..=limits.max_session_timeout).contains(&request.session_timeout) {
            Some(Denied::InvalidSessionTimeout)
        } else if !self.groups.contains_key(&request.group) && !request.member_id.is_empty() {
            Some(Denied::UnknownMember)
        } else if !self.groups.contains_key(&request.group) && !self.has_room() {
            Some(Denied::GroupFull)
        } else {
            None
        };
        if let Some(error) = denied {
            replies.push((ticket, Answer::Join(Joined::denied(error, &request.member_id))));
            return replies;
        }
        let gather = if request.gathers { self.limits.gather } else { Duration::ZERO };
        let max_members = self.limits.max_members;
        let group = self.groups.entry(request.group.clone()).or_insert_with(|| Group::new(now));
        group.join(request, ticket, now, gather, max_members, &mut replies);
        replies
    }

    /// Asks for an assignment; the leader brings those of all.
    pub(crate) fn sync(
        &mut self,
        membership: &Membership,
        protocol: (Option<&str>, Option<&str>),
        assignments: BTreeMap<Arc<str>, Bytes>,
        ticket: Ticket,
        now: Duration,
    ) -> Replies {
        let mut replies = self.tick(now);
        let group = match self.member(membership) {
            Ok(group) => group,
            Err(error) => {
                replies.push((ticket, Answer::Sync(Synced::denied(error))));
                return replies;
            }
        };
        let differs = |said: Option<&str>, is: &Option<Arc<str>>| said.is_some_and(|said| is.as_deref() != Some(said));
        let denied = if differs(protocol.0, &group.protocol_type) || differs(protocol.1, &group.protocol) {
            Some(Denied::InconsistentProtocol)
        } else {
            match group.state {
                State::Empty => Some(Denied::UnknownMember),
                State::Preparing => Some(Denied::RebalanceInProgress),
                State::Completing | State::Stable => None,
            }
        };
        if let Some(error) = denied {
            replies.push((ticket, Answer::Sync(Synced::denied(error))));
            return replies;
        }
        let is_stable = group.state == State::Stable;
        let is_leader = group.is_leader(&membership.member_id);
        if let Some(member) = group.members.get_mut(&membership.member_id) {
            member.heard(now);
            if let Some(earlier) = member.syncing.replace(ticket) {
                replies.push((earlier, Answer::Sync(Synced::denied(Denied::RebalanceInProgress))));
            }
        }
        if is_stable {
            let known = group.members.iter().map(|(id, member)| (id.clone(), member.assignment.clone())).collect();
            group.assign(known, now, &mut replies);
        } else if is_leader {
            group.assign(assignments, now, &mut replies);
        }
        replies
    }

    /// A sign of life.
    pub(crate) fn heartbeat(&mut self, membership: &Membership, now: Duration) -> (Result<(), Denied>, Replies) {
        let replies = self.tick(now);
        let result = self.member(membership).and_then(|group| {
            if let Some(member) = group.members.get_mut(&membership.member_id) {
                member.heard(now);
            }
            match group.state {
                State::Empty => Err(Denied::UnknownMember),
                State::Preparing => Err(Denied::RebalanceInProgress),
                State::Completing | State::Stable => Ok(()),
            }
        });
        (result, replies)
    }

    /// A member goes. Static ones may be named by their instance alone.
    pub(crate) fn leave(
        &mut self,
        group: &str,
        member_id: &Arc<str>,
        instance_id: Option<&str>,
        now: Duration,
    ) -> (Result<(), Denied>, Replies) {
        let mut replies = self.tick(now);
        let Some(group) = self.groups.get_mut(group) else { return (Err(Denied::UnknownMember), replies) };
        let known = match instance_id {
            None => member_id.clone(),
            Some(instance) => match group.of_instance(instance) {
                None => return (Err(Denied::UnknownMember), replies),
                Some(known) if member_id.is_empty() || known == *member_id => known,
                Some(_) => return (Err(Denied::FencedInstance), replies),
            },
        };
        if group.pending.remove(&known).is_some() {
            group.try_complete(now, &mut replies);
        } else if group.members.contains_key(&known) {
            group.remove(&known, now, &mut replies);
        } else {
            return (Err(Denied::UnknownMember), replies);
        }
        (Ok(()), replies)
    }

    /// Whether offsets may be committed by whoever says this; a commit is a sign of life.
    pub(crate) fn may_commit(
        &mut self,
        membership: &Membership,
        is_transaction: bool,
        now: Duration,
    ) -> (Result<(), Denied>, Replies) {
        let replies = self.tick(now);
        (self.check_commit(membership, is_transaction, now), replies)
    }

    fn check_commit(&mut self, membership: &Membership, is_transaction: bool, now: Duration) -> Result<(), Denied> {
        if membership.group.is_empty() {
            return Err(Denied::InvalidGroupId);
        }
        let has_members = self.groups.get(&membership.group).is_some_and(|group| !group.members.is_empty());
        let names_nobody =
            membership.generation < 0 && membership.member_id.is_empty() && membership.instance_id.is_none();
        if !has_members && membership.generation < 0 {
            // Tools, and consumers that assign partitions to themselves.
            return Ok(());
        }
        if names_nobody {
            return if is_transaction { Ok(()) } else { Err(Denied::UnknownMember) };
        }
        if !has_members {
            return Err(Denied::IllegalGeneration);
        }
        let group = self.member(membership)?;
        if let Some(member) = group.members.get_mut(&membership.member_id) {
            member.heard(now);
        }
        if group.state == State::Completing && !is_transaction {
            return Err(Denied::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a group has this member.
    pub(crate) fn has_member(&self, group: &str, member_id: &str) -> bool {
        self.groups.get(group).is_some_and(|group| group.members.contains_key(member_id))
    }

    /// How a group stands; `None` when it has no members and never had.
    pub(crate) fn describe(&self, group: &str) -> Option<Description> {
        let group = self.groups.get(group)?;
        let protocol = group.protocol.clone().unwrap_or_default();
        let is_stable = group.state == State::Stable;
        let member = |(id, member): (&Arc<str>, &Member)| DescribedMember {
            id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable { member.metadata(&protocol) } else { Bytes::new() },
            assignment: member.assignment.clone(),
        };
        Some(Description {
            state: group.state.name(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol: if is_stable { protocol.clone() } else { Arc::default() },
            members: group.members.iter().map(member).collect(),
        })
    }

    /// Names of all groups that have or had members.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.groups.keys().cloned().collect()
    }

    /// Forgets a group; its offsets are the caller's.
    pub(crate) fn delete(&mut self, group: &str, now: Duration) -> (Result<(), Denied>, Replies) {
        let replies = self.tick(now);
        let result = match self.groups.get(group) {
            Some(known) if !known.members.is_empty() => Err(Denied::NonEmptyGroup),
            Some(_) => {
                self.groups.remove(group);
                Ok(())
            }
            None => Err(Denied::GroupNotFound),
        };
        (result, replies)
    }

    /// Whether a group's members may have subscribed to a topic; where their metadata cannot be read, they may have.
    pub(crate) fn is_subscribed(&self, group: &str, topic: &str) -> bool {
        let Some(group) = self.groups.get(group) else { return false };
        let subscribes = |member: &Member| {
            member.protocols.iter().any(|(_, metadata)| subscription(metadata).is_none_or(|list| list.contains(&topic)))
        };
        group.members.values().any(subscribes)
    }

    /// Ends what has lasted too long.
    pub(crate) fn tick(&mut self, now: Duration) -> Replies {
        let mut replies = Replies::new();
        for group in self.groups.values_mut() {
            if group.next_deadline().is_some_and(|deadline| now >= deadline) {
                group.tick(now, &mut replies);
            }
        }
        replies
    }

    /// When [`Coordinator::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.groups.values().filter_map(Group::next_deadline).min()
    }

    /// The group of somebody who says that it is a member of its present generation.
    fn member(&mut self, membership: &Membership) -> Result<&mut Group, Denied> {
        if membership.group.is_empty() {
            return Err(Denied::InvalidGroupId);
        }
        let group = self.groups.get_mut(&membership.group).ok_or(Denied::UnknownMember)?;
        if let Some(instance) = &membership.instance_id {
            match group.of_instance(instance) {
                None => return Err(Denied::UnknownMember),
                Some(known) if known != membership.member_id => return Err(Denied::FencedInstance),
                Some(_) => {}
            }
        }
        if !group.members.contains_key(&membership.member_id) {
            return Err(Denied::UnknownMember);
        }
        if group.generation != membership.generation {
            return Err(Denied::IllegalGeneration);
        }
        Ok(group)
    }

    /// Makes room for one more group by forgetting the one that has been empty for longest.
    fn has_room(&mut self) -> bool {
        let is_idle = |group: &Group| group.members.is_empty() && group.pending.is_empty();
        let empty = self.groups.values().filter(|group| is_idle(group)).count();
        if empty >= MAX_EMPTY_GROUPS || self.groups.len() >= self.limits.max_groups + MAX_EMPTY_GROUPS {
            let oldest =
                self.groups.iter().filter(|(_, group)| is_idle(group)).min_by_key(|(_, group)| group.last_used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.groups.remove(&oldest));
        }
        self.groups.len() - empty.min(self.groups.len()) < self.limits.max_groups
    }
}

/// Topics of a consumer's subscription, the beginning of which is the same in all its versions.
fn subscription(metadata: &[u8]) -> Option<Vec<&str>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(std::str::from_utf8(name).ok()?);
        rest = tail;
    }
    Some(topics)
}
