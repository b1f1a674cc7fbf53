//! How a member comes in: for the first time, again, or in place of its former self.

use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
use super::rebalance::{Group, State};
use super::{Answer, Denied, JoinRequest, Joined, Replies, Ticket};

impl Group {
    /// A join. `gather` is how long a new group waits for more members.
    pub(super) fn join(
        &mut self,
        request: &JoinRequest,
        ticket: Ticket,
        now: Duration,
        gather: Duration,
        max_members: usize,
        replies: &mut Replies,
    ) {
        self.last_used = now;
        let denied = |error| (ticket, Answer::Join(Joined::denied(error, &request.member_id)));
        if !self.speaks(request) {
            return replies.push(denied(Denied::InconsistentProtocol));
        }
        let is_new = !self.members.contains_key(&request.member_id);
        if is_new
            && self.members.len() + self.pending.len() >= max_members
            && !self.pending.contains_key(&request.member_id)
        {
            return replies.push(denied(Denied::GroupFull));
        }
        match &request.instance_id {
            Some(instance) => match self.of_instance(instance) {
                Some(known) if request.member_id.is_empty() => {
                    self.replace(&known, request, ticket, now, gather, replies);
                }
                Some(known) if known == request.member_id => {
                    self.join_again(request, ticket, now, gather, replies);
                }
                Some(_) => replies.push(denied(Denied::FencedInstance)),
                None if request.member_id.is_empty() => {
                    self.admit(request.fresh_member_id.clone(), request, ticket, now, gather, replies);
                }
                None => replies.push(denied(Denied::UnknownMember)),
            },
            None if request.member_id.is_empty() && request.requires_known_member => {
                self.pending.insert(request.fresh_member_id.clone(), now + request.session_timeout);
                let joined = Joined::denied(Denied::MemberIdRequired, &request.fresh_member_id);
                replies.push((ticket, Answer::Join(joined)));
            }
            None if request.member_id.is_empty() => {
                self.admit(request.fresh_member_id.clone(), request, ticket, now, gather, replies);
            }
            None if self.pending.remove(&request.member_id).is_some() => {
                self.admit(request.member_id.clone(), request, ticket, now, gather, replies);
            }
            None if !is_new => self.join_again(request, ticket, now, gather, replies),
            None => replies.push(denied(Denied::UnknownMember)),
        }
    }

    /// Whether the group and the newcomer have a protocol in common.
    fn speaks(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let common = self.common_protocols();
        self.protocol_type.as_deref() == Some(&*request.protocol_type)
            && request.protocols.iter().any(|(name, _)| common.contains(name))
    }

    fn admit(
        &mut self,
        member_id: Arc<str>,
        request: &JoinRequest,
        ticket: Ticket,
        now: Duration,
        gather: Duration,
        replies: &mut Replies,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        let mut member = Member::new(request, now);
        member.joining = Some(ticket);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
        self.rebalance(now, gather, replies);
    }

    /// A static member comes back under a new id; whoever uses the old one is fenced.
    fn replace(
        &mut self,
        known: &Arc<str>,
        request: &JoinRequest,
        ticket: Ticket,
        now: Duration,
        gather: Duration,
        replies: &mut Replies,
    ) {
        let Some(mut member) = self.members.remove(known) else { return };
        member.deny(Denied::FencedInstance, known, replies);
        let (former_protocols, was_leader) = (member.protocols.clone(), self.is_leader(known));
        member.update(request);
        (member.joining, member.syncing) = (None, None);
        member.client_id = request.client_id.clone();
        member.client_host = request.client_host.clone();
        member.heard(now);
        let id = request.fresh_member_id.clone();
        self.members.insert(id.clone(), member);
        if was_leader {
            self.leader = Some(id.clone());
        }
        let same_metadata = former_protocols == request.protocols;
        if self.state == State::Stable && same_metadata && self.select_protocol() == self.protocol {
            let mut joined = self.joined(&id);
            if was_leader && !request.can_skip_assignment {
                // An older client would assign anew if it learned that it leads; told that its former self leads, it
                // asks for the assignment that stands.
                joined.leader = known.clone();
                joined.members.clear();
            }
            joined.skip_assignment = was_leader && request.can_skip_assignment;
            return replies.push((ticket, Answer::Join(joined)));
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = Some(ticket);
        }
        self.rebalance(now, gather, replies);
    }

    fn join_again(
        &mut self,
        request: &JoinRequest,
        ticket: Ticket,
        now: Duration,
        gather: Duration,
        replies: &mut Replies,
    ) {
        let id = &request.member_id;
        let is_leader = self.is_leader(id);
        let Some(member) = self.members.get_mut(id) else { return };
        member.heard(now);
        let is_unchanged = member.protocols == request.protocols;
        let answer_stands = match self.state {
            // It has missed the answer.
            State::Completing => is_unchanged,
            // A leader that joins again wants to assign anew.
            State::Stable => is_unchanged && !is_leader,
            State::Preparing | State::Empty => false,
        };
        if answer_stands {
            return replies.push((ticket, Answer::Join(self.joined(id))));
        }
        member.update(request);
        member.wait_for_join(ticket, id, replies);
        self.rebalance(now, gather, replies);
    }

    fn rebalance(&mut self, now: Duration, gather: Duration, replies: &mut Replies) {
        if self.state == State::Preparing {
            self.try_complete(now, replies);
        } else {
            self.prepare(now, gather, replies);
        }
    }
}
