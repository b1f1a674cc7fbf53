//! The state machine: events and time in, commands out.

use std::time::Duration;

use beltline_types::{Batch, Error, ErrorKind, Offset, OffsetRange, TopicPartition};

use crate::core::Phase;
use crate::protocol::PartitionOffsets;
use crate::queue::Known;
use crate::{Core, LogCommand, LogEvent, Receipt, StartFrom};

impl Core {
    /// Takes in what happened outside.
    pub fn handle(&mut self, event: LogEvent, now: Duration) {
        self.now = self.now.max(now);
        self.replan = true;
        if !matches!(event, LogEvent::Fetched { .. } | LogEvent::RestoreProgress { .. }) {
            self.group.restores_open = true;
        }
        match event {
            LogEvent::Fetched { fetch, partition, batches, range, next_offset } => {
                self.fetched(fetch, &partition, batches, range, next_offset);
            }
            LogEvent::FetchFailed { fetch, partition, error } => self.fetch_failed(fetch, &partition, &error),
            LogEvent::Committed(receipt) => self.committed(&receipt),
            LogEvent::CommitFailed(error) => self.commit_failed(&error),
            LogEvent::Restored { restore, table, partition, shard } => {
                self.tables.restored(restore, table, partition, shard);
                self.refresh_ready();
            }
            LogEvent::RestoreProgress { restore, table, partition, done, total } => {
                self.tables.progress(restore, table, partition, done, total);
            }
            LogEvent::RestoreFailed { restore, table, partition, error } => {
                self.tables.restore_failed(restore, table, partition, error.to_string(), self.now);
            }
            LogEvent::Offsets { lookup, found } => found.into_iter().for_each(|offsets| self.found(lookup, offsets)),
            LogEvent::OffsetsFailed { lookup, partitions, error } => self.offsets_failed(lookup, &partitions, &error),
            LogEvent::Assigned(partitions) => self.assigned_now(partitions),
            LogEvent::Revoking(partitions) => self.revoking(partitions),
            LogEvent::Lost(partitions) => {
                self.group.losses += 1;
                self.lost(&partitions);
            }
            LogEvent::Standby(numbers) => self.stand_by(numbers),
            LogEvent::Trouble(trouble) => self.trouble = trouble,
            LogEvent::Topics(topics) => self.surveyed(topics),
            LogEvent::Gone { topic, .. } => self.gone(&topic),
        }
        self.try_release();
        self.try_commit();
        self.try_stop();
    }

