//! Subscriptions: who reads which topics.

use std::sync::Arc;

use beltline_types::{Error, ErrorKind, Offset, Result, TopicPartition};

use crate::core::Subscription;
use crate::lane::Lane;
use crate::queue::PartitionQueue;
use crate::{Core, LogCommand, SubscriptionId, TopicId};

impl Core {
    /// Reads topics from the group's position on; every subscription sees every event once.
    ///
    /// A subscription added later begins where the slowest one of the partition is.
    ///
    /// # Errors
    /// `NotFound` when a topic was not made known to this core.
    pub fn subscribe(&mut self, name: &str, topics: &[TopicId]) -> Result<SubscriptionId> {
        let subscription = self.subscriptions.len();
        let mut lanes = Vec::new();
        let mut wanted = topics.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        if let Some(unknown) = wanted.iter().find(|topic| self.topics.get(**topic).is_none()) {
            let message = format!("subscription {name}: topic number {} is not known to this core", unknown.0);
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        for topic in wanted {
            let first = self.queues_of(topic);
            let partitions = self.topics.get(topic).map_or(0, |info| info.partitions);
            for partition in 0..partitions {
                let queue = first + partition as usize;
                let mut lane = Lane::new(queue, partition);
                lane.valid_from = self.epoch;
                if self.queues[queue].range.is_some() {
                    lane.seek(&self.queues[queue], self.position(queue));
                }
                self.queues[queue].readers.push((subscription, lanes.len()));
                lanes.push(lane);
            }
        }
        self.subscriptions.push(Subscription { name: Arc::from(name), lanes, turn: 0, returned: 0, open: true });
        self.refresh_ready();
        self.group.topics_changed = true;
        self.replan = true;
        Ok(SubscriptionId(subscription as u32))
    }

    /// Makes the queues of a topic on first use.
    fn queues_of(&mut self, topic: TopicId) -> usize {
        if let Some(first) = self.first_queue[topic.index()] {
            return first;
        }
        let first = self.queues.len();
        self.first_queue[topic.index()] = Some(first);
        if let Some(info) = self.topics.get(topic) {
            let names = (0..info.partitions).map(|partition| TopicPartition::new(info.name.clone(), partition));
            for name in names {
                let held = self.group.holds(&name);
                let mut queue = PartitionQueue::new(name, topic);
                queue.held = held;
                self.queues.push(queue);
            }
        }
        first
    }

    /// Ends a subscription: its unfinished events no longer hold positions back, its tickets are stale.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(id.index()) else { return };
        if !std::mem::replace(&mut subscription.open, false) {
            return;
        }
        self.in_flight -= subscription.lanes.iter().map(Lane::unfinished).sum::<usize>();
        let queues: Vec<usize> = subscription.lanes.iter().map(|lane| lane.queue).collect();
        let positions: Vec<Offset> = queues.iter().map(|queue| self.position(*queue)).collect();
        for (queue, position) in queues.into_iter().zip(positions) {
            // The group's position stays where this subscription left it when nobody else reads the partition.
            let state = &mut self.queues[queue];
            state.readers.retain(|(subscription, _)| *subscription != id.index());
            if state.readers.is_empty() {
                state.rewind(position);
                state.last_position = position;
                if let Some(fetch) = state.outstanding.take() {
                    let partition = state.name.clone();
                    self.commands.push_back(LogCommand::CancelFetch { fetch, partition });
                }
            } else {
                self.trim(queue);
            }
        }
        self.subscriptions[id.index()].lanes.iter_mut().for_each(Lane::close);
        self.clock.touch();
        self.group.topics_changed = true;
        self.replan = true;
    }
}
