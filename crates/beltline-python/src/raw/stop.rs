//! How a value leaves an awaiter. Since Python 3.12 it must be a `StopIteration`; making one each time would cost more
//! than everything else of the step, so one is re-used while nobody else holds it. Python 3.11 has `am_send`, which
//! needs no exception, except while a trace function is set.
#![expect(unsafe_code, reason = "exception objects are re-used")]

use pyo3::ffi;
use pyo3::prelude::*;

/// Raises `StopIteration(value)`; the caller returns null to the interpreter at once.
#[cfg(Py_3_12)]
#[inline]
pub fn raise_stop_iteration(py: Python<'_>, reused: &mut Option<Py<PyAny>>, value: Py<PyAny>) {
    let exception = match reused.take() {
        Some(exception) if is_fresh(&exception) => exception,
        used => {
            used.into_iter().for_each(|used| used.drop_ref(py));
            // A `PyErr` on the way would give up a reference of its own later than at once, see `crate::step::quick`,
            // and the exception would never be free to be used again.
            // SAFETY: the type lives for ever; a new reference comes back, or null with an error, which is then raised.
            let made = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyObject_CallNoArgs(ffi::PyExc_StopIteration)) };
            match made {
                Some(exception) => exception.unbind(),
                None => return value.drop_ref(py),
            }
        }
    };
    // SAFETY: the object is an exact `StopIteration`, made above, and only `reused` refers to it; its `value` owns a
    // reference, which is swapped for ours before the old one is given up. `PyErr_SetRaisedException` takes the new
    // reference it is given.
    unsafe {
        let object = exception.as_ptr().cast::<ffi::PyStopIterationObject>();
        let old = std::mem::replace(&mut (*object).value, value.into_ptr());
        ffi::PyErr_SetRaisedException(exception.clone_ref(py).into_ptr());
        *reused = Some(exception);
        ffi::Py_XDECREF(old);
    }
}

/// Whether nobody but its owner can see the exception, and it carries nothing from an earlier flight.
#[cfg(Py_3_12)]
#[inline]
fn is_fresh(exception: &Py<PyAny>) -> bool {
    // SAFETY: a live `StopIteration` (nothing else is stored), of which plain fields are read with the lock held.
    unsafe {
        let object = exception.as_ptr().cast::<ffi::PyStopIterationObject>();
        ffi::Py_REFCNT(exception.as_ptr()) == 1
            && (*object).traceback.is_null()
            && (*object).context.is_null()
            && (*object).notes.is_null()
    }
}

/// Raises `StopIteration(value)`; the caller returns null to the interpreter at once.
#[cfg(not(Py_3_12))]
pub fn raise_stop_iteration(py: Python<'_>, _reused: &mut Option<Py<PyAny>>, value: Py<PyAny>) {
    let value = value.into_bound(py);
    // SAFETY: type and value are live objects and the call returns a new exception or null with an error, which then is
    // what is raised; `PyErr_SetObject` takes references of its own. An exception made beforehand keeps tuples whole.
    unsafe {
        let made = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value.as_ptr());
        if let Some(exception) = Bound::from_owned_ptr_or_opt(py, made) {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, exception.as_ptr());
        }
    }
}
