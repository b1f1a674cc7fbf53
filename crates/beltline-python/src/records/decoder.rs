//! The decoder of one class.

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Decodes the values of a topic to instances of one class.
#[pyclass(frozen, module = "beltline._native")]
pub struct RecordDecoder {
    general: Py<PyAny>,
}

impl RecordDecoder {
    /// Decodes bytes that are borrowed from a batch.
    ///
    /// # Errors
    /// What the general decoder raises.
    pub fn decode_borrowed(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        self.general.call1(py, (PyBytes::new(py, bytes),))
    }
}

#[pymethods]
impl RecordDecoder {
    #[new]
    #[pyo3(signature = (record_class, fields, *, recycle, general))]
    fn new(
        record_class: &Bound<'_, PyAny>,
        fields: Vec<(String, String, bool, Py<PyAny>)>,
        recycle: bool,
        general: Py<PyAny>,
    ) -> PyResult<Self> {
        let _ = (record_class, fields, recycle);
        Ok(RecordDecoder { general })
    }

    fn decode(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match value.cast::<PyBytes>() {
            Ok(bytes) => self.decode_borrowed(py, bytes.as_bytes()),
            Err(_) => Err(PyTypeError::new_err(format!("a record is decoded from bytes, not from {value:?}"))),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.general)
    }
}
