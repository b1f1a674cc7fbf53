//! Integers of 64 bits to and from Python, without the detours of a general conversion.
#![expect(unsafe_code, reason = "the general conversion asks for __index__ and looks for errors that cannot be")]

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// An `int` that is no subclass and fits 64 bits.
#[inline]
pub fn int_of(object: &Bound<'_, PyAny>) -> Option<i64> {
    if !object.is_exact_instance_of::<PyInt>() {
        return None;
    }
    let mut overflow: c_int = 0;
    // SAFETY: the object is an exact `int`, for which the call raises nothing: what does not fit is told by `overflow`.
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(number)
}

/// An `int`.
#[inline]
pub fn int(py: Python<'_>, number: i64) -> Bound<'_, PyAny> {
    // SAFETY: the call returns a new reference, or null when memory is short, which becomes a panic as everywhere in PyO3.
    unsafe { Bound::from_owned_ptr(py, ffi::PyLong_FromLongLong(number)) }
}
