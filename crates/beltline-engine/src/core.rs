//! The core itself: set-up and data plane.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use beltline_table::Shard;
use beltline_types::{Batch, Offset, RecordView, TopicInfo, TopicPartition};

use crate::commit::CommitClock;
use crate::group::Group;
use crate::lane::{Finished, Lane, Place};
use crate::outbox::Outbox;
use crate::queue::PartitionQueue;
use crate::survey::Survey;
use crate::tables::Tables;
use crate::topology::Topics;
use crate::{CoreOptions, Counters, Guarantee, LogCommand, Receipt, SubscriptionId, TableId, TableSpec, TopicId};

/// An event in somebody's hands. Give it to [`Core::done`] or [`Core::release`]; after an aborted commit, and when its
/// partition goes to another member, tickets from before are stale, and giving them back has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    offset: Offset,
    batch: u64,
    subscription: u32,
    lane: u32,
    index: u32,
    epoch: u32,
}

impl Ticket {
    /// Who it was handed to.
    pub fn subscription(&self) -> SubscriptionId {
        SubscriptionId(self.subscription)
    }

    /// Offset of the record.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// When it was handed out, see [`Core::is_taken_back`].
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Index of the record in its batch, see [`Core::batch`].
    pub fn index_in_batch(&self) -> usize {
        self.index as usize
    }
}

/// What [`Core::next`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(Ticket),
    /// Nothing at this moment: turn the driver, then sleep until it is woken.
    Wait,
    /// Nothing any more: the subscription or the core has ended.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) name: Arc<str>,
    pub(crate) topics: Vec<TopicId>,
    /// Its topics may go as they have come.
    pub(crate) is_loose: bool,
    /// Tables that its events are written to; `None` when nobody has said which.
    pub(crate) tables: Option<Vec<TableId>>,
    pub(crate) lanes: Vec<Lane>,
    /// The lane whose batch is being read.
    pub(crate) turn: usize,
    /// Events given back in all lanes.
    pub(crate) returned: usize,
    pub(crate) open: bool,
}

impl Subscription {
    /// Nothing is in flight any more.
    pub(crate) fn forget_returned(&mut self) {
        self.returned = 0;
        self.turn = 0;
    }
}

/// How a core ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// No new events; what is in flight may finish until then.
    Stopping {
        deadline: Duration,
    },
    /// The last unit is on its way. Should it be rolled back, there is time for another until then.
    Finishing {
        deadline: Duration,
    },
    Stopped,
    Failed,
}

/// The deterministic heart of a worker; see the crate's documentation.
#[derive(Debug)]
pub struct Core {
    pub(crate) options: CoreOptions,
    pub(crate) topics: Topics,
    /// By topic and partition, the queue; a topic that nobody has read yet has none.
    pub(crate) topic_queues: Vec<Vec<usize>>,
    pub(crate) queues: Vec<PartitionQueue>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) tables: Tables,
    pub(crate) outbox: Outbox,
    /// Who changed tables outside of events since the last unit was sealed, see [`Core::changed_outside`].
    pub(crate) changed_outside: BTreeSet<u64>,
    /// What the outbox held when a drain last handed out an event, which may send as much as any other.
    pub(crate) outbox_floor: usize,
    pub(crate) clock: CommitClock,
    pub(crate) group: Group,
    pub(crate) phase: Phase,
    pub(crate) failure: Option<String>,
    /// Some reason keeps `next` from its fast path: draining, a full outbox, the end.
    pub(crate) gated: bool,
    pub(crate) in_flight: usize,
    pub(crate) epoch: u32,
    /// Under exactly-once: what was handed out before this epoch was taken back.
    pub(crate) taken_back: Option<u32>,
    pub(crate) now: Duration,
    pub(crate) commands: VecDeque<LogCommand>,
    pub(crate) receipts: VecDeque<Receipt>,
    pub(crate) notices: VecDeque<String>,
    /// Something changed that may call for a fetch, a look-up or a restore.
    pub(crate) replan: bool,
    /// Number of the next fetch, look-up or restore.
    pub(crate) next_number: u64,
    pub(crate) trouble: Option<String>,
    pub(crate) counters: Counters,
    pub(crate) survey: Survey,
}

impl Core {
    /// An empty core.
    pub fn new(options: CoreOptions) -> Self {
        let clock = CommitClock::new(options.commit_interval());
        Core {
            options,
            topics: Topics::default(),
            topic_queues: Vec::new(),
            queues: Vec::new(),
            subscriptions: Vec::new(),
            tables: Tables::default(),
            outbox: Outbox::default(),
            changed_outside: BTreeSet::new(),
            outbox_floor: 0,
            clock,
            group: Group::default(),
            phase: Phase::Running,
            failure: None,
            gated: false,
            in_flight: 0,
            epoch: 0,
            taken_back: None,
            now: Duration::ZERO,
            commands: VecDeque::new(),
            receipts: VecDeque::new(),
            notices: VecDeque::new(),
            replan: true,
            next_number: 0,
            trouble: None,
            counters: Counters::default(),
            survey: Survey::default(),
        }
    }

