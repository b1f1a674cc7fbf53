//! Table keys and values between Python and the engine.

use beltline_codec::json;
use beltline_table::{Key, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString};

/// Which values need no call into Python.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// Numbers and text are JSON without a call, everything else goes through the functions.
    Json,
    /// Every value goes through the functions.
    Object,
}

/// How a table's keys and values are written to its changelog.
pub struct Codec {
    pub kind: ValueKind,
    pub key_loads: Option<Py<PyAny>>,
    pub key_dumps: Option<Py<PyAny>>,
    pub value_loads: Option<Py<PyAny>>,
    pub value_dumps: Option<Py<PyAny>>,
}

/// A key on its way into a shard: borrowed from the Python object where it can be.
pub enum Given<'a> {
    Text(&'a str),
    Int(i64),
    Encoded(Bound<'a, PyBytes>),
}

impl Given<'_> {
    /// The key as a shard takes it.
    #[inline]
    pub fn key(&self) -> Key<'_> {
        match self {
            Given::Text(text) => Key::Text(text),
            Given::Int(number) => Key::Int(*number),
            Given::Encoded(bytes) => Key::Encoded(bytes.as_bytes()),
        }
    }

    /// The bytes the same key would have as the key of a record, to see which partition it belongs to.
    pub fn record_key(&self) -> Vec<u8> {
        match self {
            Given::Text(text) => text.as_bytes().to_vec(),
            Given::Int(number) => number.to_string().into_bytes(),
            Given::Encoded(bytes) => bytes.as_bytes().to_vec(),
        }
    }
}

impl Codec {
    /// Takes a key from Python.
    ///
    /// # Errors
    /// `TypeError` for a key nobody can write; what `key_dumps` raises.
    #[inline]
    pub fn key_from<'a>(&self, key: &'a Bound<'_, PyAny>, table: &str) -> PyResult<Given<'a>> {
        if let Ok(text) = key.cast_exact::<PyString>() {
            return match text.to_str() {
                Ok(text) => Ok(Given::Text(text)),
                Err(_) => self.dumped_key(key, table),
            };
        }
        if key.is_exact_instance_of::<PyInt>()
            && let Ok(number) = key.extract::<i64>()
        {
            return Ok(Given::Int(number));
        }
        self.dumped_key(key, table)
    }

    fn dumped_key<'a>(&self, key: &'a Bound<'_, PyAny>, table: &str) -> PyResult<Given<'a>> {
        let py = key.py();
        let Some(dumps) = &self.key_dumps else {
            let kind = key.get_type().name()?;
            let message = format!("table {table}: a key of type {kind} needs key_type or key_serializer on the table");
            return Err(PyTypeError::new_err(message));
        };
        let bytes = dumps.bind(py).call1((key,))?;
        match bytes.cast_into::<PyBytes>() {
            Ok(bytes) => Ok(Given::Encoded(bytes)),
            Err(_) => Err(PyTypeError::new_err(format!("table {table}: the serializer of its keys returned no bytes"))),
        }
    }

    /// Takes a value from Python.
    ///
    /// # Errors
    /// `TypeError` for a value nobody can write; what `value_dumps` raises.
    #[inline]
    pub fn value_from(&self, value: &Bound<'_, PyAny>, table: &str) -> PyResult<Value> {
        if self.kind == ValueKind::Json {
            if value.is_exact_instance_of::<PyInt>()
                && let Ok(number) = value.extract::<i64>()
            {
                return Ok(Value::Int(number));
            }
            if let Ok(number) = value.cast_exact::<PyFloat>() {
                return Ok(Value::Float(number.value()));
            }
            if let Ok(text) = value.cast_exact::<PyString>()
                && let Ok(text) = text.to_str()
            {
                let mut bytes = Vec::new();
                json::write_string(&mut bytes, text);
                return Ok(Value::Encoded(bytes.into_boxed_slice()));
            }
        }
        self.dumped_value(value, table)
    }

    fn dumped_value(&self, value: &Bound<'_, PyAny>, table: &str) -> PyResult<Value> {
        let Some(dumps) = &self.value_dumps else {
            let kind = value.get_type().name()?;
            let message =
                format!("table {table}: a value of type {kind} needs value_type or value_serializer on the table");
            return Err(PyTypeError::new_err(message));
        };
        let bytes = dumps.bind(value.py()).call1((value,))?;
        match bytes.cast::<PyBytes>() {
            Ok(bytes) => Ok(Value::Encoded(Box::from(bytes.as_bytes()))),
            Err(_) => {
                Err(PyTypeError::new_err(format!("table {table}: the serializer of its values returned no bytes")))
            }
        }
    }

    /// A key for Python.
    ///
    /// # Errors
    /// What `key_loads` raises.
    pub fn key_to<'py>(&self, py: Python<'py>, key: &OwnedKey) -> PyResult<Bound<'py, PyAny>> {
        match key {
            OwnedKey::Text(text) => Ok(PyString::new(py, text).into_any()),
            OwnedKey::Int(number) => Ok(number.into_pyobject(py)?.into_any()),
            OwnedKey::Encoded(bytes) => match &self.key_loads {
                Some(loads) => loads.bind(py).call1((PyBytes::new(py, bytes),)),
                None => Ok(PyBytes::new(py, bytes).into_any()),
            },
        }
    }

    /// A value for Python.
    ///
    /// # Errors
    /// What `value_loads` raises; `ValueError` where it is missing.
    #[inline]
    pub fn value_to<'py>(&self, py: Python<'py>, value: &Value, table: &str) -> PyResult<Bound<'py, PyAny>> {
        match value {
            Value::Int(number) => Ok(number.into_pyobject(py)?.into_any()),
            Value::Float(number) => Ok(PyFloat::new(py, *number).into_any()),
            Value::Encoded(bytes) => {
                if self.kind == ValueKind::Json
                    && let Some(text) = json::read_string(bytes)
                {
                    return Ok(PyString::new(py, &text).into_any());
                }
                match &self.value_loads {
                    Some(loads) => loads.bind(py).call1((PyBytes::new(py, bytes),)),
                    None => Err(PyValueError::new_err(format!("table {table}: nobody can read the value {bytes:?}"))),
                }
            }
        }
    }

    /// For the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.key_loads)?;
        visit.call(&self.key_dumps)?;
        visit.call(&self.value_loads)?;
        visit.call(&self.value_dumps)
    }
}

/// A key taken out of a shard.
#[derive(Clone)]
pub enum OwnedKey {
    Text(Box<str>),
    Int(i64),
    Encoded(Box<[u8]>),
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Text(text) => OwnedKey::Text(text.into()),
            Key::Int(number) => OwnedKey::Int(number),
            Key::Encoded(bytes) => OwnedKey::Encoded(bytes.into()),
        }
    }
}
