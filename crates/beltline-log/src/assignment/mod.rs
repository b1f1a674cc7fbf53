//! Who reads what: a policy of our own inside Kafka's classic group protocol.
//!
//! - `assignor`: what a member tells its group, and what it decides as the leader
//! - `policy`: the decision, a pure function that the group's leader runs
//! - `quotas`: how many numbers each member is to have
//! - `standbys`: who keeps which tables warm
//! - `user_data`: what members and leader tell each other, versioned
//!
//! Properties: partition `p` of all topics goes to one member; the spread is at most one; owners lose only what exceeds
//! their share; a partition goes first to a member that keeps its tables warm; and none is given away before its owner has
//! let it go (KIP-429).

mod assignor;
mod policy;
#[cfg(test)]
mod policy_tests;
mod quotas;
mod standbys;
mod user_data;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use assignor::{Assignment, GroupAssignor, MemberView, PROTOCOL};
pub(crate) use policy::plan;
pub(crate) use user_data::Claim;

/// Partition numbers.
pub type Numbers = BTreeSet<u32>;

/// Partitions by topic.
pub(crate) type Owned = BTreeMap<Arc<str>, Numbers>;

/// A member as it asks to be considered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claimant {
    /// Its name in the group; decides ties.
    pub(crate) member: String,
    /// The topics it subscribes to.
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// What it owns and keeps warm.
    pub(crate) claim: Claim,
}

/// What a member is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Partitions it reads.
    pub(crate) active: Owned,
    /// Partition numbers whose tables it keeps warm.
    pub(crate) standby: Numbers,
}
