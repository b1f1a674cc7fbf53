//! What the core says about itself.

use std::time::Duration;

use crate::core::Phase;
use crate::lane::Lane;
use crate::queue::{Known, PartitionQueue};
use crate::{Core, Health, PartitionHealth, Pause, SubscriptionId};

impl Core {
    /// Whether everything that exists was processed and is durable: nothing queued, in flight or dirty, every
    /// partition read to the end that is known.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
            && self.is_settled()
            && !self.has_uncommitted()
            && self.shards_ready()
            && (0..self.queues.len()).all(|index| {
                let queue = &self.queues[index];
                !queue.held
                    || queue.readers.is_empty()
                    || (queue.reached_end() && self.position(index) >= queue.fetch_offset)
            })
    }

    /// Whether [`Core::next`] might have something other than `Wait`: worth waking a sleeping consumer for.
    pub fn is_worth_asking(&self, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.get(id.index()).filter(|subscription| subscription.open) else {
            return true;
        };
        let has_record = |lane: &Lane| {
            let queue = &self.queues[lane.queue];
            lane.may_hand_out(false, queue.drain_target) && (lane.loaded() || lane.has_batch(queue))
        };
        self.phase != Phase::Running || subscription.returned > 0 || subscription.lanes.iter().any(has_record)
    }

    /// Whether a unit is on its way or something waits for the next one.
    pub fn has_uncommitted(&self) -> bool {
        self.clock.unit.is_some() || self.has_changes()
    }

    /// Whether a unit waits for events in flight, and no new ones are handed out meanwhile.
    pub fn is_draining(&self) -> bool {
        self.clock.draining_since().is_some()
    }

    /// Number of events in flight, over all subscriptions.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The whole core at this moment; for people and monitors, not for the data plane.
    pub fn health(&self) -> Health {
        let open = self.subscriptions.iter().filter(|subscription| subscription.open);
        let partitions = open.flat_map(|subscription| {
            let ours = subscription.lanes.iter().filter(|lane| self.queues[lane.queue].held);
            ours.map(|lane| self.partition_health(subscription.name.clone(), lane))
        });
        Health {
            partitions: partitions.collect(),
            tables: self.tables.health(|number| self.group.holds_number(number)),
            counters: self.counters,
            commit_interval: self.clock.interval(),
            commit_in_flight: self.clock.unit.is_some(),
            outbox_bytes: self.outbox.bytes(),
            failure: self.failure.clone(),
            trouble: self.trouble.clone(),
            joining: !self.is_settled(),
        }
    }

    fn partition_health(&self, subscription: std::sync::Arc<str>, lane: &Lane) -> PartitionHealth {
        let queue = &self.queues[lane.queue];
        let known = queue.range.is_some();
        PartitionHealth {
            subscription,
            partition: queue.name.clone(),
            position: known.then(|| lane.position()),
            committed: known.then_some(queue.committed),
            end: queue.range.map(|range| range.end),
            in_flight: lane.unfinished(),
            oldest_in_flight_age: lane.oldest().map(|(_, since)| self.now.saturating_sub(since)),
            queued_bytes: queue.bytes(),
            paused: self.pause(queue, lane),
            stalled: self.stalled(queue, lane),
        }
    }

    /// How long a lane with something to read has not advanced, beyond the limit.
    fn stalled(&self, queue: &PartitionQueue, lane: &Lane) -> Option<Duration> {
        let idle = queue.range.is_some_and(|range| lane.position() >= range.end);
        let waited = self.now.saturating_sub(queue.seen_at);
        let limit = Duration::from_millis(self.options.stall_timeout_ms);
        (!idle && waited >= limit && self.phase == Phase::Running).then_some(waited)
    }

    fn pause(&self, queue: &PartitionQueue, lane: &Lane) -> Option<Pause> {
        match self.phase {
            Phase::Failed => return Some(Pause::Failed { message: self.failure.clone().unwrap_or_default() }),
            Phase::Running => {}
            _ => return Some(Pause::Stopping),
        }
        if let Some(message) = &self.trouble {
            return Some(Pause::Trouble { message: message.clone() });
        }
        if let Some(message) = &queue.last_error {
            return Some(Pause::LogError { message: message.clone(), failures: queue.failures });
        }
        if queue.known != Known::Position {
            return Some(Pause::Starting);
        }
        if let Some(since) = self.group.leaving_since(&queue.name) {
            let oldest = lane.oldest().map(|(offset, _)| offset);
            return Some(Pause::HandingOver { waited: self.now.saturating_sub(since), oldest });
        }
        if let Some((table, done, total, error)) = self.tables.incomplete(lane.partition) {
            let (table, error) = (table.name.clone(), error.map(str::to_owned));
            return Some(Pause::Restoring { table, done, total, error });
        }
        if let Some(since) = self.clock.draining_since() {
            let waited = self.now.saturating_sub(since);
            let overdue = waited >= Duration::from_millis(self.options.drain_deadline_ms);
            let oldest = lane.oldest().map(|(offset, _)| offset);
            return Some(if overdue { Pause::DrainOverdue { waited, oldest } } else { Pause::Draining });
        }
        if self.outbox_is_full() {
            return Some(Pause::OutboxFull { bytes: self.outbox.bytes() });
        }
        match lane.oldest() {
            Some((oldest, _)) if queue.outstanding.is_none() && lane.next_offset() >= queue.fetch_offset => {
                Some(Pause::QueueFull { oldest, bytes: queue.bytes() })
            }
            Some((oldest, since)) if self.stalled(queue, lane).is_some() => {
                Some(Pause::Handler { oldest, waited: self.now.saturating_sub(since) })
            }
            _ => None,
        }
    }
}
