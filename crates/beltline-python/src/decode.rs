//! Bytes of a record to a Python object.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::records::{JsonDecoder, RecordDecoder};

/// How keys or values are decoded.
pub enum Decode {
    /// As `bytes`.
    Bytes,
    /// UTF-8 as `str`.
    Text,
    /// Not at all: always None.
    Skip,
    /// By a class's own decoder.
    Record(Py<RecordDecoder>),
    /// As JSON of any shape.
    Json(Py<JsonDecoder>),
    /// By a function of the user's: bytes in, object out.
    Function(Py<PyAny>),
}

impl Decode {
    /// From what Python passed; `what` names the parameter in errors.
    ///
    /// # Errors
    /// `ValueError` for an unknown kind, `TypeError` for what is neither kind, decoder nor callable.
    pub fn parse(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Decode> {
        if let Ok(kind) = given.cast::<PyString>() {
            return match kind.to_str()? {
                "bytes" => Ok(Decode::Bytes),
                "str" => Ok(Decode::Text),
                "none" => Ok(Decode::Skip),
                other => {
                    Err(PyValueError::new_err(format!("{what}: {other:?} is none of \"bytes\", \"str\" and \"none\"")))
                }
            };
        }
        if let Ok(decoder) = given.cast::<RecordDecoder>() {
            return Ok(Decode::Record(decoder.clone().unbind()));
        }
        if let Ok(decoder) = given.cast::<JsonDecoder>() {
            return Ok(Decode::Json(decoder.clone().unbind()));
        }
        if given.is_callable() {
            return Ok(Decode::Function(given.clone().unbind()));
        }
        let kind = given.get_type().name()?;
        Err(PyTypeError::new_err(format!("{what}: a kind, a decoder or a callable is needed, not {kind}")))
    }

    /// Decodes one key or value; null is None without a call.
    ///
    /// # Errors
    /// Whatever the decoder raises; `UnicodeDecodeError` for text that is not UTF-8.
    #[inline]
    pub fn run(&self, py: Python<'_>, bytes: Option<&[u8]>) -> PyResult<Py<PyAny>> {
        let Some(bytes) = bytes else { return Ok(py.None()) };
        match self {
            Decode::Record(decoder) => decoder.get().decode_borrowed(py, bytes),
            Decode::Json(decoder) => decoder.get().decode_borrowed(py, bytes),
            Decode::Bytes => Ok(PyBytes::new(py, bytes).into_any().unbind()),
            Decode::Text => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(PyString::new(py, text).into_any().unbind()),
                // Let Python say what is wrong, in its own error.
                Err(_) => PyBytes::new(py, bytes).call_method1("decode", ("utf-8",)).map(Bound::unbind),
            },
            Decode::Skip => Ok(py.None()),
            Decode::Function(function) => function.call1(py, (PyBytes::new(py, bytes),)),
        }
    }

    /// As [`Decode::run`], without calling into Python and without dropping a `Py`; `None` leaves it to that.
    #[inline]
    pub fn quick<'py>(&self, py: Python<'py>, bytes: Option<&[u8]>) -> Option<Bound<'py, PyAny>> {
        let Some(bytes) = bytes else { return Some(py.None().into_bound(py)) };
        match self {
            Decode::Record(decoder) => decoder.get().quick(py, bytes),
            Decode::Json(decoder) => decoder.get().quick(py, bytes),
            Decode::Bytes => Some(PyBytes::new(py, bytes).into_any()),
            Decode::Text => std::str::from_utf8(bytes).ok().map(|text| PyString::new(py, text).into_any()),
            Decode::Skip => Some(py.None().into_bound(py)),
            Decode::Function(_) => None,
        }
    }

    /// For the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Decode::Record(decoder) => visit.call(decoder),
            Decode::Json(decoder) => visit.call(decoder),
            Decode::Function(function) => visit.call(function),
            Decode::Bytes | Decode::Text | Decode::Skip => Ok(()),
        }
    }
}
