//! The encoder of one class.

use beltline_codec::json;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyType};

use crate::raw::slots::SlotClass;

/// What most records need.
const USUAL_BYTES: usize = 256;

/// Instances of one class with slots to JSON bytes, read by offset.
///
/// Args:
///     record_class: The class whose annotated fields are slots.
///     fields: Attributes in order, each with the bytes that stand before its value.
///     end: The bytes after the last value.
///     general: Encodes instances of other classes, and those with anything but text, 64 bit integers, finite
///         floats, truth values and None.
///
/// Signature:
///     __new__(record_class: type[Any], fields: Sequence[tuple[str, bytes]], end: bytes, *,
///         general: Callable[[Any], bytes]) -> RecordEncoder
#[pyclass(frozen, module = "beltline._native")]
pub struct RecordEncoder {
    /// `None`: the class has no slots that can be read by offset, and everything goes the general way.
    class: Option<SlotClass>,
    /// What stands before each value: a brace or a comma, the name, a colon.
    literals: Vec<Vec<u8>>,
    /// What stands after the last value.
    end: Vec<u8>,
    general: Py<PyAny>,
}

impl RecordEncoder {
    /// Writes a record; `None` when it is of another class, or holds something that is no plain scalar.
    pub fn write(&self, record: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Option<()> {
        let class = self.class.as_ref()?;
        for (index, literal) in self.literals.iter().enumerate() {
            out.extend_from_slice(literal);
            write_scalar(out, &class.read(record, index)?)?;
        }
        out.extend_from_slice(&self.end);
        Some(())
    }
}

/// Writes a value as Python's own encoder does; `None` leaves it to that one. Subclasses may have a word for themselves.
fn write_scalar(out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> Option<()> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        // Half a surrogate pair is no UTF-8.
        json::write_string(out, text.to_str().ok()?);
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        let number = number.extract::<f64>().ok().filter(|number| number.is_finite())?;
        json::write_float(out, number);
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        json::write_int(out, number.extract::<i64>().ok()?);
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else {
        return None;
    }
    Some(())
}

#[pymethods]
impl RecordEncoder {
    #[new]
    #[pyo3(signature = (record_class, fields, end, *, general))]
    fn new(
        record_class: &Bound<'_, PyType>,
        fields: Vec<(String, Vec<u8>)>,
        end: Vec<u8>,
        general: Py<PyAny>,
    ) -> PyResult<Self> {
        let (names, literals): (Vec<String>, Vec<Vec<u8>>) = fields.into_iter().unzip();
        let class = SlotClass::of(record_class, &names)?;
        Ok(RecordEncoder { class, literals, end, general })
    }

    /// Makes the bytes; raises what `general` raises.
    ///
    /// Signature: (record: Any) -> bytes
    fn encode(&self, record: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = record.py();
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        match self.write(record, &mut bytes) {
            Some(()) => Ok(PyBytes::new(py, &bytes).into_any().unbind()),
            None => self.general.call1(py, (record,)),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.general)?;
        self.class.as_ref().map_or(Ok(()), |class| visit.call(class.class()))
    }
}
