//! The policy over thousands of random histories.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Claim, Claimant, Numbers, Owned, Plan, plan};

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn member(name: &str, topics: &[(Arc<str>, u32)]) -> Claimant {
    let topics = topics.iter().map(|(topic, _)| topic.clone()).collect();
    Claimant { member: name.into(), topics, claim: Claim { generation: -1, ..Claim::default() } }
}

fn owning(name: &str, generation: i32, numbers: impl IntoIterator<Item = u32>) -> Claimant {
    let topics = [(Arc::from("t"), 1)];
    let mut claimant = member(name, &topics);
    claimant.claim.generation = generation;
    claimant.claim.owned.insert("t".into(), numbers.into_iter().collect());
    claimant
}

fn owned_numbers(owned: &Owned) -> Numbers {
    owned.values().flatten().copied().collect()
}

fn overlap(left: &Owned, right: &Owned) -> bool {
    left.iter().any(|(topic, numbers)| right.get(topic).is_some_and(|other| !numbers.is_disjoint(other)))
}

#[test]
fn nothing_is_given_before_it_is_let_go() {
    let topics = [(Arc::from("t"), 4)];
    let plans = plan(&[owning("a", 1, 0..4), owning("b", -1, [])], &topics);
    assert_eq!((plans[0].active["t"].len(), plans[1].active.len()), (2, 0));
    // The two that are to come, and two as standby.
    assert_eq!(plans[1].standby.len(), 4);
    let kept: Vec<u32> = plans[0].active["t"].iter().copied().collect();
    let plans = plan(&[owning("a", 2, kept), owning("b", 2, [])], &topics);
    assert_eq!((plans[0].active["t"].len(), plans[1].active["t"].len()), (2, 2));
}

#[test]
fn a_claim_of_an_older_generation_does_not_count() {
    let plans = plan(&[owning("a", 3, [0, 1]), owning("b", 5, [0, 1])], &[(Arc::from("t"), 2)]);
    assert!(plans[0].active.is_empty(), "{plans:?}");
    assert_eq!(plans[1].active["t"].len(), 1);
}

#[test]
fn a_topic_that_one_member_reads_goes_to_that_one() {
    let topics: [(Arc<str>, u32); 2] = [("new".into(), 4), ("t".into(), 4)];
    let mut first = owning("a", 1, 0..2);
    first.topics.insert("new".into());
    let plans = plan(&[first, owning("b", 1, 2..4)], &topics);
    assert_eq!(plans[0].active["new"].len(), 4);
    assert_eq!((plans[0].active["t"].len(), plans[1].active["t"].len()), (2, 2));
    assert!(!plans[1].active.contains_key("new"));
}

/// Lets every member do what it was told until nobody has to let anything go; gives the number of rounds.
fn settle(members: &mut [Claimant], topics: &[(Arc<str>, u32)], generation: &mut i32, seed: u64) -> Vec<Plan> {
    for round in 0.. {
        assert!(round < 4, "seed {seed} does not settle");
        *generation += 1;
        let plans = plan(members, topics);
        for (index, plan) in plans.iter().enumerate() {
            for (other, claimant) in members.iter().enumerate() {
                // Members act on a plan in any order, so it may give nothing away that is still owned.
                assert!(index == other || !overlap(&plan.active, &claimant.claim.owned), "seed {seed}");
            }
        }
        let mut again = false;
        for (member, plan) in members.iter_mut().zip(&plans) {
            let (had, has) = (owned_numbers(&member.claim.owned), owned_numbers(&plan.active));
            let lost: Numbers = had.difference(&has).copied().collect();
            again |= !lost.is_empty();
            member.claim.warm = plan.standby.union(&lost).copied().collect();
            member.claim.owned = plan.active.clone();
            member.claim.generation = *generation;
        }
        if !again {
            return plans;
        }
    }
    Vec::new()
}

/// Members come, go, and come back with nothing; gives what went.
fn change(
    members: &mut Vec<Claimant>,
    topics: &[(Arc<str>, u32)],
    random: &mut Random,
    step: usize,
) -> Option<Claimant> {
    match random.below(3) {
        0 if members.len() > 1 => Some(members.swap_remove(random.below(members.len()))),
        1 => {
            let place = random.below(members.len());
            members[place].claim.owned.clear();
            members[place].claim.generation = -1;
            None
        }
        _ => {
            members.push(member(&format!("m{}-{step}", random.below(99)), topics));
            None
        }
    }
}

