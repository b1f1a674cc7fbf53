//! Memory that the allocator keeps.
#![expect(unsafe_code, reason = "the standard library has no word for it")]

/// Has the allocator give whole pages that nobody uses back to the system. Where it does so by itself there is nothing to do.
pub fn return_unused() {
    // SAFETY: the call has no preconditions; it takes the allocator's own locks and touches no memory that is in use.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
