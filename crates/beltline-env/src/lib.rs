//! The outside world as small traits: clock, random, files, threads; one real and one simulated set.
//!
//! The rest of the workspace takes time, randomness, files and threads from here only (`clippy.toml` forbids the standard
//! library's), so what the simulator replaces is all there is.

mod clock;
mod files;
mod memory_files;
mod random;
mod threads;

pub use clock::{Clock, ManualClock, SystemClock};
pub use files::{AppendFile, FileLock, Files, ReadFile, RealFiles};
pub use memory_files::MemoryFiles;
pub use random::{Random, SeededRandom};
pub use threads::spawn_thread;