fn check_shares(members: &[Claimant], topics: &[(Arc<str>, u32)], plans: &[Plan], seed: u64) {
    for (topic, count) in topics {
        let sizes: Vec<usize> =
            members.iter().map(|member| member.claim.owned.get(topic).map_or(0, BTreeSet::len)).collect();
        assert_eq!(sizes.iter().sum::<usize>(), *count as usize, "seed {seed}");
        let (most, least) = (sizes.iter().max().unwrap(), sizes.iter().min().unwrap());
        assert!(most - least <= 1, "seed {seed}: {sizes:?}");
    }
    let numbers = topics.iter().map(|(_, count)| *count).max().unwrap();
    for number in 0..numbers {
        let with = |topic: &Arc<str>| {
            members.iter().position(|member| member.claim.owned.get(topic).is_some_and(|set| set.contains(&number)))
        };
        let owners: BTreeSet<_> =
            topics.iter().filter(|(_, count)| number < *count).map(|(topic, _)| with(topic)).collect();
        assert_eq!(owners.len(), 1, "seed {seed}: number {number} is torn apart");
        let keepers = plans.iter().filter(|plan| plan.standby.contains(&number)).count();
        assert_eq!(keepers, usize::from(members.len() > 1), "seed {seed}: standbys of {number}");
    }
}

fn least_moves(before: &[Claimant], numbers: u32) -> usize {
    let mut sizes: Vec<usize> = before.iter().map(|member| owned_numbers(&member.claim.owned).len()).collect();
    sizes.sort_unstable_by(|left, right| right.cmp(left));
    let (base, odd) = (numbers as usize / sizes.len(), numbers as usize % sizes.len());
    sizes.iter().enumerate().map(|(place, size)| size.saturating_sub(base + usize::from(place < odd))).sum()
}

#[test]
fn random_histories_of_topics_with_one_partition_count() {
    for seed in 1..3000u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = 1 + random.below(24) as u32;
        let topics: Vec<(Arc<str>, u32)> = ["a", "b"].iter().map(|name| (Arc::from(*name), count)).collect();
        let mut members = vec![member("m0", &topics)];
        let mut generation = 0;
        for step in 0..12 {
            let gone = change(&mut members, &topics, &mut random, step);
            let before = members.clone();
            let plans = settle(&mut members, &topics, &mut generation, seed);
            check_shares(&members, &topics, &plans, seed);
            // Who had it warm takes over, all of it.
            for number in gone.iter().flat_map(|gone| owned_numbers(&gone.claim.owned)) {
                let promoted = members.iter().zip(&before).any(|(now, before)| {
                    owned_numbers(&now.claim.owned).contains(&number) && before.claim.warm.contains(&number)
                });
                assert!(promoted, "seed {seed}: number {number} went to a member that does not know it");
            }
            let moved: usize = before
                .iter()
                .zip(&members)
                .map(|(before, now)| {
                    owned_numbers(&before.claim.owned).difference(&owned_numbers(&now.claim.owned)).count()
                })
                .sum();
            assert_eq!(moved, least_moves(&before, count), "seed {seed}");
        }
    }
}

#[test]
fn random_histories_of_topics_with_different_partition_counts() {
    for seed in 1..2000u64 {
        let mut random = Random(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let topics: Vec<(Arc<str>, u32)> = (0..1 + random.below(4))
            .map(|index| (Arc::from(format!("t{index}")), 1 + random.below(16) as u32))
            .collect();
        let mut members = vec![member("m0", &topics)];
        let mut generation = 0;
        for step in 0..12 {
            change(&mut members, &topics, &mut random, step);
            let plans = settle(&mut members, &topics, &mut generation, seed);
            check_shares(&members, &topics, &plans, seed);
        }
    }
}

/// Topics are subscribed to one member after the other, as a rolling change does; all end with the same.
#[test]
fn a_rolling_change_of_topics_settles() {
    for seed in 1..500u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let count = 1 + random.below(12) as u32;
        let old: Vec<(Arc<str>, u32)> = vec![("a".into(), count)];
        let all: Vec<(Arc<str>, u32)> = vec![("a".into(), count), ("b".into(), count)];
        let mut members: Vec<Claimant> =
            (0..2 + random.below(4)).map(|index| member(&format!("m{index}"), &old)).collect();
        let mut generation = 0;
        settle(&mut members, &old, &mut generation, seed);
        for place in 0..members.len() {
            members[place].topics.insert("b".into());
            settle(&mut members, &all, &mut generation, seed);
        }
        let plans = settle(&mut members, &all, &mut generation, seed);
        check_shares(&members, &all, &plans, seed);
    }
}
