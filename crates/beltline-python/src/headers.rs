//! Headers between Python and the bytes of a batch.

use beltline_types::{HeaderIter, encode_headers};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMapping, PyString, PyTuple};

/// Encodes headers given as a mapping or as pairs; values are bytes, text, or None.
///
/// # Errors
/// `TypeError` that names the header.
pub fn from_python(headers: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<u8>> {
    let Some(headers) = headers.filter(|headers| !headers.is_none()) else { return Ok(Vec::new()) };
    let pairs = match headers.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => headers.clone(),
    };
    let mut found: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for pair in pairs.try_iter()? {
        let pair = pair?;
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
        let Ok(name) = name.extract::<String>() else {
            return Err(PyTypeError::new_err(format!("the name of a header is text, not {name:?}")));
        };
        let value = if value.is_none() {
            None
        } else if let Ok(bytes) = value.cast::<PyBytes>() {
            Some(bytes.as_bytes().to_vec())
        } else if let Ok(text) = value.cast::<PyString>() {
            Some(text.to_str()?.as_bytes().to_vec())
        } else {
            return Err(PyTypeError::new_err(format!(
                "header {name:?}: the value is bytes, text or None, not {value:?}"
            )));
        };
        found.push((name, value));
    }
    Ok(encode_headers(found.iter().map(|(name, value)| (name.as_str(), value.as_deref()))))
}

/// Headers as a list of pairs.
///
/// # Errors
/// Only when memory is short.
pub fn to_python<'py>(py: Python<'py>, headers: HeaderIter<'_>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (name, value) in headers {
        let value = value.map(|value| PyBytes::new(py, value));
        list.append(PyTuple::new(py, [name.into_pyobject(py)?.into_any(), value.into_pyobject(py)?])?)?;
    }
    Ok(list)
}
