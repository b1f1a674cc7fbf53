//! Making a unit, and what follows when the log has answered.

use std::time::Duration;

use beltline_types::{CommitReceipt, CommitRequest, Error, ErrorKind, Offset};

use crate::commit::InFlightUnit;
use crate::core::Phase;
use crate::lane::Lane;
use crate::protocol::{CommitUnit, TableChange};
use crate::{Core, LogCommand, Next, SubscriptionId};

impl Core {
    /// Position of a partition: the lowest offset any of its subscriptions has not finished.
    pub(crate) fn position(&self, queue: usize) -> Offset {
        let state = &self.queues[queue];
        let lanes = state.readers.iter().map(|(subscription, lane)| &self.subscriptions[*subscription].lanes[*lane]);
        lanes.map(Lane::position).min().unwrap_or(state.last_position)
    }

    pub(crate) fn trim(&mut self, queue: usize) {
        let position = self.position(queue);
        self.queues[queue].trim(position);
    }

    /// Whether anything waits to be written.
    pub(crate) fn has_changes(&self) -> bool {
        !self.outbox.is_empty() || self.tables.is_dirty() || self.positions_moved().next().is_some()
    }

    fn positions_moved(&self) -> impl Iterator<Item = (usize, Offset)> {
        // Also while a position is being looked up again: what was finished before belongs to this unit.
        let known = self.queues.iter().enumerate().filter(|(_, queue)| queue.held && queue.range.is_some());
        known
            .map(|(index, queue)| (index, self.position(index), queue.sealed))
            .filter(|(_, position, sealed)| position != sealed)
            .map(|(index, position, _)| (index, position))
    }

    /// Whether exactly-once may seal: nothing is in flight, and all readers of a partition stand at the same place
    /// (a position between them would repeat events for the faster one).
    pub(crate) fn drained(&self) -> bool {
        self.in_flight == 0
            && self.queues.iter().all(|queue| {
                let mut offsets = queue.readers.iter().map(|reader| self.lane_of(*reader).next_offset());
                let first = offsets.next();
                offsets.all(|offset| Some(offset) == first)
            })
    }

    pub(crate) fn lane_of(&self, (subscription, lane): (usize, usize)) -> &Lane {
        &self.subscriptions[subscription].lanes[lane]
    }

    /// From now on no reader goes further than the fastest one of its partition.
    pub(crate) fn begin_drain(&mut self) {
        for index in 0..self.queues.len() {
            let offsets = self.queues[index].readers.iter().map(|reader| self.lane_of(*reader).next_offset());
            self.queues[index].drain_target = offsets.max().unwrap_or(0);
        }
    }

    /// Seals a unit if one is due and possible.
    pub(crate) fn try_commit(&mut self) {
        if self.phase != Phase::Running || !self.clock.is_due(self.now) {
            return;
        }
        if !self.has_changes() {
            self.clock.nothing_to_write(self.now);
            self.refresh_gate();
            return;
        }
        if self.must_drain() {
            if self.clock.draining_since().is_none() {
                self.begin_drain();
                self.clock.begin_drain(self.now, Duration::from_millis(self.options.drain_deadline_ms));
                self.gated = true;
            }
            if !self.drained() {
                return;
            }
        }
        self.seal();
    }

    /// Moves positions, outbox and table changes into a unit for the log.
    pub(crate) fn seal(&mut self) {
        let mut positions: Vec<(usize, Offset)> = self.positions_moved().collect();
        let topics = &self.topics;
        let (mut appends, sends) =
            self.outbox.take(|id| topics.get(id).map_or_else(|| "".into(), |info| info.name.clone()));
        self.outbox_floor = 0;
        let tables = self.tables.seal(&mut appends);
        if self.must_drain() {
            self.add_witnesses(&mut positions, &tables);
        }
        if positions.is_empty() && appends.is_empty() {
            self.clock.nothing_to_write(self.now);
            self.refresh_gate();
            return;
        }
        let changes = tables.iter().filter_map(|change| {
            let topic = topics.find(&self.tables.spec(change.table)?.changelog)?;
            Some((topic.index(), change.partition, change.append))
        });
        let changes = changes.collect();
        let moved = positions.iter().map(|(queue, _)| self.queues[*queue].name.partition);
        let numbers = moved.chain(tables.iter().map(|change| change.partition)).collect();
        let offsets = positions.iter().map(|(queue, offset)| (self.queues[*queue].name.clone(), *offset)).collect();
        for (queue, offset) in &positions {
            self.queues[*queue].sealed = *offset;
        }
        let request = CommitRequest { group: self.options.group.clone(), appends, offsets, losses: self.group.losses };
        self.commands.push_back(LogCommand::Commit(CommitUnit { request, tables }));
        self.group.note_if_empty();
        let (generation, changed_outside) = (self.group.generation, std::mem::take(&mut self.changed_outside));
        self.clock.sealed(self.now, InFlightUnit { positions, sends, changed_outside, changes, numbers, generation });
        self.mark_sealed();
        self.refresh_gate();
    }

