//! A cell for the state of Python objects: one borrower at a time, refused instead of waited for.
#![expect(unsafe_code, reason = "a lock would cost more than the work it guards; the interpreter lock is one already")]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::pyclass::PyVisit;

/// A value that is reached only with the interpreter lock held, by one borrower at a time.
pub struct Guarded<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a `Hold`, and a `Hold` is made only after `busy` was seen false and set to
// true while the thread held the interpreter lock (both ways of making one ask for a witness of it, and the module
// declares that it needs the lock), so two threads cannot both see false. A thread that releases the lock while it
// keeps a `Hold` leaves `busy` set, and others are refused. The value moves between threads, hence `T: Send`.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Puts a value into a cell.
    pub fn new(value: T) -> Self {
        Guarded { busy: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Borrows the value; `what` names it in the error.
    ///
    /// # Errors
    /// `RuntimeError` when it is borrowed already: a callback of the user came back into the object that called it,
    /// or another thread uses it.
    #[inline]
    pub fn hold(&self, attached: Python<'_>, what: &str) -> PyResult<Hold<'_, T>> {
        self.try_hold(attached).ok_or_else(|| refused(what))
    }

    /// Borrows the value, if nobody has it.
    #[inline]
    pub fn try_hold(&self, _attached: Python<'_>) -> Option<Hold<'_, T>> {
        if self.busy.load(Ordering::Acquire) {
            return None;
        }
        self.busy.store(true, Ordering::Relaxed);
        Some(Hold { cell: self })
    }

    /// Borrows the value for the garbage collector; `None` while somebody else has it, whose references then count
    /// as held from outside.
    pub fn visit(&self, _attached: &PyVisit<'_>) -> Option<Hold<'_, T>> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Hold { cell: self })
    }
}

#[cold]
fn refused(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "{what} is in use: it was called again from one of its own callbacks or from a second thread"
    ))
}

/// The borrowed value of a [`Guarded`].
pub struct Hold<'a, T> {
    cell: &'a Guarded<T>,
}

impl<T> Deref for Hold<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this is the only `Hold` of its cell, see `Guarded`, and it lives as long as the reference.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for Hold<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; `&mut self` makes the reference exclusive.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for Hold<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.busy.store(false, Ordering::Release);
    }
}
