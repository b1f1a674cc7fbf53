//! Attributes that are slots, written by their offset: what a member descriptor does, without looking it up.
#![expect(unsafe_code, reason = "a hundred nanoseconds per event are spent otherwise on finding the same six slots")]

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// `Py_T_OBJECT_EX`: a slot that holds one object or null.
const OBJECT_SLOT: c_int = 16;

/// The beginning of CPython's `PyMemberDescrObject`, which is the same from 3.11 to 3.14.
#[repr(C)]
struct MemberDescriptor {
    head: ffi::PyObject,
    owner: *mut ffi::PyTypeObject,
    name: *mut ffi::PyObject,
    qualified_name: *mut ffi::PyObject,
    member: *mut ffi::PyMemberDef,
}

/// A class whose instances are made without calling it, and where its attributes lie.
pub struct SlotClass {
    class: Py<PyType>,
    offsets: Vec<ffi::Py_ssize_t>,
}

impl SlotClass {
    /// Finds the slots of a class; `None` when an attribute is no slot, or instances are made in a way of their own.
    ///
    /// # Errors
    /// What looking at the class raises.
    pub fn of(class: &Bound<'_, PyType>, names: &[String]) -> PyResult<Option<SlotClass>> {
        let py = class.py();
        // Whoever counts the ends of instances would miss those that are used again.
        if class.hasattr("__del__")? {
            return Ok(None);
        }
        let plain_new = py.get_type::<PyAny>().getattr("__new__")?;
        if !class.getattr("__new__")?.is(&plain_new) {
            return Ok(None);
        }
        let mut offsets = Vec::with_capacity(names.len());
        for name in names {
            match slot_offset(class, name)? {
                Some(offset) => offsets.push(offset),
                None => return Ok(None),
            }
        }
        Ok(Some(SlotClass { class: class.clone().unbind(), offsets }))
    }

    /// The class.
    pub fn class(&self) -> &Py<PyType> {
        &self.class
    }

    /// An instance made here before, to be filled again: only when nobody else can see it, and its class leaves no room
    /// for attributes beside the slots or for weak references. `None` gives the instance up.
    #[inline]
    pub fn reuse<'py>(&self, py: Python<'py>, instance: Py<PyAny>) -> Option<SlotObject<'py, '_>> {
        let object = instance.into_bound(py);
        // SAFETY: a live object and its type, of which plain fields are read with the lock held.
        let is_ours = unsafe {
            let class = ffi::Py_TYPE(object.as_ptr());
            ffi::Py_REFCNT(object.as_ptr()) == 1
                && class == self.class.as_ptr().cast::<ffi::PyTypeObject>()
                && (*class).tp_dictoffset == 0
                && (*class).tp_weaklistoffset == 0
        };
        is_ours.then_some(SlotObject { class: self, object })
    }

    /// What slot `index` of an instance holds; `None` when it is empty, or the object is of another class.
    #[inline]
    pub fn read<'py>(&self, object: &Bound<'py, PyAny>, index: usize) -> Option<Bound<'py, PyAny>> {
        let offset = self.offsets.get(index)?;
        if object.get_type_ptr() != self.class.as_ptr().cast() {
            return None;
        }
        // SAFETY: the object is an instance of exactly the class whose member descriptor gave the offset, so there is a
        // pointer there that is null or a reference of the instance's, which `object` keeps alive; ours is added.
        unsafe {
            let slot = object.as_ptr().cast::<u8>().offset(*offset).cast::<*mut ffi::PyObject>();
            Bound::from_borrowed_ptr_or_opt(object.py(), *slot)
        }
    }

    /// A new instance with empty slots; `None` when memory is short.
    #[inline]
    pub fn make<'py>(&self, py: Python<'py>) -> Option<SlotObject<'py, '_>> {
        let class = self.class.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: the class is a live heap type (a Python class with slots of its own) whose `__new__` is that of
        // `object`, so allocating is all that making an instance takes; the result is a new reference or null with an
        // error.
        let object = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyType_GenericAlloc(class, 0)) };
        if object.is_none() {
            // SAFETY: the lock is held; whoever goes on will run into the same want.
            unsafe { ffi::PyErr_Clear() };
        }
        Some(SlotObject { class: self, object: object? })
    }
}

/// One attribute of a class that is a slot.
pub struct Slot {
    class: Py<PyType>,
    offset: ffi::Py_ssize_t,
}

impl Slot {
    /// Finds it; `None` when the class has no such slot.
    ///
    /// # Errors
    /// What looking at the class raises.
    pub fn of(class: &Bound<'_, PyType>, name: &str) -> PyResult<Option<Slot>> {
        Ok(slot_offset(class, name)?.map(|offset| Slot { class: class.clone().unbind(), offset }))
    }

    /// The class.
    pub fn class(&self) -> &Py<PyType> {
        &self.class
    }

    /// Writes it, and drops what was there; `false`: the object is of another class.
    #[inline]
    pub fn write(&self, object: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) -> bool {
        let is_ours = object.get_type_ptr() == self.class.as_ptr().cast();
        if is_ours {
            // SAFETY: the object is an instance of exactly the class whose member descriptor gave the offset.
            unsafe { put(object, self.offset, value.unbind()) };
        }
        is_ours
    }
}

