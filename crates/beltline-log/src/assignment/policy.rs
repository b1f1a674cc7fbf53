//! The decision, a pure function of what the members claim.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::quotas::{Standing, segments, shares};
use super::standbys::standbys;
use super::{Claimant, Numbers, Plan};

/// One plan per member, in their order, for these topics with their partition counts.
///
/// Members that subscribe to the same topics are planned together, so that a rolling change of the topics disturbs nobody
/// who is not concerned.
pub(crate) fn plan(members: &[Claimant], topics: &[(Arc<str>, u32)]) -> Vec<Plan> {
    let mut plans = vec![Plan::default(); members.len()];
    let mut sets: BTreeMap<Vec<usize>, Vec<(Arc<str>, u32)>> = BTreeMap::new();
    let known: BTreeSet<&(Arc<str>, u32)> = topics.iter().collect();
    for (topic, count) in known {
        let readers: Vec<usize> = (0..members.len()).filter(|member| members[*member].topics.contains(topic)).collect();
        if !readers.is_empty() && *count > 0 {
            sets.entry(readers).or_default().push((topic.clone(), *count));
        }
    }
    for (readers, topics) in &sets {
        Division::new(members, readers, topics).write(&mut plans);
    }
    for plan in &mut plans {
        // With several sets of topics a number may be active for one and standby for another; active is enough.
        let active: Numbers = plan.active.values().flatten().copied().collect();
        plan.standby.retain(|number| !active.contains(number));
    }
    plans
}

/// Topics that the same members read, divided among them.
struct Division<'a> {
    all: &'a [Claimant],
    /// Places of the readers within `all`, and the readers.
    places: &'a [usize],
    readers: Vec<&'a Claimant>,
    topics: &'a [(Arc<str>, u32)],
    /// Today's owner of each number.
    owners: Vec<Option<usize>>,
    /// Who is to have each number.
    targets: Vec<Option<usize>>,
}

impl<'a> Division<'a> {
    fn new(all: &'a [Claimant], places: &'a [usize], topics: &'a [(Arc<str>, u32)]) -> Division<'a> {
        let readers: Vec<&Claimant> = places.iter().map(|place| &all[*place]).collect();
        let numbers = topics.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let mut division = Division { all, places, readers, topics, owners: Vec::new(), targets: Vec::new() };
        division.owners = (0..numbers).map(|number| division.owner(number)).collect();
        division.targets = division.owners.clone();
        let mut below = vec![0; division.readers.len()];
        for segment in segments(topics.iter().map(|(_, count)| *count)) {
            division.divide(segment, &mut below);
        }
        division
    }

    /// Whose claim on a number counts: the latest; then that to most topics.
    fn owner(&self, number: u32) -> Option<usize> {
        let claims = |reader: &usize| {
            let owned = &self.readers[*reader].claim.owned;
            self.topics.iter().filter(|(topic, _)| owned.get(topic).is_some_and(|set| set.contains(&number))).count()
        };
        (0..self.readers.len()).filter(|reader| claims(reader) > 0).max_by_key(|reader| {
            let claimant = self.readers[*reader];
            (claimant.claim.generation, claims(reader), Reverse(&claimant.member))
        })
    }

    fn is_warm(&self, reader: usize, number: u32) -> bool {
        self.readers[reader].claim.warm.contains(&number)
    }

    /// Finds targets for the numbers of a segment; `below` counts what each reader got of the numbers below it.
    fn divide(&mut self, segment: Range<u32>, below: &mut [usize]) {
        let count = self.readers.len();
        let (mut owned, mut warm) = (vec![0; count], vec![0; count]);
        for number in segment.clone() {
            match self.targets[number as usize] {
                Some(owner) => owned[owner] += 1,
                None => (0..count).filter(|reader| self.is_warm(*reader, number)).for_each(|reader| warm[reader] += 1),
            }
        }
        let standing = Standing { members: &self.readers, below, owned: &owned, warm: &warm };
        let shares = shares(&standing, segment.end);
        let mut room: Vec<isize> =
            shares.iter().zip(&owned).map(|(share, owned)| *share as isize - *owned as isize).collect();
        self.take_excess(segment.clone(), &mut room);
        self.hand_out(segment, &mut room);
        for (below, share) in below.iter_mut().zip(&shares) {
            *below += share;
        }
    }

    /// Takes from each reader what exceeds its share, first what another with room has warm.
    fn take_excess(&mut self, segment: Range<u32>, room: &mut [isize]) {
        for reader in 0..room.len() {
            while room[reader] < 0 {
                let movable =
                    |number: &u32| (0..room.len()).any(|other| room[other] > 0 && self.is_warm(other, *number));
                let mine = segment.clone().rev().filter(|number| self.targets[*number as usize] == Some(reader));
                let Some(number) = mine.max_by_key(movable) else { break };
                self.targets[number as usize] = None;
                room[reader] += 1;
            }
        }
    }

    /// Gives numbers without a target to a reader with room: one that has it warm, else the one with most room.
    fn hand_out(&mut self, segment: Range<u32>, room: &mut [isize]) {
        for promote in [true, false] {
            for number in segment.clone() {
                if self.targets[number as usize].is_some() {
                    continue;
                }
                let best = (0..room.len())
                    .filter(|reader| room[*reader] > 0 && (!promote || self.is_warm(*reader, number)))
                    .max_by_key(|reader| (room[*reader], Reverse(&self.readers[*reader].member)));
                if let Some(best) = best {
                    self.targets[number as usize] = Some(best);
                    room[best] -= 1;
                }
            }
        }
    }

    /// Whether somebody else owns this very partition, so that it must be let go first.
    fn is_held_by_other(&self, topic: &Arc<str>, number: u32, target: usize) -> bool {
        let claims =
            |claimant: &Claimant| claimant.claim.owned.get(topic).is_some_and(|numbers| numbers.contains(&number));
        let latest = (0..self.all.len())
            .filter(|place| claims(&self.all[*place]))
            .max_by_key(|place| (self.all[*place].claim.generation, Reverse(&self.all[*place].member)));
        latest.is_some_and(|place| place != self.places[target])
    }

    fn write(&self, plans: &mut [Plan]) {
        // Shares add up to all numbers, so each has a target.
        let targets: Vec<usize> = self.targets.iter().map(|target| target.unwrap_or(0)).collect();
        for (number, target) in targets.iter().enumerate() {
            let number = number as u32;
            let plan = &mut plans[self.places[*target]];
            for (topic, _) in self.topics.iter().filter(|(_, count)| number < *count) {
                if self.is_held_by_other(topic, number, *target) {
                    // Withheld; its target may warm up meanwhile.
                    plan.standby.insert(number);
                } else {
                    plan.active.entry(topic.clone()).or_default().insert(number);
                }
            }
        }
        for (place, standbys) in self.places.iter().zip(standbys(&self.readers, &targets)) {
            plans[*place].standby.extend(standbys);
        }
    }
}
