//! What a core can be told, with defaults that fit a laptop.

use std::sync::Arc;
use std::time::Duration;

/// What a crash may do to the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Guarantee {
    /// Every event is processed; after a crash some are processed again, and count again.
    #[default]
    AtLeastOnce,
    /// Outputs, tables and positions move together: every event counts once.
    ExactlyOnce,
}

/// Where a group without a committed position begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// At the oldest record a partition holds.
    #[default]
    Earliest,
    /// After the newest record: only what is written from now on.
    Latest,
}

/// Settings of a [`crate::Core`]. Every queue has its limit here.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// The group under whose name positions are committed.
    pub group: Arc<str>,
    /// What a crash may do to the results.
    pub guarantee: Guarantee,
    /// Time between two commits; `None` takes 1 s for at-least-once, 100 ms for exactly-once.
    pub commit_interval_ms: Option<u64>,
    /// A commit begins when outputs and table changes hold more bytes than this.
    pub commit_bytes: usize,
    /// A commit begins when more events than this were finished since the last one.
    pub commit_events: u64,
    /// How long exactly-once waits for unfinished events before health names them; it goes on waiting.
    pub drain_deadline_ms: u64,
    /// How long unfinished events of a partition that others are to get hold it back; then it is given away, and they are
    /// repeated there.
    pub hand_over_deadline_ms: u64,
    /// A partition with records to read that has not advanced for this long is called stalled by health.
    pub stall_timeout_ms: u64,
    /// Fetched records held in memory, over all partitions.
    pub queue_bytes: usize,
    /// The most one fetch asks for.
    pub fetch_max_bytes: usize,
    /// No new event is handed out while outputs waiting for a commit hold more than this, but for events that an
    /// exactly-once commit waits for; a send is refused beyond four times as much since the last event was handed out.
    pub outbox_bytes: usize,
    /// Where a group without a committed position begins.
    pub start: StartFrom,
}

impl Default for CoreOptions {
    fn default() -> Self {
        CoreOptions {
            group: Arc::from("beltline"),
            guarantee: Guarantee::AtLeastOnce,
            commit_interval_ms: None,
            commit_bytes: 16 << 20,
            commit_events: 1_000_000,
            drain_deadline_ms: 30_000,
            hand_over_deadline_ms: 30_000,
            stall_timeout_ms: 60_000,
            queue_bytes: 64 << 20,
            fetch_max_bytes: 1 << 20,
            outbox_bytes: 64 << 20,
            start: StartFrom::Earliest,
        }
    }
}

impl CoreOptions {
    /// The commit interval in force before exactly-once lets it grow.
    pub(crate) fn commit_interval(&self) -> Duration {
        let default_ms = match self.guarantee {
            Guarantee::AtLeastOnce => 1000,
            Guarantee::ExactlyOnce => 100,
        };
        Duration::from_millis(self.commit_interval_ms.unwrap_or(default_ms))
    }

    /// Bytes beyond which a send is refused, when the outbox held `floor` as the last event was handed out.
    pub(crate) fn outbox_refusal_bytes(&self, floor: usize) -> usize {
        floor.saturating_add(self.outbox_bytes.saturating_mul(4)).min(u32::MAX as usize / 2)
    }
}
