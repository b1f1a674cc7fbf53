//! Giving a partition to others: finish, commit, release.

use std::collections::BTreeSet;
use std::time::Duration;

use beltline_types::TopicPartition;

use crate::core::Phase;
use crate::group::{Hold, in_words};
use crate::lane::Lane;
use crate::{Core, LogCommand};

impl Core {
    pub(crate) fn revoking(&mut self, partitions: Vec<TopicPartition>) {
        for name in partitions {
            match self.group.held.get_mut(&name) {
                Some(hold) if *hold == Hold::Assigned => *hold = Hold::Finishing { since: self.now },
                Some(_) => continue,
                // Its topic was gone before the group heard that we do not want it any more.
                None => {
                    self.commands.push_back(LogCommand::Release { partitions: vec![name] });
                    continue;
                }
            }
            self.group.leaving = true;
            let Some(index) = self.find_queue(&name) else { continue };
            let readers = self.queues[index].readers.iter();
            let target = readers.map(|reader| self.lane_of(*reader).next_offset()).max().unwrap_or(0);
            let queue = &mut self.queues[index];
            queue.leaving = true;
            queue.drain_target = target;
            if let Some(fetch) = queue.outstanding.take() {
                self.commands.push_back(LogCommand::CancelFetch { fetch, partition: name });
            }
        }
        self.refresh_ready();
    }

    /// Releases what is finished and committed; asks for a commit where one is missing.
    pub(crate) fn try_release(&mut self) {
        if !self.group.leaving || self.phase != Phase::Running {
            return;
        }
        self.give_back_overdue();
        let finished = self.finished_numbers();
        if finished.is_empty() {
            return;
        }
        if self.clock.unit.is_none() {
            let unchanged = !self.has_changes();
            let (clean, open): (BTreeSet<u32>, BTreeSet<u32>) =
                finished.into_iter().partition(|number| unchanged || self.is_clean(*number));
            self.let_go(self.group.finishing_of(&clean));
            if open.is_empty() {
                return;
            }
        }
        // Their outputs, changes and positions go with the next unit, which need not wait for the interval.
        self.clock.requested = true;
    }

    /// Numbers whose partitions are all finished: they go together, because a shard belongs to all of them.
    fn finished_numbers(&self) -> BTreeSet<u32> {
        let (mut finished, mut unfinished) = (BTreeSet::new(), BTreeSet::new());
        for (name, _) in self.group.finishing() {
            if self.is_finished(name) { &mut finished } else { &mut unfinished }.insert(name.partition);
        }
        &finished - &unfinished
    }

    /// Whether a turn would move a hand-over on.
    #[cold]
    fn has_finished(&self) -> bool {
        let waits = self.clock.unit.is_none() && !self.clock.requested && self.clock.draining_since().is_none();
        waits && !self.finished_numbers().is_empty()
    }

    /// See [`Core::wants_turn`].
    #[inline]
    pub(crate) fn can_release(&self) -> bool {
        self.group.leaving && self.has_finished()
    }

    /// When a hand-over will not wait any longer.
    pub(crate) fn hand_over_deadline(&self) -> Option<Duration> {
        if !self.group.leaving || self.group.rollback_due {
            return None;
        }
        let patience = Duration::from_millis(self.options.hand_over_deadline_ms);
        let waiting = self.group.finishing().filter(|(name, _)| self.holds_back(name));
        waiting.map(|(_, since)| since + patience).min()
    }

    /// Whether events keep a partition from being committed: its own, or under exactly-once those of any other.
    fn holds_back(&self, name: &TopicPartition) -> bool {
        self.must_drain() || !self.is_finished(name)
    }

    /// Nothing is in flight, and under exactly-once all readers stand at the same place.
    fn is_finished(&self, name: &TopicPartition) -> bool {
        let Some(index) = self.find_queue(name) else { return true };
        let mut lanes = self.queues[index].readers.iter().map(|reader| self.lane_of(*reader));
        let first = lanes.clone().next().map(Lane::next_offset);
        !self.group.rollback_due
            && lanes.all(|lane| lane.unfinished() == 0 && (!self.must_drain() || Some(lane.next_offset()) == first))
    }

    /// Everything that is known of the partitions of a number is durable.
    fn is_clean(&self, number: u32) -> bool {
        let mut queues =
            self.queues.iter().enumerate().filter(|(_, queue)| queue.held && queue.name.partition == number);
        !self.tables.is_dirty_in(number)
            && queues.all(|(index, queue)| queue.range.is_none() || self.position(index) == queue.committed)
    }

    /// The hand-over deadline has passed: unfinished events are repeated by whoever gets the partition.
    fn give_back_overdue(&mut self) {
        let patience = Duration::from_millis(self.options.hand_over_deadline_ms);
        let overdue: Vec<TopicPartition> = self
            .group
            .finishing()
            .filter(|(name, since)| self.now >= *since + patience && self.holds_back(name))
            .map(|(name, _)| name.clone())
            .collect();
        if overdue.is_empty() || self.group.rollback_due {
            return;
        }
        self.notices.push_back(format!(
            "others wait for these partitions, and they could not be committed within {:.1} s, because events are not \
             finished; these will be repeated: {}",
            patience.as_secs_f64(),
            in_words(&overdue)
        ));
        if self.must_drain() {
            self.roll_back_open_unit();
            return;
        }
        for name in overdue {
            if let Some(index) = self.find_queue(&name) {
                self.cut(index, Lane::position);
            }
        }
    }

    /// A unit was sealed: it holds everything of the partitions that were finished.
    pub(crate) fn mark_sealed(&mut self) {
        if !self.group.leaving {
            return;
        }
        let finished = self.finished_numbers();
        for (name, hold) in &mut self.group.held {
            if let Hold::Finishing { since } = *hold
                && finished.contains(&name.partition)
            {
                *hold = Hold::Sealed { since };
            }
        }
    }

    /// The unit is durable: what was sealed with it may go.
    pub(crate) fn release_sealed(&mut self) {
        let sealed = self.group.with(|hold| matches!(hold, Hold::Sealed { .. }));
        self.let_go(sealed);
    }

    pub(crate) fn let_go(&mut self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        self.give_up(&partitions);
        self.commands.push_back(LogCommand::Release { partitions });
    }
}