    /// The group refuses positions of one who is no member any more, and with them the unit. Changes of a shard that no
    /// event made, but a timer, bring the position of their partition along, so that they are refused as well.
    fn add_witnesses(&self, positions: &mut Vec<(usize, Offset)>, tables: &[TableChange]) {
        for change in tables {
            let of_number = |index: usize| self.queues[index].name.partition == change.partition;
            if positions.iter().any(|(index, _)| of_number(*index)) {
                continue;
            }
            let known = |index: &usize| self.queues[*index].held && self.queues[*index].range.is_some();
            let witness = (0..self.queues.len()).filter(|index| of_number(*index)).find(known);
            positions.extend(witness.map(|index| (index, self.position(index))));
        }
    }

    pub(crate) fn committed(&mut self, receipt: &CommitReceipt) {
        let Some(unit) = self.clock.unit.take() else { return };
        self.counters.commits += 1;
        self.tables.committed();
        for (queue, offset) in &unit.positions {
            self.queues[*queue].committed = *offset;
        }
        for (sends, appended) in unit.sends.iter().zip(&receipt.appended) {
            sends.written(appended, &mut self.receipts);
            self.note_end(sends.topic.index(), sends.partition, appended.next_offset);
        }
        for (topic, partition, append) in &unit.changes {
            if let Some(appended) = receipt.appended.get(*append) {
                self.note_end(*topic, *partition, appended.next_offset);
            }
        }
        self.release_sealed();
        if self.group.rollback_due {
            self.roll_back();
        }
        self.after_unit();
    }

    /// Records of our own were written: a partition we read is longer than its last fetch said.
    fn note_end(&mut self, topic: usize, partition: u32, end: Offset) {
        let Some(queue) = self.topic_queues.get(topic).and_then(|queues| queues.get(partition as usize)) else {
            return;
        };
        if let Some(range) = self.queues.get_mut(*queue).and_then(|queue| queue.range.as_mut()) {
            range.end = range.end.max(end);
        }
    }

    pub(crate) fn commit_failed(&mut self, error: &Error) {
        let Some(unit) = &self.clock.unit else { return };
        let (generation, moved) = (unit.generation, unit.positions.iter().map(|(queue, _)| *queue).collect::<Vec<_>>());
        self.counters.aborts += 1;
        self.notices.push_back(format!("a commit failed, its events will be repeated: {error}"));
        self.roll_back();
        match error.kind() {
            ErrorKind::Aborted => {}
            ErrorKind::Fenced => self.fenced(generation),
            // Nobody knows whether the unit is in the log. For exactly-once the log itself will tell, by the positions it
            // has. At-least-once need not know, but must not leave positions there that the tables have gone back behind.
            ErrorKind::Unavailable if !self.must_drain() => {
                moved.into_iter().for_each(|queue| self.queues[queue].sealed = -1);
                self.clock.touch();
            }
            ErrorKind::Unavailable => self.look_up_everything(),
            _ => {
                self.failure = Some(error.to_string());
                self.phase = Phase::Failed;
                self.gated = true;
                return;
            }
        }
        self.after_unit();
    }

    fn after_unit(&mut self) {
        if let Phase::Finishing { deadline } = self.phase {
            let is_through = self.outbox.is_empty() || self.now >= deadline;
            self.phase = if is_through { Phase::Stopped } else { Phase::Stopping { deadline } };
        }
        self.refresh_gate();
        self.replan = true;
    }

