//! Threads with names.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread; its name is seen in debuggers and `top -H`.
///
/// # Errors
/// What the system says when it has no thread to give.
pub fn spawn_thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(body)
}
