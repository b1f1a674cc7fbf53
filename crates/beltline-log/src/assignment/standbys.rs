//! Who keeps which tables warm.

use std::cmp::Reverse;

use super::{Claimant, Numbers};

/// Gives each number a standby beside its target, where there are two members or more; `targets[p]` is the target of `p`.
///
/// Even spread is not enough: should a member go, its numbers can only be taken over by those whose share then has room.
/// So its standbys are spread as that room will be.
pub(super) fn standbys(members: &[&Claimant], targets: &[usize]) -> Vec<Numbers> {
    let count = members.len();
    let mut chosen = vec![Numbers::new(); count];
    if count < 2 {
        return chosen;
    }
    let mut sizes = vec![0usize; count];
    targets.iter().for_each(|target| sizes[*target] += 1);
    let room: Vec<Vec<usize>> = (0..count).map(|gone| room_without(members, &sizes, targets.len(), gone)).collect();
    // How many of a target's numbers each other member keeps, and how many it keeps in all.
    let (mut pairs, mut totals) = (vec![vec![0usize; count]; count], vec![0usize; count]);
    let mut open: Vec<usize> = (0..targets.len()).collect();
    for keep in [true, false] {
        open.retain(|number| {
            let target = targets[*number];
            let full = |member: usize| pairs[target][member] >= room[target][member];
            let warm = |member: usize| members[member].claim.warm.contains(&(*number as u32));
            let best = (0..count)
                .filter(|member| *member != target && (!keep || (warm(*member) && !full(*member))))
                .min_by_key(|member| {
                    (full(*member), pairs[target][*member], totals[*member], &members[*member].member)
                });
            let Some(best) = best else { return true };
            pairs[target][best] += 1;
            totals[best] += 1;
            chosen[best].insert(*number as u32);
            false
        });
    }
    chosen
}

/// How many numbers each member could take over if `gone` went.
fn room_without(members: &[&Claimant], sizes: &[usize], numbers: usize, gone: usize) -> Vec<usize> {
    let mut others: Vec<usize> = (0..members.len()).filter(|member| *member != gone).collect();
    others.sort_by_key(|member| (Reverse(sizes[*member]), &members[*member].member));
    let (base, odd) = (numbers / others.len(), numbers % others.len());
    let mut room = vec![0; members.len()];
    for (place, member) in others.into_iter().enumerate() {
        room[member] = (base + usize::from(place < odd)).saturating_sub(sizes[member]);
    }
    room
}
