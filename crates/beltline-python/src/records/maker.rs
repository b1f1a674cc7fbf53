//! What stands in the place of a record's constructor.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::raw::construct::call_makers;
use crate::raw::slots::SlotClass;

/// What a class is called with.
pub struct Arguments<'a, 'py> {
    pub positional: &'a [Bound<'py, PyAny>],
    /// Those that have names, in the order of these.
    pub named: &'a [Bound<'py, PyAny>],
    pub names: &'a [Bound<'py, PyAny>],
}

/// Calls of one class with slots, without its constructor: arguments are written by offset.
///
/// Calls of the class come here while the maker stands in its namespace as ``_maker``. Whatever is not plain goes to
/// the constructor all the same, and so does every error.
///
/// Args:
///     record_class: The class whose fields are slots.
///     fields: ``(name, required, default)`` in the order of the constructor's parameters.
///
/// Signature:
///     __new__(record_class: type[Any], fields: Sequence[tuple[str, bool, Any]]) -> RecordMaker
#[pyclass(frozen, module = "beltline._native")]
pub struct RecordMaker {
    /// `None`: the class has no slots that can be written by offset, or is called in a way of its own.
    class: Option<SlotClass>,
    /// Interned, as the names of arguments in code are: the same name is the same object.
    names: Vec<Py<PyString>>,
    /// By field; `None` where an argument is required.
    defaults: Vec<Option<Py<PyAny>>>,
}

impl RecordMaker {
    /// An instance; `None` leaves it to the constructor, which knows what is wrong, or has the patience for names that are
    /// not interned. Nothing in here panics or drops a `Py`.
    #[inline]
    pub fn make<'py>(&self, py: Python<'py>, arguments: &Arguments<'_, 'py>) -> Option<Bound<'py, PyAny>> {
        let Arguments { positional, named, names } = arguments;
        if positional.len() + named.len() > self.names.len() {
            return None;
        }
        let mut made = self.class.as_ref()?.make(py)?;
        for (index, value) in positional.iter().enumerate() {
            made.write(index, value.clone().unbind());
        }
        for (index, (name, value)) in (positional.len()..).zip(names.iter().zip(*named)) {
            let index = self.index_of(name, index)?;
            if !made.is_empty(index) {
                return None;
            }
            made.write(index, value.clone().unbind());
        }
        if positional.len() + named.len() < self.names.len() {
            for (index, default) in self.defaults.iter().enumerate() {
                if made.is_empty(index) {
                    made.write(index, default.as_ref()?.clone_ref(py));
                }
            }
        }
        Some(made.into_object())
    }

    /// The field of a name; mostly arguments come in the order of fields.
    #[inline]
    fn index_of(&self, name: &Bound<'_, PyAny>, guess: usize) -> Option<usize> {
        if self.names.get(guess).is_some_and(|it| it.is(name)) {
            return Some(guess);
        }
        self.names.iter().position(|it| it.is(name))
    }
}

#[pymethods]
impl RecordMaker {
    #[new]
    fn new(record_class: &Bound<'_, PyType>, fields: Vec<(String, bool, Py<PyAny>)>) -> PyResult<Self> {
        let py = record_class.py();
        let names: Vec<String> = fields.iter().map(|(name, ..)| name.clone()).collect();
        let class = SlotClass::of(record_class, &names)?.filter(|_| call_makers(record_class));
        let names = names.iter().map(|name| PyString::intern(py, name).unbind()).collect();
        let defaults = fields.into_iter().map(|(_, required, default)| (!required).then_some(default)).collect();
        Ok(RecordMaker { class, names, defaults })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(class) = &self.class {
            visit.call(class.class())?;
        }
        self.defaults.iter().flatten().try_for_each(|default| visit.call(default))
    }
}
