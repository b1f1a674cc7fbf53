//! What this member tells its group, and what it decides as the group's leader.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_types::TopicPartition;

use crate::assignment::{Claim, Claimant, Numbers, Owned, plan};
use crate::raw::assignor::{Assignment, Assignor, MemberView};

/// The protocol's name within a group. Members that offer another are refused by the brokers.
pub(crate) const PROTOCOL: &CStr = c"beltline-sticky-1";

#[derive(Debug)]
struct State {
    generation: i32,
    /// Numbers that the leader gave last.
    active: Numbers,
    standby: Numbers,
    /// Numbers whose tables are here from an earlier run, until the first assignment.
    left_over: Numbers,
}

/// The member's side of the assignor; called on librdkafka's main thread.
#[derive(Debug)]
pub(crate) struct GroupAssignor {
    state: Mutex<State>,
}

impl GroupAssignor {
    pub(crate) fn new(left_over: Numbers) -> GroupAssignor {
        let state = State { generation: -1, active: Numbers::new(), standby: Numbers::new(), left_over };
        GroupAssignor { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers to be kept warm, as the leader said last.
    pub(crate) fn standby(&self) -> Numbers {
        self.state().standby.clone()
    }

    /// What was owned is gone, so older claims count for nothing.
    pub(crate) fn forget_generation(&self) {
        self.state().generation = -1;
    }
}

impl Assignor for GroupAssignor {
    fn user_data(&self, owned: Vec<TopicPartition>) -> Vec<u8> {
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

    fn assign(&self, topics: &[(Arc<str>, u32)], members: &[MemberView]) -> Option<Vec<Assignment>> {
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

    fn assigned(&self, generation: i32, user_data: &[u8]) {
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
