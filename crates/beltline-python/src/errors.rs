//! Rust's errors as the exceptions of `beltline.exceptions`.

use beltline_types::{Error, ErrorKind};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;

use crate::raw::context;

/// The exception for an error: who must act decides about its class.
#[cold]
pub fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let mut message = error.to_string();
    // Only this face knows how its settings are called.
    if error.kind() == ErrorKind::Unauthorized && message.contains("credentials") {
        message.push_str("; see the settings broker_credentials and ssl_context");
    } else if error.kind() == ErrorKind::Unavailable && message.contains("ertificate") {
        message.push_str(
            "; look whether the brokers' certificate has run out and whether cafile= is of the authority that signed it, \
             and the same for certfile= on their side: see the setting ssl_context, or ssl_context= in broker_credentials",
        );
    }
    let name = match error.kind() {
        ErrorKind::Usage | ErrorKind::NotFound | ErrorKind::Unauthorized => "ImproperlyConfigured",
        ErrorKind::Decode => "ValueDecodeError",
        ErrorKind::DataDirectory => "DataDirectoryError",
        ErrorKind::Storage | ErrorKind::Aborted | ErrorKind::Unavailable | ErrorKind::Fenced => "StorageError",
        ErrorKind::Corrupt | ErrorKind::OffsetOutOfRange => "CorruptLogError",
        ErrorKind::Limit => return PyBufferError::new_err(message),
        ErrorKind::Handler | ErrorKind::Internal => return PyRuntimeError::new_err(message),
    };
    raise(py, name, message)
}

/// An exception of `beltline.exceptions` by its name.
#[cold]
pub fn raise(py: Python<'_>, name: &str, message: String) -> PyErr {
    let made = || py.import("beltline.exceptions")?.getattr(name)?.call1((message.clone(),));
    match made() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => {
            let told = PyRuntimeError::new_err(message);
            told.set_cause(py, Some(error));
            told
        }
    }
}

/// What the running task does belongs to an event that was taken back.
#[cold]
pub fn taken_back(py: Python<'_>) -> PyErr {
    let address = || context::current(py)?.map_or(Ok(None), |cursor| cursor.get().address(py));
    let event = match address() {
        Ok(address) => address.unwrap_or_else(|| "the event in hand".to_owned()),
        Err(error) => return error,
    };
    let message = format!(
        "{event} was taken back while its handler worked on it, because its commit was refused or its partition went to \
         another worker; it is delivered again, so nothing more can be sent or written for it here"
    );
    raise(py, "EventTakenBack", message)
}

/// A wait that took too long.
#[cold]
pub fn timed_out(message: String) -> PyErr {
    PyTimeoutError::new_err(message)
}

/// Turns results of the engine into results for Python.
pub trait ForPython<T> {
    /// Maps the error with [`to_python`].
    ///
    /// # Errors
    /// The error, as an exception.
    fn for_python(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> ForPython<T> for beltline_types::Result<T> {
    #[inline]
    fn for_python(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, error))
    }
}