/// Puts a value into a slot.
///
/// # Safety
/// A member descriptor of the object's class, for a slot that holds an object, has this offset.
#[inline]
unsafe fn put(object: &Bound<'_, PyAny>, offset: ffi::Py_ssize_t, value: Py<PyAny>) {
    // SAFETY: there is a pointer at the offset that is null or owns a reference; ours is put in its place before the old
    // one is given up.
    unsafe {
        let slot = object.as_ptr().cast::<u8>().offset(offset).cast::<*mut ffi::PyObject>();
        let old = std::mem::replace(&mut *slot, value.into_ptr());
        ffi::Py_XDECREF(old);
    }
}

/// Whether nobody else holds an object.
pub fn is_ours_alone(object: &Py<PyAny>, _py: Python<'_>) -> bool {
    // SAFETY: a live object, of which a plain field is read with the lock held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// As [`is_ours_alone`], and nobody has a weak reference to it either.
pub fn is_unheld(object: &Py<PyAny>, py: Python<'_>) -> bool {
    // SAFETY: a live object and its type, read with the lock held. Where the type has room for weak references, its
    // offset leads from the object to a pointer that is null or the first of them.
    let has_weak_references = unsafe {
        let offset = (*ffi::Py_TYPE(object.as_ptr())).tp_weaklistoffset;
        offset != 0 && !(*object.as_ptr().cast::<u8>().offset(offset).cast::<*mut ffi::PyObject>()).is_null()
    };
    is_ours_alone(object, py) && !has_weak_references
}

/// An instance whose slots are being filled.
pub struct SlotObject<'py, 'class> {
    class: &'class SlotClass,
    object: Bound<'py, PyAny>,
}

impl<'py> SlotObject<'py, '_> {
    /// Writes slot `index`; what was there is dropped. An index that is none has no effect.
    #[inline]
    pub fn write(&mut self, index: usize, value: Py<PyAny>) {
        let Some(offset) = self.class.offsets.get(index) else { return };
        // SAFETY: the object is an instance of exactly the class whose member descriptor gave the offset.
        unsafe { put(&self.object, *offset, value) };
    }

    /// Whether slot `index` holds nothing. An index that is none does not.
    #[inline]
    pub fn is_empty(&self, index: usize) -> bool {
        let Some(offset) = self.class.offsets.get(index) else { return false };
        // SAFETY: as in `write`; the pointer is only compared.
        unsafe { (*self.object.as_ptr().cast::<u8>().offset(*offset).cast::<*mut ffi::PyObject>()).is_null() }
    }

    /// The finished instance.
    #[inline]
    pub fn into_object(self) -> Bound<'py, PyAny> {
        self.object
    }
}

/// Where an attribute lies in instances of the class; `None` when it is no slot that holds an object.
fn slot_offset(class: &Bound<'_, PyType>, name: &str) -> PyResult<Option<ffi::Py_ssize_t>> {
    let py = class.py();
    for base in class.mro() {
        let base = base.cast_into::<PyType>()?;
        let attributes = base.as_any().getattr("__dict__")?;
        let Ok(found) = attributes.get_item(PyString::new(py, name)) else { continue };
        // SAFETY: the type of the object is compared before it is read as a member descriptor; a descriptor's member
        // lives as long as its class, which `class` keeps alive. Both are only read.
        unsafe {
            if ffi::Py_TYPE(found.as_ptr()) != &raw mut ffi::PyMemberDescr_Type {
                return Ok(None);
            }
            let descriptor = found.as_ptr().cast::<MemberDescriptor>();
            let member = (*descriptor).member;
            if member.is_null() || (*descriptor).owner != base.as_type_ptr() || (*member).type_code != OBJECT_SLOT {
                return Ok(None);
            }
            return Ok(Some((*member).offset));
        }
    }
    Ok(None)
}

/// Text of ASCII bytes, which the caller has checked.
#[inline]
pub fn ascii_text<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    debug_assert!(bytes.is_ascii());
    // SAFETY: a new string of this length whose largest character is 127 is a compact ASCII string: its characters, one
    // byte each, follow its head, and nobody else has seen it yet. Empty and one-character strings are shared objects
    // that must not be written to; they, and what memory has no room for, are left to the safe way. ASCII is UTF-8.
    unsafe {
        if bytes.len() > 1 {
            let made = ffi::PyUnicode_New(bytes.len() as ffi::Py_ssize_t, 127);
            if let Some(made) = Bound::from_owned_ptr_or_opt(py, made) {
                let characters = made.as_ptr().cast::<u8>().add(size_of::<ffi::PyASCIIObject>());
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), characters, bytes.len());
                return made.cast_into_unchecked();
            }
        }
        PyString::new(py, std::str::from_utf8_unchecked(bytes))
    }
}

unsafe extern "C" {
    /// Not in the headers for everybody, but exported by every version from 3.11 on, and used by many extensions.
    fn _PyDict_NewPresized(size: ffi::Py_ssize_t) -> *mut ffi::PyObject;
}

/// An empty dict with room for so many entries: one that grows on its way is made twice.
#[inline]
pub fn sized_dict(py: Python<'_>, size: usize) -> Bound<'_, PyDict> {
    /// Up to here a new dict has the room anyway.
    const SMALL: usize = 5;
    /// What one record has said about the next one is no reason for more.
    const LARGE: usize = 1000;
    if size <= SMALL {
        return PyDict::new(py);
    }
    // SAFETY: the call returns a new dict, or null when memory is short, which becomes a panic as everywhere in PyO3.
    unsafe { Bound::from_owned_ptr(py, _PyDict_NewPresized(size.min(LARGE) as ffi::Py_ssize_t)).cast_into_unchecked() }
}