    /// Back to the last durable unit: tables, positions, and the outbox but for what nobody would send again. Tickets of
    /// before are stale.
    pub(crate) fn roll_back(&mut self) {
        let unit = self.clock.unit.take();
        let (sealed, mut changed_outside) = unit.map(|unit| (unit.sends, unit.changed_outside)).unwrap_or_default();
        changed_outside.append(&mut self.changed_outside);
        let (_, unsealed) = self.outbox.take(|_| "".into());
        self.outbox_floor = 0;
        for sends in sealed.iter().chain(&unsealed) {
            self.outbox.put_back(sends, &changed_outside, &mut self.receipts);
        }
        self.tables.roll_back();
        self.group.rolled_back();
        self.take_back();
        self.in_flight = 0;
        for index in 0..self.queues.len() {
            self.rewind(index);
        }
        for subscription in &mut self.subscriptions {
            subscription.forget_returned();
            subscription.lanes.iter_mut().for_each(|lane| lane.valid_from = self.epoch);
        }
        self.clock.aborted(self.now);
        if !self.outbox.is_empty() {
            self.clock.touch();
        }
        self.replan = true;
    }

    /// Events that were handed out before this moment come again; under exactly-once their handlers can do nothing more.
    pub(crate) fn take_back(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.must_drain() {
            self.taken_back = Some(self.epoch);
        }
    }

    fn rewind(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        if let Some(fetch) = queue.outstanding.take() {
            self.commands.push_back(LogCommand::CancelFetch { fetch, partition: queue.name.clone() });
        }
        if queue.range.is_none() {
            return;
        }
        queue.rewind(queue.committed);
        queue.sealed = queue.committed;
        queue.last_position = queue.committed;
        for (subscription, lane) in self.queues[index].readers.clone() {
            let offset = self.queues[index].committed;
            self.subscriptions[subscription].lanes[lane].seek(&self.queues[index], offset);
        }
    }

    /// Whether `next` must ask before it hands out an event.
    pub(crate) fn refresh_gate(&mut self) {
        self.gated = self.phase != Phase::Running
            || self.clock.draining_since().is_some()
            || self.group.rollback_due
            || self.outbox_is_full();
    }

    /// `next` while something holds events back.
    #[cold]
    pub(crate) fn next_gated(&mut self, id: SubscriptionId) -> Next {
        self.try_commit();
        self.refresh_gate();
        if !self.gated {
            return self.take(id, false);
        }
        match self.phase {
            // What is handed out now would be taken back.
            Phase::Running if self.group.rollback_due => Next::Wait,
            Phase::Running if self.clock.draining_since().is_some() => self.take_for_drain(id),
            Phase::Running => Next::Wait,
            Phase::Stopping { .. } if self.must_drain() => match self.take_for_drain(id) {
                Next::Wait => Next::Closed,
                next => next,
            },
            _ => Next::Closed,
        }
    }

    /// An event that a commit waits for, because another reader of its partition is ahead: it is handed out however full the
    /// outbox is, and may send on top of that. How far readers can be apart is limited by what is fetched ahead.
    fn take_for_drain(&mut self, id: SubscriptionId) -> Next {
        let next = self.take(id, true);
        if matches!(next, Next::Event(_)) {
            self.outbox_floor = self.outbox.bytes();
        }
        next
    }

    /// Whether the last unit was rolled back just now, and is not tried again yet.
    pub(crate) fn rests_before_stop(&self, deadline: Duration) -> bool {
        self.now < deadline.min(self.clock.not_before())
    }

    /// One step of stopping: finish what is in flight, write the last unit.
    pub(crate) fn try_stop(&mut self) {
        let Phase::Stopping { deadline } = self.phase else { return };
        if self.rests_before_stop(deadline) || self.clock.unit.is_some() {
            return;
        }
        let finished = if self.must_drain() { self.drained() } else { self.in_flight == 0 };
        if !finished && self.now < deadline {
            return;
        }
        if !finished {
            self.notices.push_back(format!("stopped with {} unfinished events; they will be repeated", self.in_flight));
            if self.must_drain() {
                // Half an event must not count: what was done since the last unit will be done again.
                self.roll_back();
            }
        }
        self.phase = Phase::Finishing { deadline };
        self.seal();
        if self.clock.unit.is_none() {
            self.phase = Phase::Stopped;
        }
        self.refresh_gate();
    }
}
