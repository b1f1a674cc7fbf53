//! The type slots through which every event passes: of the stream for `for` and `async for`, of its awaiter for `await`.
//!
//! Each tries the quick way first, which calls no Python code that could want something of the stream, and leaves
//! everything else to the slow one.
#![expect(unsafe_code, reason = "type slots are C functions")]

use std::ffi::c_void;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::awaiter::{Awaiter, Given};
use crate::raw::slot::{Inheritance, attended, caught, derive};
use crate::step::{self, Caller, Quick, Step};
use crate::stream::Stream;

static AWAITER: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Makes the type of streams.
///
/// # Errors
/// What CPython says about the type.
pub fn stream_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let slots = [
        ffi::PyType_Slot { slot: ffi::Py_am_anext, pfunc: stream_anext as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_iter, pfunc: itself as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_iternext, pfunc: stream_next as *mut c_void },
    ];
    // SAFETY: the functions are slots of these names for instances of `Stream`.
    unsafe { derive(&py.get_type::<Stream>(), c"beltline._native.Stream", Inheritance::Allowed, &slots) }
}

/// Makes an awaiter.
///
/// # Errors
/// Only when memory is short.
pub fn new_awaiter(py: Python<'_>) -> PyResult<Py<Awaiter>> {
    let class = AWAITER.get_or_try_init(py, || {
        let slots = [
            ffi::PyType_Slot { slot: ffi::Py_am_await, pfunc: itself as *mut c_void },
            #[cfg(not(Py_3_12))]
            ffi::PyType_Slot { slot: ffi::Py_am_send, pfunc: awaiter_send as *mut c_void },
            ffi::PyType_Slot { slot: ffi::Py_tp_iter, pfunc: itself as *mut c_void },
            ffi::PyType_Slot { slot: ffi::Py_tp_iternext, pfunc: awaiter_next as *mut c_void },
        ];
        // SAFETY: the functions are slots of these names for instances of `Awaiter`.
        unsafe { derive(&py.get_type::<Awaiter>(), c"beltline._native.StreamAwaiter", Inheritance::Final, &slots) }
            .map(Bound::unbind)
    })?;
    Ok(class.bind(py).call0()?.cast_into::<Awaiter>()?.unbind())
}

/// An object that is its own iterator, or its own awaitable.
unsafe extern "C" fn itself(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter passes a live object, with the lock held.
    unsafe { ffi::Py_NewRef(object) }
}

unsafe extern "C" fn stream_anext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls a slot with the lock held and a live instance of the type it stands in, which is a
    // `Stream` or inherits from it.
    let (py, stream) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::ref_from_ptr(py, &object).cast_unchecked::<Stream>())
    };
    // Nothing in here can panic, so the net is spread behind it.
    if let Some(awaiter) = stream.get().quick_awaiter(py)
        && awaiter.get().quick_begin(stream).is_some()
    {
        return awaiter.into_ptr();
    }
    caught(ptr::null_mut(), || attended(|_| Stream::next_awaiter(stream)).map_or(ptr::null_mut(), Py::into_ptr))
}

unsafe extern "C" fn stream_next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    caught(ptr::null_mut(), || {
        // SAFETY: as in `stream_anext`.
        let (py, stream) = unsafe {
            let py = Python::assume_attached();
            (py, Bound::ref_from_ptr(py, &object).cast_unchecked::<Stream>())
        };
        let taken = match step::quick(stream.get(), py, Caller::For) {
            Quick::Event(value) => return value.into_ptr(),
            Quick::Taken => true,
            Quick::Nothing => false,
        };
        match attended(|_| step::resume(stream, Caller::For, taken)) {
            Some(Step::Event(value)) => value.into_ptr(),
            // Null without an error ends an iteration.
            Some(Step::Suspend(_) | Step::End) | None => ptr::null_mut(),
        }
    })
}

/// One step of an awaiter; `None`: an error is raised.
#[inline(always)]
fn advance(object: &Bound<'_, PyAny>) -> Option<Given> {
    let py = object.py();
    // SAFETY: this is called by the slots of the awaiter's type, which nobody inherits from.
    let awaiter = unsafe { object.cast_unchecked::<Awaiter>() }.get();
    let stream = awaiter.quick_take(py);
    let taken = match &stream {
        None => false,
        Some(stream) => match step::quick(stream.get(), py, Caller::Await) {
            Quick::Event(value) => return Some(Given::Event(value.unbind())),
            Quick::Taken => true,
            Quick::Nothing => false,
        },
    };
    attended(|py| awaiter.go_on(py, stream.as_ref(), taken))
}

/// How Python 3.11 takes values out of an awaiter, and as long as no trace function is set: without an exception.
#[cfg(not(Py_3_12))]
unsafe extern "C" fn awaiter_send(
    object: *mut ffi::PyObject,
    _sent: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    caught(ffi::PySendResult::PYGEN_ERROR, || {
        // SAFETY: as in `stream_anext`; the interpreter gives a place for the result.
        unsafe {
            let py = Python::assume_attached();
            let (value, kind) = match advance(Bound::ref_from_ptr(py, &object)) {
                Some(Given::Event(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
                Some(Given::Suspend(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
                None => (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR),
            };
            *result = value;
            kind
        }
    })
}

unsafe extern "C" fn awaiter_next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    caught(ptr::null_mut(), || {
        // SAFETY: as in `stream_anext`, for the awaiter's type.
        let (py, object) = unsafe {
            let py = Python::assume_attached();
            (py, Bound::ref_from_ptr(py, &object))
        };
        match advance(object) {
            Some(Given::Suspend(value)) => value.into_ptr(),
            Some(Given::Event(value)) => {
                // SAFETY: as in `advance`.
                unsafe { object.cast_unchecked::<Awaiter>() }.get().leave(py, value);
                ptr::null_mut()
            }
            None => ptr::null_mut(),
        }
    })
}
