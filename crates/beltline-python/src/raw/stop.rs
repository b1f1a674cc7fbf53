//! How a value leaves an awaiter. Since Python 3.12 it must be a `StopIteration`; making one each time would cost more
//! than everything else of the step, so one is re-used while nobody else holds it. Python 3.11 has `am_send`, which
//! needs no exception, except while a trace function is set.
#![expect(unsafe_code, reason = "exception objects are re-used and a type slot is filled in")]

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;

/// Raises `StopIteration(value)`; the caller returns null to the interpreter at once.
#[cfg(Py_3_12)]
#[inline]
pub fn raise_stop_iteration(py: Python<'_>, reused: &mut Option<Py<PyAny>>, value: Py<PyAny>) {
    let exception = match reused.take() {
        Some(exception) if is_fresh(&exception) => exception,
        _ => PyStopIteration::new_err(()).into_value(py).into_any(),
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
    PyStopIteration::new_err((value,)).restore(py);
}

/// Lets Python 3.11 take values out of `awaiter_type` without an exception.
#[cfg(not(Py_3_12))]
pub fn install_send(awaiter_type: &Bound<'_, pyo3::types::PyType>) {
    // SAFETY: the type is a heap type of this module with an `__await__`, so `tp_as_async` points to the table inside
    // the type itself; nothing has used the type yet.
    unsafe {
        let slots = (*awaiter_type.as_type_ptr()).tp_as_async;
        if !slots.is_null() {
            (*slots).am_send = Some(send);
        }
    }
}

/// The newer interpreters never ask for `am_send` of such an object.
#[cfg(Py_3_12)]
pub fn install_send(_awaiter_type: &Bound<'_, pyo3::types::PyType>) {}

/// `am_send` on top of the type's own `tp_iternext`, which catches panics and knows whether it was called from here.
#[cfg(not(Py_3_12))]
unsafe extern "C" fn send(
    awaiter: *mut ffi::PyObject,
    _sent: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: the interpreter calls this slot with the lock held, with a live object of the (final) awaiter type and
    // with a place for the result; `tp_iternext` of that type is PyO3's and returns a new reference or null with an
    // error.
    unsafe {
        let py = Python::assume_attached();
        let object = Bound::from_borrowed_ptr(py, awaiter);
        let awaiter_object = object.cast_unchecked::<crate::awaiter::Awaiter>();
        let Some(next) = (*ffi::Py_TYPE(awaiter)).tp_iternext else {
            *result = std::ptr::null_mut();
            return ffi::PySendResult::PYGEN_ERROR;
        };
        awaiter_object.get().expect_send();
        let value = next(awaiter);
        *result = value;
        match (value.is_null(), awaiter_object.get().was_return()) {
            (true, _) => ffi::PySendResult::PYGEN_ERROR,
            (false, true) => ffi::PySendResult::PYGEN_RETURN,
            (false, false) => ffi::PySendResult::PYGEN_NEXT,
        }
    }
}
