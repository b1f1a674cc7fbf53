//! The type slots behind `table[key]`, with one read or one write as the quick way.
#![expect(unsafe_code, reason = "type slots are C functions")]

use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::raw::slot::{Inheritance, attended, caught, derive};
use crate::table::Table;

/// Makes the type of tables.
///
/// # Errors
/// What CPython says about the type.
pub fn table_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let slots = [
        ffi::PyType_Slot { slot: ffi::Py_mp_subscript, pfunc: subscript as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_mp_ass_subscript, pfunc: assign as *mut c_void },
    ];
    // SAFETY: the functions are slots of these names for instances of `Table`.
    unsafe { derive(&py.get_type::<Table>(), c"beltline._native.Table", Inheritance::Allowed, &slots) }
}

unsafe extern "C" fn subscript(object: *mut ffi::PyObject, key: *mut ffi::PyObject) -> *mut ffi::PyObject {
    caught(ptr::null_mut(), || {
        // SAFETY: the interpreter calls a slot with the lock held, with a live key and a live instance of the type it
        // stands in, which is a `Table` or inherits from it.
        let (table, key) = unsafe {
            let py = Python::assume_attached();
            (Bound::ref_from_ptr(py, &object).cast_unchecked::<Table>(), Bound::ref_from_ptr(py, &key))
        };
        match table.get().quick_get(key) {
            Some(value) => value.into_ptr(),
            None => attended(|_| table.get().get_item(key)).map_or(ptr::null_mut(), Bound::into_ptr),
        }
    })
}

unsafe extern "C" fn assign(object: *mut ffi::PyObject, key: *mut ffi::PyObject, value: *mut ffi::PyObject) -> c_int {
    caught(-1, || {
        // SAFETY: as in `subscript`; no value means that the key is to be taken out.
        let (table, key, value) = unsafe {
            let py = Python::assume_attached();
            let table = Bound::ref_from_ptr(py, &object).cast_unchecked::<Table>();
            (table, Bound::ref_from_ptr(py, &key), Bound::from_borrowed_ptr_or_opt(py, value))
        };
        let done = match &value {
            Some(value) if table.get().quick_set(key, value) => return 0,
            Some(value) => attended(|_| Table::set_item(table, key, value)),
            None => attended(|_| table.get().delete_item(key)),
        };
        if done.is_some() { 0 } else { -1 }
    })
}
