//! The transaction coordinator: a state machine without clock, threads or log.
//!
//! It works differently from Kafka's on purpose. The log of this machine has one atomic commit, so the records of an open
//! transaction are held here, within limits, and become one commit when it ends. A reader never meets a record whose
//! transaction is open or was aborted, no markers take offsets, and `read_uncommitted` sees what `read_committed` sees.

mod coordinator;
mod held;
#[cfg(test)]
mod tests;

pub(crate) use coordinator::{Begun, Coordinator, Denied, Outcome, Stored};
pub(crate) use held::Held;
