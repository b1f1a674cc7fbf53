//! A name for the running thread that costs two instructions.
#![expect(unsafe_code, reason = "the standard library's names of threads are counted references")]

/// Different for any two threads that run at the same time.
#[inline]
pub fn current_thread() -> usize {
    // SAFETY: the call has no preconditions.
    unsafe { libc::pthread_self() as usize }
}
