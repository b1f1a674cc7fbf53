//! The only room with `unsafe`: what the safe face of PyO3 does not offer, each piece as small as it can be.
//!
//! - `guarded`: a cell whose content is borrowed for the time of one Rust call, without a lock
//! - `stop`: `StopIteration` re-used from event to event, and the `am_send` slot of Python 3.11
//! - `slots`: attributes written by their offset
//! - `context`: the context variable that says which stream the running task works on
//! - `leave`: the end of the process at once

pub mod context;
pub mod guarded;
pub mod leave;
pub mod slots;
pub mod stop;
