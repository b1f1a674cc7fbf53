//! How many partition numbers each member is to have.
//!
//! Topics may differ in their partition counts. With counts 4 and 12 the numbers 0..4 exist in both topics and 4..12 in one,
//! so shares are even when they are even over 0..4 and over 0..12. The numbers fall into segments that end at the distinct
//! counts; each is filled so that the sum up to its end is even.

use std::cmp::Reverse;
use std::ops::Range;

use super::Claimant;

/// The distinct ends of topics, as ranges of numbers from one to the next.
pub(super) fn segments(counts: impl IntoIterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ends: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut start = 0;
    ends.into_iter().map(|end| std::mem::replace(&mut start, end)..end).collect()
}

/// What is known of a segment when its shares are cut.
pub(super) struct Standing<'a> {
    pub(super) members: &'a [&'a Claimant],
    /// Numbers below the segment that each member gets.
    pub(super) below: &'a [usize],
    /// Numbers of the segment that each member owns.
    pub(super) owned: &'a [usize],
    /// Numbers of the segment without an owner that each member keeps warm.
    pub(super) warm: &'a [usize],
}

/// How many of the segment's numbers each member is to have, when `end` is where it ends.
pub(super) fn shares(standing: &Standing<'_>, end: u32) -> Vec<usize> {
    let count = standing.members.len();
    let (base, odd) = (end as usize / count, end as usize % count);
    let mut order: Vec<usize> = (0..count).collect();
    // One who has `base + 1` already cannot have less. Of the others the fullest get the odd ones, so that the fewest
    // numbers move; then those who would take over the most with their tables warm.
    order.sort_by_key(|member| {
        let held = standing.below[*member] + standing.owned[*member];
        let forced = standing.below[*member] > base;
        (Reverse((forced, held, standing.warm[*member])), &standing.members[*member].member)
    });
    let mut shares = vec![0; count];
    for (place, member) in order.into_iter().enumerate() {
        shares[member] = (base + usize::from(place < odd)).saturating_sub(standing.below[member]);
    }
    shares
}
