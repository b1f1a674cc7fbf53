//! The assignor that every member of a group shares, as librdkafka is given it, and what it has announced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_log::assignment::{GroupAssignor, Numbers};
use beltline_types::TopicPartition;

use crate::raw::assignor::{Assignment, Assignor, MemberView};

/// What a member told its group when it last joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announced {
    /// How often it has joined.
    pub(crate) joins: u64,
    /// The topics it said it reads, in order.
    pub(crate) topics: Vec<Arc<str>>,
}

/// The assignor of one member.
pub(crate) struct MemberAssignor {
    pub(crate) group: GroupAssignor,
    announced: Mutex<Announced>,
}

impl MemberAssignor {
    /// Of a member that has not joined; the tables of `warm` numbers are on this machine.
    pub(crate) fn new(warm: Numbers) -> MemberAssignor {
        MemberAssignor { group: GroupAssignor::new(warm), announced: Mutex::default() }
    }

    pub(crate) fn announced(&self) -> Announced {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, Announced> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Assignor for MemberAssignor {
    fn user_data(&self, mut topics: Vec<Arc<str>>, owned: Vec<TopicPartition>) -> Vec<u8> {
        topics.sort();
        let mut last = self.last();
        *last = Announced { joins: last.joins + 1, topics };
        drop(last);
        self.group.user_data(owned)
    }

    fn assign(&self, topics: &[(Arc<str>, u32)], members: &[MemberView]) -> Option<Vec<Assignment>> {
        self.group.assign(topics, members)
    }

    fn assigned(&self, generation: i32, user_data: &[u8]) {
        self.group.assigned(generation, user_data);
    }
}
