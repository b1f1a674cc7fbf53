//! Which partitions are ours: taking them up, finishing and giving them back, losing them.
//!
//! Partition number `p` of all topics moves together, with shard `p` of every table. One that others are to get goes
//! through `Finishing` (no new events; those in flight finish or their deadline passes) and `Sealed` (the unit with its
//! last position is on its way) to its release; all others go on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use beltline_types::TopicPartition;

use crate::lane::Lane;
use crate::queue::Known;
use crate::{Core, LogCommand};

/// How far a partition of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Ours.
    Assigned,
    /// Others are to get it.
    Finishing { since: Duration },
    /// As `Finishing`; everything about it is in the unit on its way.
    Sealed { since: Duration },
}

/// Whether the group knows what we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Join {
    /// No member.
    #[default]
    Never,
    /// Asked; no answer yet.
    Asked,
    /// Answered.
    Answered,
}

/// What the group has given us.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) held: BTreeMap<TopicPartition, Hold>,
    /// How often the group said that something was lost.
    pub(crate) losses: u64,
    /// Grows with every assignment.
    pub(crate) generation: u64,
    /// Grows with every change of what is ours.
    version: u64,
    /// The last generation in which nothing was ours, or nothing any more; what is ours is younger.
    renewed: u64,
    /// Topics of the last join.
    topics: Vec<Arc<str>>,
    join: Join,
    /// Subscriptions or tables came or went since the last join.
    pub(crate) topics_changed: bool,
    /// Numbers others may need soon, and those of them the driver was told to keep warm.
    standby: Vec<u32>,
    standby_told: Vec<u32>,
    /// The open unit holds effects of a partition that is gone; it is dropped when the unit in flight is answered.
    pub(crate) rollback_due: bool,
    /// Something changed that may call for a restore.
    pub(crate) restores_open: bool,
    /// Some partition is not `Assigned`.
    pub(crate) leaving: bool,
}