    /// The settings it was made with.
    pub fn options(&self) -> &CoreOptions {
        &self.options
    }

    /// Makes a topic that exists known; a second time for the same name gives the same id. Whoever reads it reads the
    /// partitions too that it has got since the first time.
    pub fn add_topic(&mut self, info: TopicInfo) -> TopicId {
        let partitions = info.partitions;
        let id = self.topics.add(info);
        self.outbox.add_topic(id, partitions);
        if self.topic_queues.len() <= id.index() {
            self.topic_queues.resize_with(id.index() + 1, Vec::new);
        }
        self.read_new_partitions(id);
        id
    }

    /// The id of a topic made known before.
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topics.find(name)
    }

    /// A topic by id; `None` only for the id of another core.
    pub fn topic(&self, id: TopicId) -> Option<&TopicInfo> {
        self.topics.get(id)
    }

    /// Adds a table; its shards are restored before events of their partitions are handed out. A second
    /// time for the same name gives the same id.
    pub fn add_table(&mut self, spec: TableSpec) -> TableId {
        let id = self.tables.add(spec);
        self.refresh_ready();
        self.group.topics_changed = true;
        self.group.restores_open = true;
        self.replan = true;
        id
    }

    /// How a table is kept; `None` only for the id of another core.
    pub fn table_spec(&self, id: TableId) -> Option<&TableSpec> {
        self.tables.spec(id)
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = (TableId, &TableSpec)> {
        self.tables.specs()
    }

    /// The next event of a subscription; partitions take turns batch by batch. Many may be in flight.
    #[inline]
    pub fn next(&mut self, id: SubscriptionId) -> Next {
        if self.gated { self.next_gated(id) } else { self.take(id, false) }
    }

    /// The fast path: the record after the last one, in the same batch.
    #[inline]
    pub(crate) fn take(&mut self, id: SubscriptionId, limited: bool) -> Next {
        let Some(subscription) = self.subscriptions.get_mut(id.index()) else { return Next::Closed };
        let turn = subscription.turn;
        if let Some(lane) = subscription.lanes.get_mut(turn)
            && lane.loaded()
            && lane.ready
            && !limited
            && subscription.returned == 0
            && let Some(place) = lane.step(self.now)
        {
            if !lane.loaded() {
                subscription.turn = if turn + 1 == subscription.lanes.len() { 0 } else { turn + 1 };
            }
            return self.handed(id, turn, place);
        }
        self.take_from_any(id, limited)
    }

    #[inline]
    fn handed(&mut self, id: SubscriptionId, lane: usize, place: Place) -> Next {
        self.in_flight += 1;
        self.counters.events += 1;
        let Place { offset, batch, index } = place;
        Next::Event(Ticket { offset, batch, subscription: id.0, lane: lane as u32, index, epoch: self.epoch })
    }

    /// Events given back first, then the first lane that has one; `limited` lets no lane pass its drain target.
    fn take_from_any(&mut self, id: SubscriptionId, limited: bool) -> Next {
        let Some(subscription) = self.subscriptions.get_mut(id.index()).filter(|subscription| subscription.open) else {
            return Next::Closed;
        };
        if subscription.returned > 0 {
            for (index, lane) in subscription.lanes.iter_mut().enumerate() {
                if let Some(place) = lane.take_returned() {
                    subscription.returned -= 1;
                    // It never stopped being in flight.
                    self.in_flight -= 1;
                    return self.handed(id, index, place);
                }
            }
        }
        let count = subscription.lanes.len();
        for step in 0..count {
            let index = (subscription.turn + step) % count;
            let lane = &mut subscription.lanes[index];
            let queue = &self.queues[lane.queue];
            if !lane.may_hand_out(limited, queue.drain_target) || !lane.load(queue) {
                continue;
            }
            if !lane.may_hand_out(limited, queue.drain_target) {
                continue;
            }
            if let Some(place) = lane.step(self.now) {
                subscription.turn = if lane.loaded() { index } else { (index + 1) % count };
                return self.handed(id, index, place);
            }
        }
        Next::Wait
    }

    /// The batch an event is in; `None` when the ticket is stale.
    #[inline]
    pub fn batch(&self, ticket: &Ticket) -> Option<&Arc<Batch>> {
        let lane = self.lane(ticket)?;
        self.queues[lane.queue].batch(ticket.batch)
    }

    /// The record of an event; `None` when the ticket is stale.
    #[inline]
    pub fn record(&self, ticket: &Ticket) -> Option<RecordView<'_>> {
        self.batch(ticket).map(|batch| batch.get(ticket.index as usize))
    }

    /// Where an event comes from; `None` when the ticket is stale.
    #[inline]
    pub fn topic_partition(&self, ticket: &Ticket) -> Option<&TopicPartition> {
        self.lane(ticket).map(|lane| &self.queues[lane.queue].name)
    }

    /// Number of the partition an event comes from, which is that of its tables' shards; `None` when the
    /// ticket is stale.
    #[inline]
    pub fn partition(&self, ticket: &Ticket) -> Option<u32> {
        self.lane(ticket).map(|lane| lane.partition)
    }

    /// The topic an event comes from; `None` when the ticket is stale.
    pub fn topic_of(&self, ticket: &Ticket) -> Option<TopicId> {
        self.lane(ticket).map(|lane| self.queues[lane.queue].topic)
    }

    /// Whether a ticket still counts: its unit was not aborted and its subscription is open.
    #[inline]
    pub fn is_current(&self, ticket: &Ticket) -> bool {
        self.lane(ticket).is_some()
    }

    /// Under exactly-once, whether an event that was handed out in this epoch was taken back and comes again. A handler that
    /// was in the middle of it, because it awaited something, is to be refused whatever it still sends and writes: that
    /// would be in the next unit, and once more when the event is handled again. At-least-once takes back no effects.
    #[inline]
    pub fn is_taken_back(&self, epoch: u32) -> bool {
        self.taken_back.is_some_and(|since| (epoch.wrapping_sub(since) as i32) < 0)
    }

    /// Whether anything was ever taken back: until then nobody need ask for [`Core::is_taken_back`].
    #[inline]
    pub fn has_taken_back(&self) -> bool {
        self.taken_back.is_some()
    }

    /// Where an event comes from, also of a stale ticket; `None` only for the ticket of another core.
    pub fn origin(&self, ticket: &Ticket) -> Option<&TopicPartition> {
        let lane = self.subscriptions.get(ticket.subscription as usize)?.lanes.get(ticket.lane as usize)?;
        self.queues.get(lane.queue).map(|queue| &queue.name)
    }

    #[inline]
    fn lane(&self, ticket: &Ticket) -> Option<&Lane> {
        let subscription = self.subscriptions.get(ticket.subscription as usize)?;
        if !subscription.open {
            return None;
        }
        subscription.lanes.get(ticket.lane as usize).filter(|lane| lane.knows(ticket.epoch))
    }

    #[inline]
    fn lane_mut(&mut self, ticket: &Ticket) -> Option<&mut Lane> {
        let subscription = self.subscriptions.get_mut(ticket.subscription as usize)?;
        if !subscription.open {
            return None;
        }
        subscription.lanes.get_mut(ticket.lane as usize).filter(|lane| lane.knows(ticket.epoch))
    }

    /// An event is finished: its effects belong to the next unit and its position may move.
    #[inline]
    pub fn done(&mut self, ticket: Ticket) {
        let now = self.now;
        let Some(lane) = self.lane_mut(&ticket) else { return };
        let finished = lane.finish(ticket.offset, now);
        let queue = lane.queue;
        if finished == Finished::Unknown {
            return;
        }
        self.in_flight -= 1;
        self.count_finished();
        if finished == Finished::LeftBatch {
            self.trim(queue);
            self.replan = true;
        }
    }

    /// [`Core::done`] and [`Core::next`] of the event's own subscription in one: most of the time the event is the only one
    /// in flight and the next one is beside it. `ticket` becomes that of the next event. `false` changes nothing, and the
    /// two are to be called instead.
    #[inline(always)]
    pub fn advance(&mut self, ticket: &mut Ticket) -> bool {
        if self.gated || ticket.epoch != self.epoch {
            return false;
        }
        let Some(subscription) = self.subscriptions.get_mut(ticket.subscription as usize) else { return false };
        if subscription.turn != ticket.lane as usize || subscription.returned > 0 {
            return false;
        }
        let Some(lane) = subscription.lanes.get_mut(ticket.lane as usize) else { return false };
        if !lane.ready {
            return false;
        }
        let Some((offset, index)) = lane.advance(ticket.offset, self.now) else { return false };
        (ticket.offset, ticket.index) = (offset, index);
        self.counters.events += 1;
        self.count_finished();
        true
    }

    #[inline]
    fn count_finished(&mut self) {
        self.counters.finished += 1;
        self.clock.finished_events += 1;
        self.clock.touch();
        if self.clock.finished_events >= self.options.commit_events {
            self.clock.requested = true;
        }
    }

    /// Gives an unfinished event back: the next call of [`Core::next`] hands it out again.
    pub fn release(&mut self, ticket: Ticket) {
        let Some(lane) = self.lane_mut(&ticket) else { return };
        if lane.give_back(ticket.offset) {
            self.subscriptions[ticket.subscription as usize].returned += 1;
        }
    }

    /// A shard, once it is restored. Events of partition `p` belong to shard `p`.
    #[inline]
    pub fn shard(&self, table: TableId, partition: u32) -> Option<&Shard> {
        self.tables.shard(table, partition)
    }

    /// A shard to write to, once it is restored. What is written belongs to the next unit.
    #[inline]
    pub fn shard_mut(&mut self, table: TableId, partition: u32) -> Option<&mut Shard> {
        self.clock.touch();
        self.tables.shard_mut(table, partition)
    }

    /// Whether the group has said what is ours, and every shard that is ours is restored.
    pub fn shards_ready(&self) -> bool {
        self.is_settled() && self.tables.all_ready(|partition| self.group.holds_number(partition))
    }

    /// Whether events wait for unfinished ones before a unit can be sealed.
    pub(crate) fn must_drain(&self) -> bool {
        self.options.guarantee == Guarantee::ExactlyOnce
    }
}
