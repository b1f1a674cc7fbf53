//! Calls of record classes: arguments go from the caller's stack into slots.
//!
//! `type.__call__` packs them into a tuple and a dict, makes an empty instance, and has a constructor in Python unpack them
//! again. CPython lets a class have a function in the place of all that, its `tp_vectorcall` (PEP 590). Ours leaves
//! everything that is not plain, and all errors, to the ordinary way.
#![expect(unsafe_code, reason = "there is no safe way to set what a class is called by")]

use std::{ptr, slice};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::raw::slot::{attended, caught};
use crate::records::{Arguments, RecordMaker};

/// Has calls of a class go to the [`RecordMaker`] under `_maker` in its namespace, as long as there is one. `false`: its
/// metaclass has a way of its own to be called, and nothing was changed.
pub fn call_makers(class: &Bound<'_, PyType>) -> bool {
    let class = class.as_type_ptr();
    // SAFETY: the class and its metaclass are live heap types (a class statement made both), whose plain fields are read
    // and written with the lock held. The flag says that a class may have a function at `tp_vectorcall_offset`, which is
    // where `tp_vectorcall` lies, as in `type` itself; versions before 3.12 do not inherit it.
    unsafe {
        let (metaclass, ordinary) = (ffi::Py_TYPE(class.cast()), &raw const ffi::PyType_Type);
        let is_called_as_usual = (*metaclass).tp_call.map(|call| call as usize)
            == (*ordinary).tp_call.map(|call| call as usize)
            && (*metaclass).tp_vectorcall_offset == (*ordinary).tp_vectorcall_offset;
        if is_called_as_usual {
            (*metaclass).tp_flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL;
            (*class).tp_vectorcall = Some(construct);
        }
        is_called_as_usual
    }
}

/// What stands in `tp_vectorcall`.
unsafe extern "C" fn construct(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    flagged_count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with the lock held, a class whose function this is, so many positional arguments and
    // behind them one for each of the names, which are a tuple or null. All of them live through the call.
    let (py, class, call) = unsafe {
        let py = Python::assume_attached();
        let names = if names.is_null() {
            &[][..]
        } else {
            Bound::ref_from_ptr(py, &names).cast_unchecked::<PyTuple>().as_slice()
        };
        let count = ffi::PyVectorcall_NARGS(flagged_count) as usize;
        let all =
            if arguments.is_null() { &[][..] } else { slice::from_raw_parts(arguments.cast(), count + names.len()) };
        let (positional, named) = all.split_at(count);
        (py, Bound::ref_from_ptr(py, &class).cast_unchecked::<PyType>(), Arguments { positional, named, names })
    };
    // Nothing in here can panic, so the net is spread behind it.
    if let Some(maker) = maker(py, class)
        && let Some(made) = maker.get().make(py, &call)
    {
        return made.into_ptr();
    }
    caught(ptr::null_mut(), || attended(|_| call_generally(class, &call)).map_or(ptr::null_mut(), Bound::into_ptr))
}

/// The maker in the class's own namespace.
fn maker<'py>(py: Python<'py>, class: &Bound<'py, PyType>) -> Option<Bound<'py, RecordMaker>> {
    // SAFETY: the namespace of a heap type is a dict for as long as the type lives; looking for a text that is interned
    // calls nobody and raises nothing. What it holds is borrowed, and the reference added.
    let found = unsafe {
        let namespace = (*class.as_type_ptr()).tp_dict;
        let found = ffi::PyDict_GetItemWithError(namespace, intern!(py, "_maker").as_ptr());
        Bound::from_borrowed_ptr_or_opt(py, found)?
    };
    found.cast_into_exact().ok()
}

/// What would have happened without us.
#[cold]
fn call_generally<'py>(class: &Bound<'py, PyType>, arguments: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let positional = PyTuple::new(py, arguments.positional)?;
    let keywords = PyDict::new(py);
    for (name, value) in arguments.names.iter().zip(arguments.named) {
        keywords.set_item(name, value)?;
    }
    // SAFETY: `type.__call__`, which the metaclass has (see `call_makers`), with a class, a tuple and a dict; it returns a
    // new reference, or null with an error.
    unsafe {
        let call = ffi::PyType_Type.tp_call.ok_or_else(|| PyRuntimeError::new_err("types cannot be called"))?;
        Bound::from_owned_ptr_or_err(py, call(class.as_ptr(), positional.as_ptr(), keywords.as_ptr()))
    }
}
