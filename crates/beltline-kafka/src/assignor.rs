//! The assignor that every member of a group shares, as librdkafka is given it.

use std::sync::Arc;

use beltline_log::assignment::GroupAssignor;
use beltline_types::TopicPartition;

use crate::raw::assignor::{Assignment, Assignor, MemberView};

impl Assignor for GroupAssignor {
    fn user_data(&self, owned: Vec<TopicPartition>) -> Vec<u8> {
        self.user_data(owned)
    }

    fn assign(&self, topics: &[(Arc<str>, u32)], members: &[MemberView]) -> Option<Vec<Assignment>> {
        self.assign(topics, members)
    }

    fn assigned(&self, generation: i32, user_data: &[u8]) {
        self.assigned(generation, user_data);
    }
}
