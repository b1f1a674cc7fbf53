//! Subscriptions: who reads which topics.

use std::sync::Arc;

use beltline_types::{Error, ErrorKind, Offset, Result, TopicInfo, TopicPartition};

use crate::core::Subscription;
use crate::lane::Lane;
use crate::queue::PartitionQueue;
use crate::{Core, LogCommand, SubscriptionId, TableId, TopicId};

impl Core {
    /// Reads topics from the group's position on; every subscription sees every event once.
    ///
    /// A subscription added later begins where the slowest one of the partition is.
    ///
    /// # Errors
    /// `NotFound` when a topic was not made known to this core.
    pub fn subscribe(&mut self, name: &str, topics: &[TopicId]) -> Result<SubscriptionId> {
        self.check_known(name, topics)?;
        let id = SubscriptionId(self.subscriptions.len() as u32);
        let (name, topics_read) = (Arc::from(name), Vec::new());
        self.subscriptions.push(Subscription {
            name,
            topics: topics_read,
            is_loose: false,
            tables: None,
            lanes: Vec::new(),
            turn: 0,
            returned: 0,
            open: true,
        });
        self.read_more(id.index(), topics, false);
        Ok(id)
    }

    /// Has a subscription read more topics, such as a pattern finds while it is read. Those that it reads already are left
    /// as they are. Without a position of the group in them they are read from their first record on.
    ///
    /// # Errors
    /// `NotFound` when a topic was not made known to this core, `Usage` when the subscription has ended.
    pub fn extend(&mut self, id: SubscriptionId, topics: &[TopicId]) -> Result<()> {
        let Some(subscription) = self.subscriptions.get(id.index()).filter(|subscription| subscription.open) else {
            return Err(Error::new(ErrorKind::Usage, "a subscription that has ended reads no more topics"));
        };
        self.check_known(&subscription.name.clone(), topics)?;
        self.read_more(id.index(), topics, true);
        Ok(())
    }

    /// Says which tables the events of a subscription are written to. A topic with more partitions than one of them is
    /// refused, and so is one that gets more: see [`Core::misfit`].
    pub fn couple(&mut self, id: SubscriptionId, tables: &[TableId]) {
        if let Some(subscription) = self.subscriptions.get_mut(id.index()) {
            subscription.tables = Some(tables.to_vec());
        }
    }

    /// Lets a subscription go on when a topic of it does not exist any more, as one of a pattern does.
    pub fn loosen(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(id.index()) {
            subscription.is_loose = true;
        }
    }

    /// What a subscription reads.
    pub fn topics_of(&self, id: SubscriptionId) -> impl Iterator<Item = &TopicInfo> {
        let topics = self.subscriptions.get(id.index()).into_iter().flat_map(|subscription| &subscription.topics);
        topics.filter_map(|topic| self.topic(*topic))
    }

    /// Whether somebody reads a topic who cannot go on without it.
    pub fn needs(&self, topic: &str) -> bool {
        let id = self.topics.find(topic);
        let reads = |one: &Subscription| id.is_some_and(|id| one.topics.contains(&id));
        self.subscriptions.iter().any(|one| one.open && !one.is_loose && reads(one))
    }

    /// A topic does not exist any more: those that can go on without it do.
    pub(crate) fn gone(&mut self, topic: &str) {
        let Some(id) = self.topics.find(topic).filter(|_| !self.needs(topic)) else { return };
        let held = self.group.held.keys().filter(|name| &*name.topic == topic).cloned().collect::<Vec<_>>();
        self.give_up(&held);
        for index in self.topic_queues[id.index()].clone() {
            for (subscription, lane) in std::mem::take(&mut self.queues[index].readers) {
                self.subscriptions[subscription].lanes[lane].is_closed = true;
            }
        }
        for subscription in &mut self.subscriptions {
            subscription.topics.retain(|read| *read != id);
        }
        self.notices.push_back(format!("the topic {topic} does not exist any more and is read no longer"));
        self.topics_have_changed();
    }

    fn check_known(&self, name: &str, topics: &[TopicId]) -> Result<()> {
        let Some(unknown) = topics.iter().find(|topic| self.topics.get(**topic).is_none()) else { return Ok(()) };
        let message = format!("subscription {name}: topic number {} is not known to this core", unknown.0);
        Err(Error::new(ErrorKind::NotFound, message))
    }

    fn read_more(&mut self, subscription: usize, topics: &[TopicId], is_late: bool) {
        let read = &mut self.subscriptions[subscription].topics;
        let mut new: Vec<TopicId> = topics.iter().copied().filter(|topic| !read.contains(topic)).collect();
        new.sort_unstable();
        new.dedup();
        read.extend(&new);
        for topic in new {
            self.make_queues(topic, is_late);
            self.add_lanes(subscription, topic);
        }
        self.topics_have_changed();
    }

    fn topics_have_changed(&mut self) {
        self.refresh_ready();
        self.group.topics_changed = true;
        self.replan = true;
    }

    /// Has the readers of a topic read its new partitions too.
    pub(crate) fn read_new_partitions(&mut self, topic: TopicId) {
        let queues = self.topic_queues[topic.index()].len();
        if queues == 0 || self.topic(topic).is_none_or(|info| info.partitions as usize <= queues) {
            return;
        }
        self.make_queues(topic, true);
        for subscription in 0..self.subscriptions.len() {
            let Subscription { topics, open, .. } = &self.subscriptions[subscription];
            if *open && topics.contains(&topic) {
                self.add_lanes(subscription, topic);
            }
        }
        self.topics_have_changed();
    }

    /// Makes the queues that a topic has not.
    fn make_queues(&mut self, topic: TopicId, is_late: bool) {
        let Some(info) = self.topics.get(topic) else { return };
        let queues = &mut self.topic_queues[topic.index()];
        for partition in queues.len() as u32..info.partitions {
            let name = TopicPartition::new(info.name.clone(), partition);
            let held = self.group.holds(&name);
            let mut queue = PartitionQueue::new(name, topic);
            (queue.held, queue.is_late) = (held, is_late);
            queues.push(self.queues.len());
            self.queues.push(queue);
        }
    }

    /// Gives a subscription its ways through those partitions of a topic that it has none through.
    fn add_lanes(&mut self, subscription: usize, topic: TopicId) {
        for (queue, partition) in self.topic_queues[topic.index()].iter().copied().zip(0..) {
            if self.queues[queue].readers.iter().any(|(reader, _)| *reader == subscription) {
                continue;
            }
            let mut lane = Lane::new(queue, partition);
            lane.valid_from = self.epoch;
            if self.queues[queue].range.is_some() {
                lane.seek(&self.queues[queue], self.position(queue));
            }
            let lanes = &mut self.subscriptions[subscription].lanes;
            // A topic that has come back is read where it was before.
            let place = lanes.iter().position(|lane| lane.queue == queue).unwrap_or(lanes.len());
            self.queues[queue].readers.push((subscription, place));
            match lanes.get_mut(place) {
                Some(closed) => *closed = lane,
                None => lanes.push(lane),
            }
        }
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
