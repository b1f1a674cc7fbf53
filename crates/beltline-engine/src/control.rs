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
        match event {
            LogEvent::Fetched { fetch, partition, batches, range } => self.fetched(fetch, &partition, batches, range),
            LogEvent::FetchFailed { fetch, partition, error } => self.fetch_failed(fetch, &partition, &error),
            LogEvent::Committed(receipt) => self.committed(&receipt),
            LogEvent::CommitFailed(error) => self.commit_failed(&error),
            LogEvent::Restored { table, partition, shard } => {
                self.tables.restored(table, partition, shard);
                self.refresh_ready();
            }
            LogEvent::RestoreProgress { table, partition, done, total } => {
                self.tables.progress(table, partition, done, total);
            }
            LogEvent::Offsets(found) => found.into_iter().for_each(|offsets| self.found(offsets)),
            LogEvent::OffsetsFailed { partitions, error } => {
                for partition in partitions {
                    if let Some(index) = self.find_queue(&partition) {
                        self.queues[index].known = Known::Nothing;
                        self.queues[index].fail(error.to_string(), self.now);
                    }
                }
            }
        }
        self.try_commit();
        self.try_stop();
    }

    /// Tells the time, which must not go backwards; seals a unit when one is due.
    pub fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.clock.tick(self.now);
        if self.clock.touched && self.outbox.bytes() + self.tables.dirty_bytes() >= self.options.commit_bytes {
            self.clock.requested = true;
        }
        self.try_commit();
        let deadline = Duration::from_millis(self.options.drain_deadline_ms);
        if let Some(waited) = self.clock.overdue(self.now, deadline) {
            let seconds = waited.as_secs_f64();
            let count = self.in_flight;
            self.notices.push_back(format!("a commit has waited {seconds:.1} s for {count} unfinished events"));
        }
        self.try_stop();
        if self.queues.iter().any(|queue| queue.retry_at.is_some_and(|at| at <= self.now)) {
            self.replan = true;
        }
    }

    /// What the driver has to do next; `None` when nothing.
    pub fn poll_command(&mut self) -> Option<LogCommand> {
        if self.commands.is_empty() {
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
            || (self.clock.requested && self.clock.unit.is_none() && self.clock.draining_since().is_none())
            || self.can_leave_drain()
    }

    /// Whether the last event a unit waited for is finished.
    fn can_leave_drain(&self) -> bool {
        let stopping = matches!(self.phase, Phase::Stopping { .. });
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
            Phase::Stopping { deadline } => Some(deadline),
            _ => None,
        };
        let retries = self.queues.iter().filter_map(|queue| queue.retry_at);
        retries.chain(due).chain(stop).min()
    }

    /// Commits as soon as possible, not only when the interval is over.
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

    fn find_queue(&self, partition: &TopicPartition) -> Option<usize> {
        let topic = self.topics.find(&partition.topic)?;
        let first = (*self.first_queue.get(topic.index())?)?;
        let index = first + partition.partition as usize;
        self.queues.get(index).filter(|queue| queue.name == *partition).map(|_| index)
    }

    fn fetched(&mut self, fetch: u64, partition: &TopicPartition, batches: Vec<Batch>, range: OffsetRange) {
        let Some(index) = self.find_queue(partition) else { return };
        let queue = &mut self.queues[index];
        if queue.outstanding != Some(fetch) {
            return;
        }
        queue.outstanding = None;
        let end = queue.range.map_or(range.end, |known| known.end.max(range.end));
        queue.range = Some(OffsetRange { start: range.start, end });
        queue.succeed();
        queue.at_end = !queue.push(batches);
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

    /// Takes over a position from the log, within what the partition still holds.
    fn found(&mut self, offsets: PartitionOffsets) {
        let Some(index) = self.find_queue(&offsets.partition) else { return };
        let queue = &mut self.queues[index];
        if queue.known != Known::Asked {
            return;
        }
        let range = offsets.range;
        let first_time = queue.range.is_none();
        let wanted = match (first_time, offsets.committed, self.options.start) {
            (false, ..) => queue.fetch_offset,
            (true, Some(committed), _) => committed,
            (true, None, StartFrom::Earliest) => range.start,
            (true, None, StartFrom::Latest) => range.end,
        };
        let position = wanted.clamp(range.start, range.end);
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
        let now = self.now;
        let mut lookups = Vec::new();
        for queue in &mut self.queues {
            let wanted = queue.known == Known::Nothing && !queue.readers.is_empty();
            if wanted && queue.retry_at.is_none_or(|at| at <= now) {
                queue.known = Known::Asked;
                queue.retry_at = None;
                lookups.push(queue.name.clone());
            }
        }
        if !lookups.is_empty() {
            self.commands.push_back(LogCommand::LookupOffsets { partitions: lookups });
        }
        // Committed positions first, then the changelogs' ends: so a restored table covers its positions.
        if self.queues.iter().all(|queue| queue.range.is_some() || queue.readers.is_empty()) {
            for (table, partition) in self.tables.take_missing() {
                self.commands.push_back(LogCommand::Restore { table, partition });
            }
        }
        self.plan_fetches();
    }

    fn plan_fetches(&mut self) {
        let readers = self.queues.iter().filter(|queue| !queue.readers.is_empty()).count();
        let budget = self.options.queue_bytes / readers.max(1);
        let max_bytes = self.options.fetch_max_bytes.min(budget / 2).max(1);
        for index in 0..self.queues.len() {
            self.trim(index);
            let queue = &self.queues[index];
            let wanted = queue.known == Known::Position
                && queue.outstanding.is_none()
                && !queue.readers.is_empty()
                && queue.retry_at.is_none_or(|at| at <= self.now);
            if !wanted || (queue.bytes() > 0 && queue.bytes() + max_bytes > budget) {
                continue;
            }
            let queue = &mut self.queues[index];
            let fetch = self.next_fetch;
            self.next_fetch += 1;
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
