//! The only room with `unsafe`: what the safe face of PyO3 does not offer, each piece as small as it can be.
//!
//! - `guarded`: a cell whose content is borrowed for the time of one Rust call, without a lock
//! - `slot`: what type slots need that are written by hand; `stepping`: those of streams and awaiters; `mapping`: those of tables
//! - `numbers`: integers of 64 bits
//! - `stop`: `StopIteration` re-used from event to event
//! - `slots`: attributes written by their offset; `construct`: calls of classes that do that
//! - `context`: the context variable that says which stream the running task works on; `thread`: which thread runs
//! - `leave`: the end of the process at once; `memory`: what the allocator keeps is given back

pub mod construct;
pub mod context;
pub mod guarded;
pub mod leave;
pub mod mapping;
pub mod memory;
pub mod numbers;
mod slot;
pub mod slots;
pub mod stepping;
pub mod stop;
pub mod thread;