    /// Tells the time, which must not go backwards; seals a unit when one is due.
    pub fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.clock.tick(self.now);
        self.watch_positions();
        if self.clock.touched && self.outbox.bytes() + self.tables.dirty_bytes() >= self.options.commit_bytes {
            self.clock.requested = true;
        }
        self.try_release();
        self.try_commit();
        let deadline = Duration::from_millis(self.options.drain_deadline_ms);
        if let Some(waited) = self.clock.overdue(self.now, deadline) {
            let seconds = waited.as_secs_f64();
            let count = self.in_flight;
            self.notices.push_back(format!("a commit has waited {seconds:.1} s for {count} unfinished events"));
        }
        self.try_stop();
        let due = |retry_at: Option<Duration>| retry_at.is_some_and(|at| at <= self.now);
        if due(self.tables.retry_at()) {
            self.group.restores_open = true;
            self.replan = true;
        }
        if self.queues.iter().any(|queue| due(queue.retry_at)) {
            self.replan = true;
        }
    }

    /// Notes which positions have moved since the last tick: a move without an event is committed as well, and one that
    /// does not come is what health calls a stall.
    fn watch_positions(&mut self) {
        for index in 0..self.queues.len() {
            let queue = &self.queues[index];
            if !queue.held {
                continue;
            }
            let position = match queue.range {
                Some(_) => self.position(index),
                None => -1,
            };
            let restored = self.tables.restore_progress(queue.name.partition);
            let seen = (position, restored);
            let at_end = queue.range.is_some_and(|range| position >= range.end);
            let moved = position >= 0 && position != queue.sealed;
            let queue = &mut self.queues[index];
            if queue.seen != seen || at_end {
                if moved {
                    self.clock.touch();
                }
                queue.seen = seen;
                queue.seen_at = self.now;
            }
        }
    }

    /// What the driver has to do next; `None` when nothing.
    pub fn poll_command(&mut self) -> Option<LogCommand> {
        if self.commands.is_empty() {
            self.try_release();
            self.try_commit();
            self.try_stop();
        }
        if self.commands.is_empty() && std::mem::replace(&mut self.replan, false) {
            self.plan();
        }
        self.commands.pop_front()
    }

    /// What became of sends.
    pub fn poll_receipt(&mut self) -> Option<Receipt> {
        self.receipts.pop_front()
    }

    /// Sentences for the operator's log.
    pub fn poll_notice(&mut self) -> Option<String> {
        self.notices.pop_front()
    }

    /// Whether the driver should be turned although nothing came from outside: a command is ready, or the
    /// first change since the last unit gave [`Core::next_deadline`] a new answer.
    #[inline]
    pub fn wants_turn(&self) -> bool {
        self.replan
            || self.clock.fresh
            || !self.commands.is_empty()
            || !self.receipts.is_empty()
            || self.can_begin_requested()
            || self.can_leave_drain()
            || self.can_release()
    }

    /// Whether a unit that was asked for is due, has something to hold, and was not begun yet.
    fn can_begin_requested(&self) -> bool {
        self.clock.requested
            && self.clock.draining_since().is_none()
            && self.clock.is_due(self.now)
            && self.has_changes()
    }

    /// Whether the last event a unit waited for is finished.
    fn can_leave_drain(&self) -> bool {
        let stopping = matches!(self.phase, Phase::Stopping { deadline } if !self.rests_before_stop(deadline));
        self.in_flight == 0
            && self.clock.unit.is_none()
            && (stopping || self.clock.draining_since().is_some())
            && (!self.must_drain() || self.drained())
    }

    /// When [`Core::tick`] must be called at the latest, if no event comes before.
    pub fn next_deadline(&self) -> Option<Duration> {
        let due = match self.clock.overdue_at() {
            Some(overdue) => Some(overdue),
            None if self.phase == Phase::Running => self.clock.due_at(),
            None => None,
        };
        let stop = match self.phase {
            Phase::Stopping { deadline } if self.rests_before_stop(deadline) => Some(self.clock.not_before()),
            Phase::Stopping { deadline } => Some(deadline),
            _ => None,
        };
        let retries = self.queues.iter().filter_map(|queue| queue.retry_at).chain(self.tables.retry_at());
        retries.chain(due).chain(stop).chain(self.hand_over_deadline()).min()
    }

    /// Commits as soon as possible, not only when the interval is over. Who asks again and again wakes nobody for it: see
    /// [`Core::wants_turn`], which is silent while there is nothing to write, or the unit before is on its way.
    pub fn request_commit(&mut self) {
        self.clock.requested = true;
    }

    /// Stops: no new events, those in flight may finish until `deadline`, then the last unit is written.
    /// A second call can bring the deadline forward. At the deadline at-least-once commits what is finished; exactly-once drops the unfinished unit. The
    /// core is through when [`Core::is_stopped`] says so.
    pub fn stop(&mut self, deadline: Duration) {
        if let Phase::Stopping { deadline: before } = self.phase {
            self.phase = Phase::Stopping { deadline: before.min(deadline) };
            self.try_stop();
        }
        if self.phase == Phase::Running {
            self.begin_drain();
            self.phase = Phase::Stopping { deadline };
            self.gated = true;
            for queue in &mut self.queues {
                if let Some(fetch) = queue.outstanding.take() {
                    self.commands.push_back(LogCommand::CancelFetch { fetch, partition: queue.name.clone() });
                }
            }
            self.try_stop();
        }
    }

    /// Whether the last unit is durable after [`Core::stop`], or a commit failed for good.
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped | Phase::Failed)
    }

    pub(crate) fn find_queue(&self, partition: &TopicPartition) -> Option<usize> {
        let topic = self.topics.find(&partition.topic)?;
        self.topic_queues.get(topic.index())?.get(partition.partition as usize).copied()
    }

    fn fetched(
        &mut self,
        fetch: u64,
        partition: &TopicPartition,
        batches: Vec<Batch>,
        range: OffsetRange,
        next_offset: Offset,
    ) {
        let Some(index) = self.find_queue(partition) else { return };
        let queue = &mut self.queues[index];
        if queue.outstanding != Some(fetch) {
            return;
        }
        queue.outstanding = None;
        let end = queue.range.map_or(range.end, |known| known.end.max(range.end));
        queue.range = Some(OffsetRange { start: range.start, end });
        queue.succeed();
        queue.at_end = !queue.push(batches, next_offset);
        for (subscription, lane) in self.queues[index].readers.clone() {
            self.subscriptions[subscription].lanes[lane].pass_empty(&self.queues[index]);
        }
    }

    fn fetch_failed(&mut self, fetch: u64, partition: &TopicPartition, error: &Error) {
        let Some(index) = self.find_queue(partition) else { return };
        let queue = &mut self.queues[index];
        if queue.outstanding != Some(fetch) {
            return;
        }
        queue.outstanding = None;
        queue.at_end = false;
        queue.fail(error.to_string(), self.now);
        if error.kind() == ErrorKind::OffsetOutOfRange {
            queue.known = Known::Nothing;
        }
    }

    fn offsets_failed(&mut self, lookup: u64, partitions: &[TopicPartition], error: &Error) {
        for partition in partitions {
            let Some(index) = self.find_queue(partition) else { continue };
            let queue = &mut self.queues[index];
            if queue.known == Known::Asked(lookup) {
                queue.known = Known::Nothing;
                queue.fail(error.to_string(), self.now);
            }
        }
    }

    /// Takes over a position from the log, within what the partition still holds.
    fn found(&mut self, lookup: u64, offsets: PartitionOffsets) {
        let Some(index) = self.find_queue(&offsets.partition) else { return };
        let queue = &mut self.queues[index];
        if queue.known != Known::Asked(lookup) {
            return;
        }
        let range = offsets.range;
        let first_time = queue.range.is_none();
        let wanted = match (first_time, offsets.committed, self.options.start) {
            (false, ..) => queue.fetch_offset,
            (true, Some(committed), _) => committed,
            (true, None, StartFrom::Earliest) => range.start,
            // It was born while others were read: nobody wants to miss its first records.
            (true, None, StartFrom::Latest) if queue.is_late => range.start,
            (true, None, StartFrom::Latest) => range.end,
        };
        let position = match self.options.start {
            // The records wanted are gone: who wants the latest only does not want what is left before them.
            StartFrom::Latest if wanted < range.start => range.end,
            _ => wanted.clamp(range.start, range.end),
        };
        if position != wanted {
            self.notices.push_back(format!(
                "{}: offset {wanted} is outside of what the log holds ({} to {}); goes on at {position}",
                queue.name, range.start, range.end
            ));
        }
        queue.known = Known::Position;
        queue.range = Some(range);
        queue.succeed();
        queue.fetch_offset = position;
        if first_time {
            self.begin_at(index, position, offsets.committed);
        } else {
            for (subscription, lane) in self.queues[index].readers.clone() {
                self.subscriptions[subscription].lanes[lane].skip_to(&self.queues[index], position);
            }
            self.clock.touch();
        }
    }

    fn begin_at(&mut self, index: usize, position: Offset, committed: Option<Offset>) {
        let queue = &mut self.queues[index];
        queue.committed = position;
        queue.last_position = position;
        // A start at the end must be written down, or a restart would begin at a later end.
        queue.sealed = if self.options.start == StartFrom::Latest { committed.unwrap_or(-1) } else { position };
        if queue.sealed != position {
            self.clock.touch();
        }
        for (subscription, lane) in self.queues[index].readers.clone() {
            self.subscriptions[subscription].lanes[lane].seek(&self.queues[index], position);
        }
    }

    /// Commands that follow from the state: look-ups, then restores, then fetches.
    fn plan(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.plan_join();
        self.plan_standby();
        let mut lookups = Vec::new();
        let lookup = self.next_number;
        for index in 0..self.queues.len() {
            if self.may_look_up(index) {
                let queue = &mut self.queues[index];
                queue.known = Known::Asked(lookup);
                queue.retry_at = None;
                lookups.push(queue.name.clone());
            }
        }
        if !lookups.is_empty() {
            self.next_number += 1;
            self.commands.push_back(LogCommand::LookupOffsets { lookup, partitions: lookups });
        }
        self.plan_restores();
        self.plan_fetches();
    }

    fn plan_fetches(&mut self) {
        let readers = self.queues.iter().filter(|queue| queue.held && !queue.readers.is_empty()).count();
        let budget = self.options.queue_bytes / readers.max(1);
        let max_bytes = self.options.fetch_max_bytes.min(budget / 2).max(1);
        for index in 0..self.queues.len() {
            self.trim(index);
            let queue = &self.queues[index];
            let wanted = queue.known == Known::Position
                && queue.is_active()
                && queue.outstanding.is_none()
                && !queue.readers.is_empty()
                && queue.retry_at.is_none_or(|at| at <= self.now);
            if !wanted || (queue.bytes() > 0 && queue.bytes() + max_bytes > budget) {
                continue;
            }
            let queue = &mut self.queues[index];
            let fetch = self.next_number;
            self.next_number += 1;
            queue.outstanding = Some(fetch);
            queue.retry_at = None;
            self.commands.push_back(LogCommand::Fetch {
                fetch,
                partition: queue.name.clone(),
                offset: queue.fetch_offset,
                max_bytes,
                wait: queue.at_end,
            });
        }
    }
}
