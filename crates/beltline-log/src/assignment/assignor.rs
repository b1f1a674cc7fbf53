//! What this member tells its group, and what it decides as the group's leader.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_types::TopicPartition;

use super::{Claim, Claimant, Numbers, Owned, plan};

/// The protocol's name within a group. Members that offer another are refused by the brokers.
pub const PROTOCOL: &CStr = c"beltline-sticky-1";

/// A member of the group as the leader sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its name in the group.
    pub id: String,
    /// What its [`GroupAssignor::user_data`] said.
    pub user_data: Vec<u8>,
    /// What it wants to read.
    pub topics: Vec<Arc<str>>,
}

/// What the leader gives to a member.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// What it reads.
    pub partitions: Vec<TopicPartition>,
    /// For its [`GroupAssignor::assigned`].
    pub user_data: Vec<u8>,
}

#[derive(Debug)]
struct State {
    generation: i32,
    /// Numbers that the leader gave last.
    active: Numbers,
    standby: Numbers,
    /// Numbers whose tables are here from an earlier run, until the first assignment.
    left_over: Numbers,
}

/// The member's side of the assignor. Never blocks: librdkafka calls it on its main thread.
#[derive(Debug)]
pub struct GroupAssignor {
    state: Mutex<State>,
}

impl GroupAssignor {
    /// A member without a generation; the tables of `left_over` numbers are on this machine from an earlier run.
    pub fn new(left_over: Numbers) -> GroupAssignor {
        let state = State { generation: -1, active: Numbers::new(), standby: Numbers::new(), left_over };
        GroupAssignor { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers to be kept warm, as the leader said last.
    pub fn standby(&self) -> Numbers {
        self.state().standby.clone()
    }

    /// What was owned is gone, so older claims count for nothing.
    pub fn forget_generation(&self) {
        self.state().generation = -1;
    }

    /// What this member tells the leader when it joins, owning these.
    pub fn user_data(&self, owned: Vec<TopicPartition>) -> Vec<u8> {
        let mut claim = Claim::default();
        for TopicPartition { topic, partition } in owned {
            claim.owned.entry(topic).or_default().insert(partition);
        }
        let state = self.state();
        let numbers: Numbers = claim.owned.values().flatten().copied().collect();
        // What was given up just now is as warm as a standby.
        let gone = state.active.difference(&numbers);
        claim.warm = state.standby.iter().chain(&state.left_over).chain(gone).copied().collect();
        claim.generation = state.generation;
        claim.encode()
    }

    /// The leader's decision, one assignment per member in their order; `None` when some member cannot be understood.
    pub fn assign(&self, topics: &[(Arc<str>, u32)], members: &[MemberView]) -> Option<Vec<Assignment>> {
        let claimants: Vec<Claimant> = members
            .iter()
            .map(|member| {
                let topics: BTreeSet<Arc<str>> = member.topics.iter().cloned().collect();
                let claim = Claim::decode(&member.user_data)?;
                Some(Claimant { member: member.id.clone(), topics, claim })
            })
            .collect::<Option<_>>()?;
        let assignments = plan(&claimants, topics).into_iter().map(|plan| {
            let partitions = flatten(&plan.active);
            let word = Claim { generation: 0, owned: plan.active, warm: plan.standby };
            Assignment { partitions, user_data: word.encode() }
        });
        Some(assignments.collect())
    }

    /// What the leader sent along with this member's assignment.
    pub fn assigned(&self, generation: i32, user_data: &[u8]) {
        // A leader that cannot be understood gives no standbys; the partitions themselves come by the protocol.
        let word = Claim::decode(user_data).unwrap_or_default();
        let mut state = self.state();
        state.generation = generation;
        state.active = word.owned.values().flatten().copied().collect();
        state.standby = word.warm;
        state.left_over.clear();
    }
}

fn flatten(owned: &Owned) -> Vec<TopicPartition> {
    owned
        .iter()
        .flat_map(|(topic, numbers)| numbers.iter().map(|number| TopicPartition::new(topic.clone(), *number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_claimed_as_warm() {
        let assignor = GroupAssignor::new([7].into());
        let first = Claim::decode(&assignor.user_data(Vec::new())).unwrap();
        assert_eq!((first.generation, first.warm), (-1, [7].into()));

        let view = |id: &str, data: Vec<u8>| MemberView { id: id.into(), user_data: data, topics: vec!["t".into()] };
        let members = [view("a", assignor.user_data(Vec::new()))];
        let assigned = assignor.assign(&[("t".into(), 3)], &members).unwrap();
        assert_eq!(assigned[0].partitions.len(), 3);
        assignor.assigned(4, &assigned[0].user_data);

        let claim = Claim::decode(&assignor.user_data(vec![TopicPartition::new("t", 1)])).unwrap();
        assert_eq!((claim.generation, claim.warm), (4, [0, 2].into()));
    }

    #[test]
    fn a_member_that_cannot_be_understood_is_not_guessed_at() {
        let stranger = MemberView { id: "x".into(), user_data: vec![9, 9], topics: vec!["t".into()] };
        assert!(GroupAssignor::new(Numbers::new()).assign(&[("t".into(), 3)], &[stranger]).is_none());
    }
}
