//! The decoder of one class.

use beltline_codec::record::{self, FieldKind, FieldSpec, Outcome, RecordSink, Scalar};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyString, PyType};

use crate::raw::guarded::Guarded;
use crate::raw::numbers;
use crate::raw::slots::{SlotClass, SlotObject};
use crate::records::text_cache::{Repeats, TextCache};

/// The part that learns.
struct Learned {
    codec: record::RecordDecoder,
    texts: TextCache,
    repeats: Vec<Repeats>,
    /// The last two instances: while the consumer's variable still holds the last one, the one before is free.
    spare: [Option<Py<PyAny>>; 2],
}

/// JSON bytes to instances of one class with slots, written by offset.
///
/// Args:
///     record_class: The class whose annotated fields are slots; its constructor is not called.
///     fields: ``(name, kind, required, default)`` in order; kinds are ``str int float bool``, with ``?`` where
///         null is allowed.
///     general: Decodes whatever the fast way does not take, or raises.
///
/// Signature:
///     __new__(record_class: type[Any], fields: Sequence[tuple[str, str, bool, Any]], *,
///         general: Callable[[bytes], Any]) -> RecordDecoder
#[pyclass(frozen, module = "beltline._native")]
pub struct RecordDecoder {
    /// `None`: the class has no slots that can be written by offset, and everything goes the general way.
    class: Option<SlotClass>,
    /// Defaults by field; `None` where the field is required.
    defaults: Vec<Option<Py<PyAny>>>,
    learned: Guarded<Learned>,
    general: Py<PyAny>,
}

/// Writes values into the slots of a new instance.
struct Fill<'a, 'class, 'py> {
    py: Python<'py>,
    object: SlotObject<'py, 'class>,
    texts: &'a mut TextCache,
    repeats: &'a mut [Repeats],
}

impl RecordSink for Fill<'_, '_, '_> {
    #[inline(always)]
    fn field(&mut self, index: usize, value: Scalar<'_>) {
        let py = self.py;
        let value = match value {
            Scalar::Ascii(bytes) => match self.repeats.get_mut(index) {
                Some(repeats) => self.texts.text(py, bytes, repeats),
                None => return,
            },
            Scalar::Text(text) => PyString::new(py, &text).into_any().unbind(),
            Scalar::Int(number) => numbers::int(py, number).unbind(),
            Scalar::Float(number) => PyFloat::new(py, number).into_any().unbind(),
            Scalar::Bool(flag) => PyBool::new(py, flag).to_owned().into_any().unbind(),
            Scalar::Null => py.None(),
        };
        self.object.write(index, value);
    }
}

impl RecordDecoder {
    /// Decodes bytes that are borrowed from a batch.
    ///
    /// # Errors
    /// What the general decoder raises.
    #[inline]
    pub fn decode_borrowed(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
        match self.quick(py, bytes) {
            Some(object) => Ok(object.unbind()),
            None => self.general.call1(py, (PyBytes::new(py, bytes),)),
        }
    }

    /// Decodes what it can without calling into Python; `None` leaves it to the general way, and so does a want of memory.
    /// Nothing in here drops a `Py`: see [`crate::step::quick`].
    #[inline]
    pub fn quick<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyAny>> {
        let class = self.class.as_ref()?;
        // An instance that is given up may run code of the user's: not while anything is held.
        let old = self.learned.try_hold(py)?.spare[0].take();
        let object = match old.and_then(|old| class.reuse(py, old)) {
            Some(object) => object,
            None => class.make(py)?,
        };
        let mut learned = self.learned.try_hold(py)?;
        let Learned { codec, texts, repeats, .. } = &mut *learned;
        let mut fill = Fill { py, object, texts, repeats };
        let outcome = codec.decode(bytes, &mut fill);
        let mut object = fill.object;
        let Outcome::Done { seen } = outcome else {
            drop(learned);
            return None;
        };
        if seen.count_ones() as usize != self.defaults.len() {
            for (index, default) in self.defaults.iter().enumerate().filter(|(index, _)| seen & (1 << index) == 0) {
                object.write(index, default.as_ref().map_or_else(|| py.None(), |default| default.clone_ref(py)));
            }
        }
        let object = object.into_object();
        learned.spare.swap(0, 1);
        let given_up = learned.spare[1].replace(object.clone().unbind());
        drop(learned);
        if let Some(given_up) = given_up {
            given_up.drop_ref(py);
        }
        Some(object)
    }
}

/// A kind as Python names it: `str`, `int?` …
fn parse_kind(name: &str, kind: &str) -> PyResult<(FieldKind, bool)> {
    let (plain, nullable) = kind.strip_suffix('?').map_or((kind, false), |plain| (plain, true));
    let kind = match plain {
        "str" => FieldKind::Text,
        "int" => FieldKind::Int,
        "float" => FieldKind::Float,
        "bool" => FieldKind::Bool,
        other => return Err(PyValueError::new_err(format!("field {name}: there is no kind {other:?}"))),
    };
    Ok((kind, nullable))
}

#[pymethods]
impl RecordDecoder {
    #[new]
    #[pyo3(signature = (record_class, fields, *, general))]
    fn new(
        record_class: &Bound<'_, PyType>,
        fields: Vec<(String, String, bool, Py<PyAny>)>,
        general: Py<PyAny>,
    ) -> PyResult<Self> {
        let names: Vec<String> = fields.iter().map(|(name, ..)| name.clone()).collect();
        let class = SlotClass::of(record_class, &names)?;
        let (mut specs, mut defaults) = (Vec::with_capacity(fields.len()), Vec::with_capacity(fields.len()));
        for (name, kind, required, default) in fields {
            let (kind, nullable) = parse_kind(&name, &kind)?;
            specs.push(FieldSpec { name, kind, nullable, required });
            defaults.push((!required).then_some(default));
        }
        let repeats = vec![Repeats::default(); specs.len()];
        let learned =
            Learned { codec: record::RecordDecoder::new(specs), texts: TextCache::new(), repeats, spare: [None, None] };
        Ok(RecordDecoder { class, defaults, learned: Guarded::new(learned), general })
    }

    /// Whether instances are filled by offset; otherwise everything goes the general way.
    ///
    /// Signature: () -> bool
    #[getter]
    fn is_fast(&self) -> bool {
        self.class.is_some()
    }

    /// Makes an instance; raises what `general` raises.
    ///
    /// Signature: (value: bytes) -> Any
    fn decode(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match value.cast::<PyBytes>() {
            Ok(bytes) => self.decode_borrowed(py, bytes.as_bytes()),
            Err(_) => Err(PyTypeError::new_err(format!("a record is decoded from bytes, not from {value:?}"))),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.general)?;
        if let Some(class) = &self.class {
            visit.call(class.class())?;
        }
        self.defaults.iter().try_for_each(|default| visit.call(default))?;
        let Some(learned) = self.learned.visit(&visit) else { return Ok(()) };
        learned.spare.iter().try_for_each(|instance| visit.call(instance))
    }
}
