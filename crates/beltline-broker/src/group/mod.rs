//! The group coordinator: a state machine without clock, threads or log.
//!
//! Members join, the leader hands assignments out, silence past the session timeout ends a membership: the classic protocol
//! as Kafka's own coordinator speaks it. Calls give [`Reply`]s, also for requests that came earlier and had to wait.
//!
//! - `member`: one member
//! - `joining`: how a member comes in
//! - `rebalance`: a group's states and how a generation comes to be
//! - `coordinator`: all groups, and what they are asked besides

mod coordinator;
mod joining;
mod member;
mod rebalance;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use coordinator::{Coordinator, DescribedMember, Description, GroupLimits};

/// Names a request that waits for its answer.
pub(crate) type Ticket = u64;

/// Why a member's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    InvalidGroupId,
    InvalidSessionTimeout,
    UnknownMember,
    /// Come again with the member id that is in the answer.
    MemberIdRequired,
    FencedInstance,
    IllegalGeneration,
    InconsistentProtocol,
    RebalanceInProgress,
    GroupFull,
    NonEmptyGroup,
    GroupNotFound,
    SubscribedToTopic,
}

/// A wish to be a member.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    pub(crate) group: Arc<str>,
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) protocols: Vec<(Arc<str>, Bytes)>,
    /// Whether a newcomer is first given an id and must come again with it.
    pub(crate) requires_known_member: bool,
    /// Whether a leader can be told that the assignment stands.
    pub(crate) can_skip_assignment: bool,
    /// Whether a new group waits for more members than this one.
    pub(crate) gathers: bool,
    /// The id a newcomer gets.
    pub(crate) fresh_member_id: Arc<str>,
}

/// What a member's request carries to prove that it is one.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) group: Arc<str>,
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) generation: i32,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) error: Option<Denied>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Arc<str>,
    pub(crate) member_id: Arc<str>,
    pub(crate) skip_assignment: bool,
    /// Id, instance and metadata of all members, for the leader.
    pub(crate) members: Vec<(Arc<str>, Option<Arc<str>>, Bytes)>,
}

/// The answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) error: Option<Denied>,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) assignment: Bytes,
}

/// An answer to a request, which may have come long ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Join(Joined),
    Sync(Synced),
}

/// Answers that are ready.
pub(crate) type Replies = Vec<(Ticket, Answer)>;

impl Joined {
    pub(crate) fn denied(error: Denied, member_id: &Arc<str>) -> Joined {
        Joined {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: Arc::from(""),
            member_id: member_id.clone(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

impl Synced {
    pub(crate) fn denied(error: Denied) -> Synced {
        Synced { error: Some(error), protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}
