//! The end of the process without anything of what usually comes before it.
#![expect(
    unsafe_code,
    reason = "`std::process::exit` runs what other libraries registered, beside threads that still run"
)]

/// Ends the process at once.
pub fn leave(code: i32) -> ! {
    // SAFETY: `_exit` takes any number, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}
