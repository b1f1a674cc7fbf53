//! The companion of a stream that `await` drives: one object for all events of the stream.
//!
//! It cannot be the stream itself: `for` and `await` call the same slot of a type and expect different things of it. Its
//! slots are written by hand, in `raw::stepping`.

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use crate::made::Made;
use crate::raw::guarded::Guarded;
use crate::raw::stop::raise_stop_iteration;
use crate::step::{self, Step};
use crate::stream::Stream;

/// What it is called in errors.
const AWAITER: &str = "the awaiter of a stream";

/// What `Stream.__anext__` returns.
#[pyclass(frozen, subclass, module = "beltline._native", name = "StreamAwaiterBase")]
pub struct Awaiter {
    made: Made,
    /// Only from `__anext__` to the event: a stream that nobody awaits must not be kept by its own companion.
    stream: Guarded<Option<Py<Stream>>>,
    stop: Guarded<Option<Py<PyAny>>>,
}

impl Awaiter {
    /// The stream is asked for an event.
    pub fn begin(&self, stream: &Bound<'_, Stream>) -> PyResult<()> {
        let before = self.stream.hold(stream.py(), AWAITER)?.replace(stream.clone().unbind());
        drop(before);
        Ok(())
    }

    /// As [`Awaiter::begin`], unless it was begun before.
    #[inline]
    pub fn quick_begin(&self, stream: &Bound<'_, Stream>) -> Option<()> {
        let mut begun = self.stream.try_hold(stream.py())?;
        if begun.is_some() {
            return None;
        }
        *begun = Some(stream.clone().unbind());
        Some(())
    }

    /// The stream that is asked, which is given up with the event.
    #[inline]
    pub fn quick_take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Stream>> {
        self.stream.try_hold(py)?.take().map(|stream| stream.into_bound(py))
    }

    /// One step the whole way. `stream` is what [`Awaiter::quick_take`] gave, `taken` whether it has a record to decode.
    ///
    /// # Errors
    /// What the step raises; `StopAsyncIteration` at the end; `RuntimeError` when nobody asked.
    pub fn go_on(&self, py: Python<'_>, stream: Option<&Bound<'_, Stream>>, taken: bool) -> PyResult<Given> {
        let Some(stream) = stream else {
            // The quick way is refused while the slot is in use, too.
            self.stream.hold(py, AWAITER)?;
            return Err(PyRuntimeError::new_err("this was awaited before; ask the stream for the next event"));
        };
        match step::resume(stream, step::Caller::Await, taken)? {
            Step::Event(value) => Ok(Given::Event(value)),
            Step::Suspend(value) => {
                *self.stream.hold(py, AWAITER)? = Some(stream.clone().unbind());
                Ok(Given::Suspend(value))
            }
            Step::End => Err(PyStopAsyncIteration::new_err(())),
        }
    }

    /// Has an event leave as `StopIteration`; the caller returns null to the interpreter at once.
    #[inline]
    pub fn leave(&self, py: Python<'_>, value: Py<PyAny>) {
        match self.stop.try_hold(py) {
            Some(mut stop) => raise_stop_iteration(py, &mut stop, value),
            None => raise_stop_iteration(py, &mut None, value),
        }
    }

    /// Waits no longer.
    fn give_up(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.stream.hold(py, AWAITER)?.take();
        stream.map_or(Ok(()), |stream| stream.get().stop_waiting(py))
    }
}

/// What an awaiter has for the interpreter.
pub enum Given {
    /// The await ends with this.
    Event(Py<PyAny>),
    /// To be yielded to the event loop.
    Suspend(Py<PyAny>),
}

#[pymethods]
impl Awaiter {
    #[new]
    fn new() -> Self {
        Awaiter { made: Made::new(), stream: Guarded::new(None), stop: Guarded::new(None) }
    }

    /// As for a generator; the value is of no use here.
    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let stream = self.quick_take(py);
        match self.go_on(py, stream.as_ref(), false)? {
            Given::Event(value) => Err(PyStopIteration::new_err((value,))),
            Given::Suspend(value) => Ok(value),
        }
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
        if !self.made.is_finished() {
            return Ok(());
        }
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
