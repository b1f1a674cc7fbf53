//! Futures on which consumers sleep.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The event loop that runs in this thread, if any.
pub fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let function = RUNNING_LOOP
        .get_or_try_init(py, || py.import("asyncio.events")?.getattr("_get_running_loop").map(Bound::unbind))?;
    let found = function.bind(py).call0()?;
    Ok((!found.is_none()).then_some(found))
}

/// A new future of the running loop.
///
/// # Errors
/// `RuntimeError` when no loop runs in this thread.
pub fn new_future(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match running_loop(py)? {
        Some(running) => running.call_method0(intern!(py, "create_future")),
        None => Err(pyo3::exceptions::PyRuntimeError::new_err(
            "a stream is waited for outside of an asyncio event loop; iterate it with a plain `for` instead",
        )),
    }
}

/// Whether a future or task has ended.
///
/// # Errors
/// What its `done` raises.
pub fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(intern!(future.py(), "done"))?.is_truthy()
}

/// The asyncio task that runs in this thread, if any.
///
/// # Errors
/// Only when asyncio cannot be imported.
pub fn current_task(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    if running_loop(py)?.is_none() {
        return Ok(None);
    }
    let found = py.import("asyncio")?.call_method0(intern!(py, "current_task"))?;
    Ok((!found.is_none()).then_some(found))
}

/// Wakes whoever waits for the futures. What goes wrong (a loop that was closed meanwhile) is reported as Python
/// reports errors nobody can handle.
pub fn resolve(py: Python<'_>, futures: Vec<Py<PyAny>>) {
    for future in futures {
        let future = future.bind(py);
        let set = || -> PyResult<()> {
            if !is_done(future)? {
                future.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
            Ok(())
        };
        if let Err(error) = set() {
            error.write_unraisable(py, Some(future));
        }
    }
}
