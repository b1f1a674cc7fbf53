//! The companion of a stream that `await` drives: one object for all events of the stream.
//!
//! It cannot be the stream itself: `for` and `await` call the same slot of a type and expect different things of it.

use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopAsyncIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::raw::guarded::Guarded;
use crate::raw::stop::raise_stop_iteration;
use crate::step::{self, Step};
use crate::stream::Stream;

/// What it is called in errors.
const AWAITER: &str = "the awaiter of a stream";

/// `__next__` was called by the interpreter: a value leaves as `StopIteration`.
const BY_NEXT: u8 = 0;
/// `__next__` was called by `am_send`: a value is returned.
const BY_SEND: u8 = 1;
/// As before, and the value that was returned ends the await.
const RETURNED: u8 = 2;

/// What `Stream.__anext__` returns.
#[pyclass(frozen, module = "beltline._native", name = "StreamAwaiter")]
pub struct Awaiter {
    /// Only from `__anext__` to the event: a stream that nobody awaits must not be kept by its own companion.
    stream: Guarded<Option<Py<Stream>>>,
    called: AtomicU8,
    stop: Guarded<Option<Py<PyAny>>>,
}

impl Awaiter {
    pub fn new() -> Self {
        Awaiter { stream: Guarded::new(None), called: AtomicU8::new(BY_NEXT), stop: Guarded::new(None) }
    }

    /// The stream is asked for an event.
    #[inline]
    pub fn begin(&self, stream: &Bound<'_, Stream>) -> PyResult<()> {
        let before = self.stream.hold(stream.py(), AWAITER)?.replace(stream.clone().unbind());
        drop(before);
        Ok(())
    }

    /// Waits no longer.
    fn give_up(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.stream.hold(py, AWAITER)?.take();
        stream.map_or(Ok(()), |stream| stream.get().stop_waiting(py))
    }

    /// The next `__next__` is called by `am_send`.
    #[cfg(not(Py_3_12))]
    #[inline]
    pub fn expect_send(&self) {
        self.called.store(BY_SEND, Ordering::Relaxed);
    }

    /// Whether the value that `__next__` gave ends the await.
    #[cfg(not(Py_3_12))]
    #[inline]
    pub fn was_return(&self) -> bool {
        self.called.swap(BY_NEXT, Ordering::Relaxed) == RETURNED
    }
}

#[pymethods]
impl Awaiter {
    #[inline]
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let by_send = self.called.load(Ordering::Relaxed) == BY_SEND;
        let stream = self.stream.hold(py, AWAITER)?.take();
        let Some(stream) = stream else {
            return Err(PyRuntimeError::new_err("this was awaited before; ask the stream for the next event"));
        };
        match step::step(stream.bind(py), step::Caller::Await) {
            Ok(Step::Event(value)) if by_send => {
                self.called.store(RETURNED, Ordering::Relaxed);
                Ok(Some(value))
            }
            Ok(Step::Event(value)) => {
                let mut stop = self.stop.hold(py, AWAITER)?;
                raise_stop_iteration(py, &mut stop, value);
                Ok(None)
            }
            Ok(Step::Suspend(value)) => {
                *self.stream.hold(py, AWAITER)? = Some(stream);
                Ok(Some(value))
            }
            Ok(Step::End) => Err(PyStopAsyncIteration::new_err(())),
            Err(error) => Err(error),
        }
    }

    /// As for a generator; the value is of no use here.
    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        self.called.store(BY_NEXT, Ordering::Relaxed);
        self.__next__(py)
    }

    /// Stops waiting and raises: this is how a task is cancelled.
    #[pyo3(signature = (kind, value = None, traceback = None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.give_up(py)?;
        let exception = match (kind.cast::<PyType>(), value) {
            (Err(_), _) => kind.clone(),
            (Ok(_), Some(value)) if value.is_instance_of::<PyBaseException>() => value,
            (Ok(_), Some(value)) if value.is_instance_of::<PyTuple>() => kind.call1(value.cast_into::<PyTuple>()?)?,
            (Ok(_), Some(value)) => kind.call1((value,))?,
            (Ok(_), None) => kind.call0()?,
        };
        if let Some(traceback) = traceback.filter(|traceback| !traceback.is_none()) {
            exception.call_method1("with_traceback", (traceback,))?;
        }
        Err(PyErr::from_value(exception))
    }

    /// Stops waiting; the stream can be asked again.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.give_up(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(stream) = self.stream.visit(&visit) {
            visit.call(&*stream)?;
        }
        if let Some(stop) = self.stop.visit(&visit) {
            visit.call(&*stop)?;
        }
        Ok(())
    }

    fn __clear__(&self) {}
}
