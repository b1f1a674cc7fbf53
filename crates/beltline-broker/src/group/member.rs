//! One member of a group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{JoinRequest, Ticket};

pub(super) struct Member {
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<(Arc<str>, Bytes)>,
    pub(super) assignment: Bytes,
    /// The join it waits for, and the sync.
    pub(super) joining: Option<Ticket>,
    pub(super) syncing: Option<Ticket>,
    /// When it is given up, unless it is heard of.
    pub(super) session_ends: Duration,
}

impl Member {
    pub(super) fn new(request: &JoinRequest, now: Duration) -> Member {
        let mut member = Member {
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            session_ends: now,
        };
        member.update(request);
        member.heard(now);
        member
    }

    /// Takes over what a join says anew.
    pub(super) fn update(&mut self, request: &JoinRequest) {
        self.session_timeout = request.session_timeout;
        self.rebalance_timeout = request.rebalance_timeout;
        self.protocols = request.protocols.clone();
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.session_ends = now + self.session_timeout;
    }

    /// A member whose request waits here is alive as long as its connection is: its silence is ours.
    pub(super) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| **name == *protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}
