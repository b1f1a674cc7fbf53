//! The group of an embedded log: its one member has every partition, so joining is granted at once and nothing is ever
//! taken away.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_types::TopicPartition;

use crate::GroupEvent;

#[derive(Default)]
struct State {
    assigned: BTreeSet<TopicPartition>,
    events: VecDeque<GroupEvent>,
    /// Kept until a poll has seen it, so that an interruption between two polls is not lost.
    interrupted: bool,
}

#[derive(Default)]
pub(crate) struct Membership {
    state: Mutex<State>,
    changed: Condvar,
}

impl Membership {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants every partition of these topics, named with their number of partitions. A topic that is no longer wanted
    /// stays: nobody else is there to read it, and whoever subscribes again goes on where it was left.
    pub(crate) fn join(&self, topics: &[(Arc<str>, u32)]) {
        let mut state = self.lock();
        let wanted = topics.iter().flat_map(|(topic, partitions)| {
            (0..*partitions).map(move |partition| TopicPartition::new(topic.clone(), partition))
        });
        let mut new: Vec<TopicPartition> = wanted.collect();
        new.retain(|partition| state.assigned.insert(partition.clone()));
        state.events.push_back(GroupEvent::Assigned(new));
        self.changed.notify_all();
    }

    pub(crate) fn poll(&self, timeout: Duration) -> Option<GroupEvent> {
        let idle = |state: &mut State| state.events.is_empty() && !state.interrupted;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.interrupted = false;
        state.events.pop_front()
    }

    pub(crate) fn release(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        for partition in partitions {
            state.assigned.remove(partition);
        }
    }

    /// The next one to join gets everything anew.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.assigned.clear();
        state.events.clear();
    }

    pub(crate) fn interrupt(&self) {
        self.lock().interrupted = true;
        self.changed.notify_all();
    }
}
