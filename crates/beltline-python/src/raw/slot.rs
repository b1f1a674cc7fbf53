//! What every hand-written type slot needs: a type to stand in, a net for panics, and the way out of the fast path.
//!
//! PyO3 writes slots of its own around methods. They count attachments, parse arguments and convert results; for a slot
//! that is called millions of times a second that is most of what it costs. Ours stand in a type derived from the class
//! PyO3 makes, so that Python subclasses inherit them in the ordinary way.
#![expect(unsafe_code, reason = "PyO3 has no way to make a type with slots of one's own")]

use std::any::Any;
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// Whether Python code may inherit from a type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inheritance {
    Allowed,
    Final,
}

/// Makes a type on top of `base` that adds slots and no data.
///
/// # Safety
/// The functions in `slots` must be of the signatures CPython has for them and be sound for every instance of `base`.
///
/// # Errors
/// What CPython says about the type.
pub(super) unsafe fn derive<'py>(
    base: &Bound<'py, PyType>,
    name: &'static CStr,
    inheritance: Inheritance,
    slots: &[ffi::PyType_Slot],
) -> PyResult<Bound<'py, PyType>> {
    let py = base.py();
    let doc = documentation(base, name)?;
    let mut all = slots.to_vec();
    all.push(ffi::PyType_Slot { slot: ffi::Py_tp_doc, pfunc: doc.as_ptr().cast_mut().cast() });
    all.push(ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() });
    let inheritable = if inheritance == Inheritance::Allowed { ffi::Py_TPFLAGS_BASETYPE } else { 0 };
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: 0,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | inheritable) as std::ffi::c_uint,
        slots: all.as_mut_ptr(),
    };
    let bases = PyTuple::new(py, [base])?;
    // SAFETY: the spec and its slots live through the call, which copies them and the documentation; the name lives for
    // ever. A size of zero is that of the base, whose traverse, clear and end are inherited, since no slot replaces them.
    let made =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr()))? };
    Ok(made.cast_into::<PyType>()?)
}

/// The documentation of a class under another name. CPython has the constructor's parameters in front of the text, and
/// finds them by the name of the type.
fn documentation(base: &Bound<'_, PyType>, name: &CStr) -> PyResult<CString> {
    let text = base.getattr("__doc__")?.extract::<Option<String>>()?.unwrap_or_default();
    let Some(parameters) = base.getattr("__text_signature__")?.extract::<Option<String>>()? else {
        return Ok(CString::new(text)?);
    };
    let name = name.to_string_lossy();
    let name = name.rsplit('.').next().unwrap_or_default();
    Ok(CString::new(format!("{name}{parameters}\n--\n\n{text}"))?)
}

/// Runs the body of a slot; a panic leaves as an exception, beside `failed`.
#[inline]
pub(super) fn caught<R>(failed: R, body: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            raise_panic(&*payload);
            failed
        }
    }
}

#[cold]
fn raise_panic(payload: &(dyn Any + Send)) {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => message.clone(),
        (None, None) => "a panic without a message".to_owned(),
    };
    Python::attach(|py| PanicException::new_err((message,)).restore(py));
}

/// The way out of the fast path: attached as PyO3 knows it, so that whatever is dropped is dropped at once. `None`: what
/// went wrong is raised.
#[cold]
pub(super) fn attended<R>(work: impl FnOnce(Python<'_>) -> PyResult<R>) -> Option<R> {
    Python::attach(|py| work(py).map_err(|error| error.restore(py)).ok())
}
