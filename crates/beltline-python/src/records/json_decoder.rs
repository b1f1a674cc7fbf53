//! JSON of any shape to dicts, lists and scalars, as `json.loads` makes them.

use beltline_codec::record::{self, Scalar};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString};

use crate::raw::guarded::Guarded;
use crate::raw::numbers;
use crate::raw::slots::sized_dict;
use crate::records::names::Names;
use crate::records::text_cache::{Repeats, TextCache};

/// Objects and arrays that lie deeper are left to the general way.
const MAX_DEPTH: usize = 64;

/// The part that learns.
struct Learned {
    names: Names,
    texts: TextCache,
    /// Entries of the last object at the top.
    size: usize,
}

/// JSON of any shape to dicts, lists and scalars: what ``json.loads`` makes of the same bytes, only sooner.
///
/// Args:
///     general: Decodes whatever the fast way does not take, or raises.
///     special: Objects with this name in them go the general way.
///
/// Signature:
///     __new__(general: Callable[[bytes], Any], *, special: str | None = None) -> JsonDecoder
///     __call__(value: bytes) -> Any
#[pyclass(frozen, module = "beltline._native")]
pub struct JsonDecoder {
    learned: Guarded<Learned>,
    /// An object with this name in it goes the general way.
    special: Option<String>,
    general: Py<PyAny>,
}

/// Makes objects of bytes. `None`, wherever it comes from, leaves the bytes to the general way.
struct Build<'a, 'py> {
    py: Python<'py>,
    bytes: &'a [u8],
    names: &'a mut Names,
    texts: &'a mut TextCache,
    special: Option<&'a str>,
}

/// An object and the place after it.
type Built<'py> = (Bound<'py, PyAny>, usize);

impl<'py> Build<'_, 'py> {
    /// The value at `at`; `name` is the number of the name it goes under.
    #[inline]
    fn value(&mut self, at: usize, depth: usize, name: Option<usize>) -> Option<Built<'py>> {
        match self.bytes.get(at)? {
            b'{' | b'[' if depth == MAX_DEPTH => None,
            b'{' => self.object(at, depth, 0).map(|(dict, end)| (dict.into_any(), end)),
            b'[' => self.array(at, depth, name),
            _ => {
                let (scalar, end) = record::scalar(self.bytes, at)?;
                Some((self.scalar(scalar, name), end))
            }
        }
    }

    #[inline]
    fn scalar(&mut self, scalar: Scalar<'_>, name: Option<usize>) -> Bound<'py, PyAny> {
        let py = self.py;
        match scalar {
            Scalar::Ascii(bytes) => match name.and_then(|name| self.names.repeats(name)) {
                Some(repeats) => self.texts.text(py, bytes, repeats).into_bound(py),
                None => self.texts.text(py, bytes, &mut Repeats::default()).into_bound(py),
            },
            Scalar::Text(text) => PyString::new(py, &text).into_any(),
            Scalar::Int(number) => numbers::int(py, number),
            Scalar::Float(number) => PyFloat::new(py, number).into_any(),
            Scalar::Bool(flag) => PyBool::new(py, flag).to_owned().into_any(),
            Scalar::Null => py.None().into_bound(py),
        }
    }

    fn array(&mut self, at: usize, depth: usize, name: Option<usize>) -> Option<Built<'py>> {
        let list = PyList::empty(self.py);
        let mut at = record::skip_blanks(self.bytes, at + 1);
        if self.bytes.get(at) == Some(&b']') {
            return Some((list.into_any(), at + 1));
        }
        loop {
            let (item, end) = self.value(at, depth + 1, name)?;
            list.append(item).ok()?;
            at = record::skip_blanks(self.bytes, end);
            match self.bytes.get(at)? {
                b',' => at = record::skip_blanks(self.bytes, at + 1),
                b']' => return Some((list.into_any(), at + 1)),
                _ => return None,
            }
        }
    }

    #[inline]
    fn is_special(&self, name: &[u8]) -> bool {
        self.special.is_some_and(|special| special.as_bytes() == name)
    }

    /// The object at `at`, which probably has `size` entries.
    #[inline]
    fn object(&mut self, at: usize, depth: usize, size: usize) -> Option<(Bound<'py, PyDict>, usize)> {
        let dict = sized_dict(self.py, size);
        let mut at = record::skip_blanks(self.bytes, at + 1);
        if self.bytes.get(at) == Some(&b'}') {
            return Some((dict, at + 1));
        }
        loop {
            if self.bytes.get(at) != Some(&b'"') {
                return None;
            }
            let (name, end) = record::scalar(self.bytes, at)?;
            at = record::skip_blanks(self.bytes, end);
            if self.bytes.get(at) != Some(&b':') {
                return None;
            }
            at = record::skip_blanks(self.bytes, at + 1);
            let (name, number) = match &name {
                Scalar::Ascii(name) if !self.is_special(name) => self.names.find(self.py, name),
                Scalar::Text(name) if !self.is_special(name.as_bytes()) => (PyString::new(self.py, name), None),
                _ => return None,
            };
            let (value, end) = self.value(at, depth + 1, number)?;
            dict.set_item(name, value).ok()?;
            at = record::skip_blanks(self.bytes, end);
            match self.bytes.get(at)? {
                b',' => at = record::skip_blanks(self.bytes, at + 1),
                b'}' => return Some((dict, at + 1)),
                _ => return None,
            }
        }
    }
}

impl JsonDecoder {
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

    /// Decodes what it can without calling into Python; `None` leaves it to the general way.
    /// Nothing in here drops a `Py`: see [`crate::step::quick`].
    #[inline]
    pub fn quick<'py>(&self, py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyAny>> {
        let mut learned = self.learned.try_hold(py)?;
        let Learned { names, texts, size } = &mut *learned;
        let mut build = Build { py, bytes, names, texts, special: self.special.as_deref() };
        let at = record::skip_blanks(bytes, 0);
        let (value, end) = if bytes.get(at) == Some(&b'{') {
            let (dict, end) = build.object(at, 0, *size)?;
            *size = dict.len();
            (dict.into_any(), end)
        } else {
            build.value(at, 0, None)?
        };
        (record::skip_blanks(bytes, end) == bytes.len()).then_some(value)
    }
}

#[pymethods]
impl JsonDecoder {
    #[new]
    #[pyo3(signature = (general, *, special = None))]
    fn new(general: Py<PyAny>, special: Option<String>) -> Self {
        let learned = Learned { names: Names::new(), texts: TextCache::new(), size: 0 };
        JsonDecoder { learned: Guarded::new(learned), special, general }
    }

    fn __call__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match value.cast::<PyBytes>() {
            Ok(bytes) => self.decode_borrowed(py, bytes.as_bytes()),
            Err(_) => Err(PyTypeError::new_err(format!("JSON is decoded from bytes, not from {value:?}"))),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.general)
    }
}
