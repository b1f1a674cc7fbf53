//! Everything that could grow has its bound here.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bounds of a [`crate::Broker`]; the defaults suit one machine's tools and workers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time; one more is closed at once.
    pub max_connections: usize,
    /// Bytes of one request.
    pub max_request_bytes: usize,
    /// Bytes of all requests being read or worked on; a request waits for its share.
    pub max_queued_bytes: usize,
    /// Bytes of a record batch as it is sent; the same as Kafka's `message.max.bytes`.
    pub max_batch_bytes: usize,
    /// Bytes of a record batch after decompression.
    pub max_uncompressed_bytes: usize,
    /// Bytes of records in one fetch answer, whatever the client asks for.
    pub max_fetch_bytes: usize,
    /// The longest a fetch waits for records.
    pub max_fetch_wait: Duration,
    /// A connection on which nothing was asked for this long is closed.
    pub idle_timeout: Duration,
    /// The longest a request may take to come in once it has begun, or an answer to go out.
    pub transfer_timeout: Duration,
    /// The longest a lookup of an offset by time may read.
    pub lookup_timeout: Duration,
    /// Groups with members, and members of one group.
    pub max_groups: usize,
    /// Members of one group.
    pub max_group_members: usize,
    /// Bytes of records and offsets one open transaction may hold.
    pub max_transaction_bytes: usize,
    /// Bytes all open transactions may hold.
    pub max_all_transactions_bytes: usize,
    /// Transactional ids and idempotent producers that are remembered, each.
    pub max_producers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 256,
            max_request_bytes: 32 << 20,
            max_queued_bytes: 96 << 20,
            max_batch_bytes: (1 << 20) + 12,
            max_uncompressed_bytes: 64 << 20,
            max_fetch_bytes: 32 << 20,
            max_fetch_wait: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(600),
            transfer_timeout: Duration::from_secs(30),
            lookup_timeout: Duration::from_secs(20),
            max_groups: 1000,
            max_group_members: 1000,
            max_transaction_bytes: 64 << 20,
            max_all_transactions_bytes: 256 << 20,
            max_producers: 10_000,
        }
    }
}

/// Bytes that many threads share.
pub(crate) struct Budget {
    left: Mutex<usize>,
    freed: Condvar,
}

/// A share of a [`Budget`], given back when it is dropped.
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Budget {
        Budget { left: Mutex::new(bytes), freed: Condvar::new() }
    }

    /// Waits for a share; `None` when there is none within `timeout`.
    pub(crate) fn take(&self, bytes: usize, timeout: Duration) -> Option<Share<'_>> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(left, timeout, |left| *left < bytes);
        let (mut left, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *left = left.checked_sub(bytes)?;
        Some(Share { budget: self, bytes })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}
