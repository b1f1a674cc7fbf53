//! A belt does not survive `fork()`: its threads stay in the parent, and both would write the same files.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How many forks lie between the process that loaded the module and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The generation of this process.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Refuses what was made before a fork.
#[inline]
pub fn check(made_in: u32) -> PyResult<()> {
    if made_in == generation() { Ok(()) } else { Err(refused()) }
}

#[cold]
fn refused() -> PyErr {
    PyRuntimeError::new_err(
        "this belt was made before fork() and belongs to the parent process; start workers as processes of their own \
         (the multiprocessing start method \"spawn\"), or make the app's belt after the fork",
    )
}

#[pyfunction]
fn note_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Has Python tell us about forks.
///
/// # Errors
/// What `os.register_at_fork` raises.
pub fn watch(py: Python<'_>) -> PyResult<()> {
    let arguments = PyDict::new(py);
    arguments.set_item("after_in_child", wrap_pyfunction!(note_fork, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&arguments)).map(drop)
}
