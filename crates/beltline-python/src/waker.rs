//! How I/O threads wake an event loop: a descriptor that is readable when there is something to do.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// Wakes whoever watches [`LoopWaker::descriptor`]; any number of calls before the next look are one.
pub struct LoopWaker {
    reader: UnixStream,
    writer: UnixStream,
    signalled: AtomicBool,
}

impl LoopWaker {
    /// A waker that is silent.
    ///
    /// # Errors
    /// What the system says when it has no descriptors left.
    pub fn new() -> io::Result<LoopWaker> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(LoopWaker { reader, writer, signalled: AtomicBool::new(false) })
    }

    /// The descriptor to watch for reading.
    pub fn descriptor(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            // A full buffer means that the descriptor is readable already.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// Makes it silent. What was put down before a `wake` that falls into this call is seen by the turn that follows.
    pub fn silence(&self) {
        let mut bytes = [0; 16];
        while matches!((&self.reader).read(&mut bytes), Ok(count) if count > 0) {}
        self.signalled.store(false, Ordering::Release);
    }
}