impl Group {
    pub(crate) fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.contains_key(partition)
    }

    /// Whether partition `number` of any topic is ours. Before the group has answered everything may be.
    pub(crate) fn holds_number(&self, number: u32) -> bool {
        (self.join != Join::Answered && self.held.is_empty()) || self.held.keys().any(|name| name.partition == number)
    }

    /// Since when others wait for a partition.
    pub(crate) fn leaving_since(&self, partition: &TopicPartition) -> Option<Duration> {
        match self.held.get(partition)? {
            Hold::Assigned => None,
            Hold::Finishing { since } | Hold::Sealed { since } => Some(*since),
        }
    }

    /// The open unit and the one in flight are gone: what was sealed is not committed.
    pub(crate) fn rolled_back(&mut self) {
        self.rollback_due = false;
        for hold in self.held.values_mut() {
            if let Hold::Sealed { since } = *hold {
                *hold = Hold::Finishing { since };
            }
        }
    }

    pub(crate) fn with(&self, wanted: impl Fn(&Hold) -> bool) -> Vec<TopicPartition> {
        self.held.iter().filter(|(_, hold)| wanted(hold)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn finishing(&self) -> impl Iterator<Item = (&TopicPartition, Duration)> {
        self.held.iter().filter_map(|(name, hold)| match hold {
            Hold::Finishing { since } => Some((name, *since)),
            _ => None,
        })
    }

    pub(crate) fn finishing_of(&self, numbers: &BTreeSet<u32>) -> Vec<TopicPartition> {
        self.finishing().map(|(name, _)| name).filter(|name| numbers.contains(&name.partition)).cloned().collect()
    }

    /// Notes when nothing is ours, so that whatever will be is known to be younger.
    pub(crate) fn note_if_empty(&mut self) {
        if self.held.is_empty() {
            self.renewed = self.generation;
        }
    }

    pub(crate) fn refresh_leaving(&mut self) {
        self.leaving = self.held.values().any(|hold| *hold != Hold::Assigned);
    }
}

impl Core {
    /// Whether the group has said what is ours of everything that is to be read.
    pub(crate) fn is_settled(&self) -> bool {
        !self.group.topics_changed && self.group.join != Join::Asked
    }

    /// A number that is another one whenever something else is ours.
    pub fn assignment_version(&self) -> u64 {
        self.group.version
    }

    /// Whether the group has yet to say what is ours.
    pub fn is_joining(&self) -> bool {
        !self.is_settled()
    }

    /// The partitions that are ours, in order.
    pub fn assigned(&self) -> impl Iterator<Item = &TopicPartition> {
        self.group.held.keys()
    }

    /// Topics somebody reads, and changelogs of tables that have more shards than these topics have partitions: so every
    /// shard belongs to a partition that somebody is given.
    fn wanted_topics(&self) -> Vec<Arc<str>> {
        let read = self.queues.iter().filter(|queue| !queue.readers.is_empty());
        let mut wanted: BTreeSet<Arc<str>> = read.map(|queue| queue.name.topic.clone()).collect();
        let covered = self.queues.iter().filter(|queue| !queue.readers.is_empty());
        let covered = covered.map(|queue| queue.name.partition + 1).max().unwrap_or(0);
        let uncovered = self.tables.specs().filter(|(_, spec)| spec.partitions > covered);
        wanted.extend(uncovered.map(|(_, spec)| spec.changelog.clone()));
        wanted.into_iter().collect()
    }

    /// Joins the group, or tells it of other topics; one join after the other, so that every answer belongs to one.
    pub(crate) fn plan_join(&mut self) {
        if !self.group.topics_changed || self.group.join == Join::Asked {
            return;
        }
        self.group.topics_changed = false;
        let wanted = self.wanted_topics();
        if wanted == self.group.topics && (self.group.join == Join::Answered || wanted.is_empty()) {
            return;
        }
        // Nothing to read is nothing to be answered.
        self.group.join = if wanted.is_empty() { Join::Answered } else { Join::Asked };
        self.group.topics.clone_from(&wanted);
        self.commands.push_back(LogCommand::Join { topics: wanted });
    }

    /// Tells the driver which shards to keep warm: never those that are ours.
    pub(crate) fn plan_standby(&mut self) {
        let group = &self.group;
        let ours = |number: &u32| group.held.keys().any(|name| name.partition == *number);
        let wanted: Vec<u32> = group.standby.iter().copied().filter(|number| !ours(number)).collect();
        if wanted != self.group.standby_told {
            self.group.standby_told.clone_from(&wanted);
            self.commands.push_back(LogCommand::Standby { partitions: wanted });
        }
    }

    pub(crate) fn stand_by(&mut self, mut numbers: Vec<u32>) {
        numbers.sort_unstable();
        numbers.dedup();
        self.group.standby = numbers;
    }

    pub(crate) fn assigned_now(&mut self, partitions: Vec<TopicPartition>) {
        // A partition that is given twice was lost in between, whether or not anybody said so.
        let again: Vec<TopicPartition> =
            partitions.iter().filter(|name| self.group.leaving_since(name).is_some()).cloned().collect();
        self.lost(&again);
        self.grow_to(&partitions);
        self.group.join = Join::Answered;
        self.group.generation += 1;
        self.group.version += 1;
        for name in partitions {
            if let Some(index) = self.find_queue(&name) {
                self.queues[index].held = true;
                self.queues[index].seen_at = self.now;
            }
            self.group.held.insert(name, Hold::Assigned);
        }
        self.refresh_ready();
    }

    /// Nothing of these may be committed. Under exactly-once the open unit is dropped as a whole if it holds effects of
    /// their events, which cannot be told from those of others; the rest begins again after the last unit.
    pub(crate) fn lost(&mut self, partitions: &[TopicPartition]) {
        let mut tainted = false;
        let mut gone = Vec::new();
        for name in partitions.iter().filter(|name| self.group.holds(name)) {
            tainted |= self.find_queue(name).is_some_and(|index| self.is_in_open_unit(index));
            gone.push(name.clone());
        }
        if gone.is_empty() {
            return;
        }
        self.counters.lost += gone.len() as u64;
        self.notices.push_back(format!("lost to the group, without a hand-over: {}", in_words(&gone)));
        // Changes that a timer made may be among what is lost.
        tainted |= !self.changed_outside.is_empty();
        self.give_up(&gone);
        if tainted && self.must_drain() {
            self.roll_back_open_unit();
        }
    }

    /// Whether events of a partition were handed out since the last unit was sealed.
    fn is_in_open_unit(&self, index: usize) -> bool {
        let queue = &self.queues[index];
        queue.readers.iter().any(|reader| {
            let lane = self.lane_of(*reader);
            lane.unfinished() > 0 || lane.next_offset() != queue.sealed
        })
    }

    /// Back to the last unit, once it is known whether the one in flight happened.
    pub(crate) fn roll_back_open_unit(&mut self) {
        if self.clock.unit.is_none() {
            self.roll_back();
        } else {
            self.group.rollback_due = true;
            // What is in flight began after the unit on its way was sealed.
            self.take_back();
        }
        self.refresh_gate();
    }

    /// Another member has taken our place: nothing is ours any more, and we join as somebody new. What the group has
    /// given us since the refused unit was sealed, after everything else was lost, belongs to a new membership already.
    pub(crate) fn fenced(&mut self, sealed_in: u64) {
        self.counters.fenced += 1;
        if self.group.renewed >= sealed_in && self.group.generation > sealed_in {
            return;
        }
        let all: Vec<TopicPartition> = self.group.held.keys().cloned().collect();
        self.notices.push_back(format!(
            "another member has taken the place of this one; everything is dropped and the group joined again: {}",
            in_words(&all)
        ));
        self.give_up(&all);
        self.group.join = Join::Never;
        self.group.topics_changed = true;
        self.replan = true;
    }

    /// Whatever is ours stays ours and is read from the log as if it had just been given to us.
    pub(crate) fn look_up_everything(&mut self) {
        // Others get these; nothing is under way in them.
        self.let_go(self.group.with(|hold| *hold != Hold::Assigned));
        let all = self.group.with(|hold| *hold == Hold::Assigned);
        let join = self.group.join;
        self.give_up(&all);
        self.assigned_now(all);
        self.group.join = join;
    }

    /// Forgets partitions: cursors, queues, and the shards of numbers that no partition of ours has any more.
    pub(crate) fn give_up(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            self.group.held.remove(name);
            self.group.version += 1;
            let Some(index) = self.find_queue(name) else { continue };
            if let Some(fetch) = self.queues[index].outstanding.take() {
                self.commands.push_back(LogCommand::CancelFetch { fetch, partition: name.clone() });
            }
            self.queues[index].forget();
            self.cut(index, |_| 0);
        }
        let numbers: BTreeSet<u32> = partitions.iter().map(|name| name.partition).collect();
        let ours = |number: &u32| self.group.held.keys().any(|name| name.partition == *number);
        let gone: Vec<u32> = numbers.into_iter().filter(|number| !ours(number)).collect();
        if !gone.is_empty() {
            gone.iter().for_each(|number| self.tables.drop_shards(*number));
            self.commands.push_back(LogCommand::DropShards { partitions: gone });
        }
        self.group.note_if_empty();
        self.group.refresh_leaving();
        self.refresh_ready();
        self.replan = true;
    }

    /// Takes the events in flight of a partition back from their handlers, whose tickets are stale from now on; each
    /// reader goes to the offset `to` names.
    pub(crate) fn cut(&mut self, index: usize, to: impl Fn(&Lane) -> i64) {
        self.epoch = self.epoch.wrapping_add(1);
        for (subscription, lane) in self.queues[index].readers.clone() {
            let subscription = &mut self.subscriptions[subscription];
            let lane = &mut subscription.lanes[lane];
            self.in_flight -= lane.unfinished();
            subscription.returned -= lane.returned();
            lane.valid_from = self.epoch;
            let offset = to(lane);
            lane.seek(&self.queues[index], offset);
        }
    }

    /// Which lanes may hand out events.
    pub(crate) fn refresh_ready(&mut self) {
        let aligns = self.must_drain();
        for lane in self.subscriptions.iter_mut().flat_map(|subscription| &mut subscription.lanes) {
            let queue = &self.queues[lane.queue];
            let complete = queue.held && !lane.is_closed && self.tables.waiting_for(lane.partition).is_none();
            lane.ready = complete && !queue.leaving;
            lane.leaving = complete && queue.leaving && aligns;
        }
    }

    /// Look-ups come first, then the changelogs' ends: so a restored table covers its positions. Those of subscriptions
    /// the group has not answered yet are waited for as well: when tables are complete, positions are known.
    pub(crate) fn plan_restores(&mut self) {
        if !self.is_settled() || !std::mem::replace(&mut self.group.restores_open, false) {
            return;
        }
        let held: BTreeSet<u32> = self.group.held.keys().map(|name| name.partition).collect();
        let ready: BTreeSet<u32> = held.into_iter().filter(|number| self.may_restore(*number)).collect();
        let missing = self.tables.take_missing(self.now, &mut self.next_number, |number| ready.contains(&number));
        for (restore, table, partition) in missing {
            self.commands.push_back(LogCommand::Restore { restore, table, partition });
        }
    }

    /// Whether the positions of a number's partitions are known, so that its shards may be restored, and no unit that
    /// was sealed for an earlier assignment may still change them.
    fn may_restore(&self, number: u32) -> bool {
        let assigned = self.group.held.iter().any(|(name, hold)| name.partition == number && *hold == Hold::Assigned);
        let mut queues = self.queues.iter().filter(|queue| queue.held && queue.name.partition == number);
        assigned && !self.is_in_unit(number) && queues.all(|queue| queue.range.is_some() || queue.readers.is_empty())
    }

    fn is_in_unit(&self, number: u32) -> bool {
        self.clock.unit.as_ref().is_some_and(|unit| unit.numbers.contains(&number))
    }

    /// Whether a partition's position may be looked up: a unit in flight that was sealed when it was ours before may still
    /// move it.
    pub(crate) fn may_look_up(&self, index: usize) -> bool {
        let queue = &self.queues[index];
        let wanted = queue.known == Known::Nothing && queue.is_active() && !queue.readers.is_empty();
        wanted
            && queue.retry_at.is_none_or(|at| at <= self.now)
            && (queue.range.is_some() || !self.is_in_unit(queue.name.partition))
    }
}

/// The first few by name, and how many more.
pub(crate) fn in_words(partitions: &[TopicPartition]) -> String {
    let named: Vec<String> = partitions.iter().take(8).map(ToString::to_string).collect();
    let more = partitions.len().saturating_sub(named.len());
    let names = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
    if more == 0 { names } else { format!("{names} and {more} more") }
}
