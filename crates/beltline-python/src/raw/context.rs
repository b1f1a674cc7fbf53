//! The context variable that holds what a task works on: every task and thread has its own.
#![expect(unsafe_code, reason = "PyO3 offers context variables only as C functions")]

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::cursor::{Cursor, InHand};

static VARIABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CURRENT_TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn variable(py: Python<'_>) -> PyResult<&Py<PyAny>> {
    VARIABLE.get_or_try_init(py, || {
        // SAFETY: the name is a C string, a missing default is null, and a new reference or null with an error comes
        // back.
        unsafe {
            let made = ffi::PyContextVar_New(c"beltline_current".as_ptr(), ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, made).map(Bound::unbind)
        }
    })
}

/// What the variable holds, whatever its type: foreign code can reach it through `copy_context()`.
#[inline]
fn get(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let variable = variable(py)?;
    let mut value = ptr::null_mut();
    // SAFETY: `variable` is a context variable that lives as long as the module; the call writes a new reference or
    // null to `value`.
    unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), ptr::null_mut(), &mut value) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Bound::from_owned_ptr_or_opt(py, value))
    }
}

/// What the running task or thread works on.
#[inline]
pub fn current(py: Python<'_>) -> PyResult<Option<Bound<'_, Cursor>>> {
    Ok(get(py)?.and_then(|value| value.cast_into::<Cursor>().ok()))
}

/// The event the running task or thread works on; `None` also where a partition is not the whole answer.
#[inline]
pub fn in_hand(py: Python<'_>) -> Option<InHand> {
    let current = get(py).ok()??;
    current.cast::<Cursor>().ok()?.get().in_hand()
}

/// When the event was handed out that the running task or thread works on, see [`Cursor::epoch`].
#[inline]
pub fn epoch(py: Python<'_>) -> Option<u32> {
    let current = get(py).ok()??;
    current.cast::<Cursor>().ok()?.get().epoch()
}

/// Whether what the running task or thread sends and writes is on behalf of an event; so it is in a task that outlives
/// its event.
#[inline]
pub fn is_of_event(py: Python<'_>) -> bool {
    epoch(py).is_some()
}

/// A number of the running task, as long as it lives; 1 outside of tasks.
pub fn task_number(py: Python<'_>) -> u64 {
    let find = CURRENT_TASK.import(py, "asyncio", "current_task");
    // Without a running loop it is refused.
    let task = find.and_then(|current_task| current_task.call0());
    task.ok().filter(|task| !task.is_none()).map_or(1, |task| task.as_ptr() as u64)
}

/// Whether `cursor` is the current one; also false when nobody can say.
#[inline(always)]
pub fn is_current(py: Python<'_>, cursor: &Py<Cursor>) -> bool {
    let Some(variable) = VARIABLE.get(py) else { return false };
    let mut value = ptr::null_mut();
    // SAFETY: as in `get`; the reference that comes back is given up at once, of which the address is kept for a
    // comparison only. What `cursor` refers to lives on, so giving it up ends nothing that is compared.
    unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), ptr::null_mut(), &mut value) < 0 {
            ffi::PyErr_Clear();
            return false;
        }
        ffi::Py_XDECREF(value);
    }
    value == cursor.as_ptr()
}

/// Makes `cursor` the current one; says whether it was not.
#[inline]
pub fn set_current(cursor: &Bound<'_, Cursor>) -> PyResult<bool> {
    let py = cursor.py();
    if get(py)?.is_some_and(|current| current.is(cursor)) {
        return Ok(false);
    }
    // SAFETY: both are live objects; the call takes references of its own and returns a new token or null with an
    // error.
    unsafe {
        let token = ffi::PyContextVar_Set(variable(py)?.as_ptr(), cursor.as_ptr());
        Bound::from_owned_ptr_or_err(py, token).map(|_| true)
    }
}
