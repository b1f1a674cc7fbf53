//! The group, as a broker would keep it: who owns which partition number, who waits for one, who is thrown out.
//!
//! It is also the judge: a member in good standing that reads or commits what is not its own is a defect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use beltline_log::GroupEvent;
use beltline_types::{Error, ErrorKind, Result, TopicPartition};

use crate::node::PARTITIONS;

/// A membership; a process that joins again gets a new one.
pub(crate) type MemberId = u64;

/// A member that was silent for longer is thrown out.
pub(crate) const SESSION: Duration = Duration::from_millis(600);

struct Member {
    topics: Vec<Arc<str>>,
    owned: BTreeSet<u32>,
    /// Told to give these back.
    revoking: BTreeSet<u32>,
    events: VecDeque<GroupEvent>,
    heard: Duration,
    /// The process is gone; only nobody knows yet.
    silent: bool,
}

#[derive(Default)]
pub(crate) struct Coordinator {
    members: BTreeMap<MemberId, Member>,
    next: MemberId,
    /// How often each kind of thing happened, so that a test can see that it saw something.
    pub(crate) moves: u64,
    pub(crate) expelled: u64,
}

impl Coordinator {
    pub(crate) fn join(&mut self, topics: &[Arc<str>], now: Duration) -> MemberId {
        self.next += 1;
        let member = Member {
            topics: topics.to_vec(),
            owned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            // The first answer may be empty, as a broker's usually is.
            events: VecDeque::from([GroupEvent::Assigned(Vec::new())]),
            heard: now,
            silent: false,
        };
        self.members.insert(self.next, member);
        self.next
    }

    /// A member has joined that is there already: the group will not notice, but each join is answered.
    pub(crate) fn answer(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.events.push_back(GroupEvent::Assigned(Vec::new()));
        }
    }

    pub(crate) fn is_member(&self, id: MemberId) -> bool {
        self.members.contains_key(&id)
    }

    pub(crate) fn next_event(&mut self, id: MemberId) -> Option<GroupEvent> {
        self.members.get_mut(&id)?.events.pop_front()
    }

    pub(crate) fn heartbeat(&mut self, id: MemberId, now: Duration) {
        if let Some(member) = self.members.get_mut(&id) {
            member.heard = now;
        }
    }

    /// The process was killed: the group learns of it when the session has expired.
    pub(crate) fn goes_silent(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.silent = true;
        }
    }

    pub(crate) fn remove(&mut self, id: MemberId) {
        self.members.remove(&id);
    }

    /// Throws a member out, whether or not it is in good health.
    pub(crate) fn expel(&mut self, id: MemberId) {
        self.expelled += u64::from(self.members.remove(&id).is_some());
    }

    pub(crate) fn expire(&mut self, now: Duration) {
        let late: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| now > member.heard + SESSION).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.expel(id));
    }

    /// Members that are there, as far as the group could know.
    pub(crate) fn members(&self) -> Vec<MemberId> {
        self.members.iter().filter(|(_, member)| !member.silent).map(|(id, _)| *id).collect()
    }

    fn owner(&self, number: u32) -> Option<MemberId> {
        self.members.iter().find(|(_, member)| member.owned.contains(&number)).map(|(id, _)| *id)
    }

    /// Gives a number that nobody owns to a member.
    pub(crate) fn grant(&mut self, number: u32, to: MemberId) {
        if self.owner(number).is_some() {
            return;
        }
        if let Some(member) = self.members.get_mut(&to) {
            member.owned.insert(number);
            let partitions = member.topics.iter().map(|topic| TopicPartition::new(topic.clone(), number)).collect();
            member.events.push_back(GroupEvent::Assigned(partitions));
        }
    }

    /// Asks the owner of a number to give it back.
    pub(crate) fn revoke(&mut self, number: u32) {
        let Some(member) = self.owner(number).and_then(|id| self.members.get_mut(&id)) else { return };
        if member.revoking.insert(number) {
            self.moves += 1;
            let partitions = member.topics.iter().map(|topic| TopicPartition::new(topic.clone(), number)).collect();
            member.events.push_back(GroupEvent::Revoking(partitions));
        }
    }

    pub(crate) fn stand_by(&mut self, id: MemberId, numbers: Vec<u32>) {
        if let Some(member) = self.members.get_mut(&id) {
            member.events.push_back(GroupEvent::Standby(numbers));
        }
    }

    /// The owner's answer; all topics of a number come back together, because a shard belongs to all of them.
    pub(crate) fn release(&mut self, id: MemberId, partitions: &[TopicPartition]) -> Result<()> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(()) };
        for partition in partitions {
            let number = partition.partition;
            let topics = partitions.iter().filter(|other| other.partition == number).count();
            if topics != member.topics.len() {
                return Err(defect(id, "gives back without its other topics", partition));
            }
            if !member.revoking.contains(&number) && member.owned.contains(&number) {
                return Err(defect(id, "gives back without being asked", partition));
            }
        }
        for partition in partitions {
            member.owned.remove(&partition.partition);
            member.revoking.remove(&partition.partition);
        }
        Ok(())
    }

    /// Who is thrown out may do what it likes, nothing of it counts; who is in good standing touches its own only.
    pub(crate) fn check(&self, id: MemberId, what: &str, partition: &TopicPartition) -> Result<()> {
        match self.members.get(&id) {
            Some(member) if !member.owned.contains(&partition.partition) => Err(defect(id, what, partition)),
            _ => Ok(()),
        }
    }

    /// Every number has an owner, nothing is asked of anybody, and everybody has heard everything.
    pub(crate) fn is_settled(&self) -> bool {
        (0..PARTITIONS).all(|number| self.owner(number).is_some())
            && self
                .members
                .values()
                .all(|member| member.revoking.is_empty() && member.events.is_empty() && !member.silent)
    }

    /// Numbers without an owner.
    pub(crate) fn free(&self) -> Vec<u32> {
        (0..PARTITIONS).filter(|number| self.owner(*number).is_none()).collect()
    }
}

fn defect(id: MemberId, what: &str, partition: &TopicPartition) -> Error {
    Error::new(ErrorKind::Internal, format!("member {id} {what} {partition}, which is not its own"))
}
