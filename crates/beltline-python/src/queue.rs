//! In-memory source of a stream: what a channel without a topic is.

use std::collections::VecDeque;

use pyo3::exceptions::{PyBufferError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::raw::guarded::{Guarded, Hold};
use crate::sleep;

/// One thing in a queue.
pub struct Item {
    pub value: Py<PyAny>,
    pub key: Py<PyAny>,
    pub event: Option<Py<PyAny>>,
    pub partition: Option<u32>,
}

/// The part of a [`Queue`] that changes.
#[derive(Default)]
pub struct Content {
    items: VecDeque<Item>,
    closed: bool,
    readers: Vec<Py<PyAny>>,
    writers: Vec<Py<PyAny>>,
}

/// What [`Queue::take`] has.
pub enum Taken {
    Item(Item),
    Wait,
    Closed,
}

/// In-memory source of a `Stream`: what a channel without a topic is. Belongs to one event loop's thread.
///
/// Args:
///     maxsize: The most items that may wait; 0 is as many as memory holds.
///
/// Signature:
///     __new__(maxsize: int = 0) -> Queue
#[pyclass(frozen, module = "beltline._native")]
pub struct Queue {
    /// How many items may wait; 0 is as many as memory holds.
    ///
    /// Signature: () -> int
    #[pyo3(get)]
    maxsize: usize,
    content: Guarded<Content>,
}

impl Queue {
    fn hold(&self, py: Python<'_>) -> PyResult<Hold<'_, Content>> {
        self.content.hold(py, "the queue")
    }

    /// The next item; whoever waits for room is woken.
    pub fn take(&self, py: Python<'_>) -> PyResult<Taken> {
        let mut content = self.hold(py)?;
        let Some(item) = content.items.pop_front() else {
            return Ok(if content.closed { Taken::Closed } else { Taken::Wait });
        };
        let writers = std::mem::take(&mut content.writers);
        drop(content);
        if !writers.is_empty() {
            sleep::resolve(py, writers);
        }
        Ok(Taken::Item(item))
    }

    /// Puts an item back that nobody processed.
    pub fn give_back(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        let mut content = self.hold(py)?;
        content.items.push_front(item);
        let readers = std::mem::take(&mut content.readers);
        drop(content);
        sleep::resolve(py, readers);
        Ok(())
    }

    /// Has `future` resolved when something is put in.
    pub fn add_reader(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        self.hold(future.py())?.readers.push(future.clone().unbind());
        Ok(())
    }

    /// The future of a reader that waits no longer.
    pub fn remove_reader(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut content = self.hold(future.py())?;
        let found = content.readers.iter().position(|other| other.is(future));
        let removed = found.map(|index| content.readers.swap_remove(index));
        drop(content);
        drop(removed);
        Ok(())
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (maxsize = 0))]
    fn new(maxsize: usize) -> Self {
        Queue { maxsize, content: Guarded::new(Content::default()) }
    }

    /// Adds an item.
    ///
    /// Args:
    ///     event: What mode ``"events"`` yields and `Stream.current_event` returns.
    ///     partition: The shard that table writes of this item go to; None lets each table key decide.
    ///
    /// Raises:
    ///     BufferError: The queue is full.
    ///     RuntimeError: The queue was closed.
    ///
    /// Signature: (value: Any, key: Any = None, *, event: Any = None, partition: int | None = None) -> None
    #[pyo3(signature = (value, key = None, *, event = None, partition = None))]
    fn put_nowait(
        &self,
        py: Python<'_>,
        value: Py<PyAny>,
        key: Option<Py<PyAny>>,
        event: Option<Py<PyAny>>,
        partition: Option<u32>,
    ) -> PyResult<()> {
        let mut content = self.hold(py)?;
        if content.closed {
            return Err(PyRuntimeError::new_err("the queue was closed; nobody would read what is put in"));
        }
        if self.maxsize > 0 && content.items.len() >= self.maxsize {
            let message = format!("the queue holds {} items, its maxsize; await when_writable() first", self.maxsize);
            return Err(PyBufferError::new_err(message));
        }
        let key = key.unwrap_or_else(|| py.None());
        content.items.push_back(Item { value, key, event, partition });
        let readers = std::mem::take(&mut content.readers);
        drop(content);
        sleep::resolve(py, readers);
        Ok(())
    }

    /// None when there is room; otherwise a future of the running loop that is resolved when there may be.
    ///
    /// Signature: () -> Any | None
    fn when_writable<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let content = self.hold(py)?;
        if self.maxsize == 0 || content.closed || content.items.len() < self.maxsize {
            return Ok(None);
        }
        drop(content);
        let future = sleep::new_future(py)?;
        self.hold(py)?.writers.push(future.clone().unbind());
        Ok(Some(future))
    }

    /// How many items wait.
    ///
    /// Signature: () -> int
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.hold(py)?.items.len())
    }

    /// Whether `close` was called.
    ///
    /// Signature: () -> bool
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.closed)
    }

    /// Streams end after the items that are already in.
    ///
    /// Signature: () -> None
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut content = self.hold(py)?;
        content.closed = true;
        let mut sleeping = std::mem::take(&mut content.readers);
        sleeping.append(&mut content.writers);
        drop(content);
        sleep::resolve(py, sleeping);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(content) = self.content.visit(&visit) else { return Ok(()) };
        for item in &content.items {
            visit.call(&item.value)?;
            visit.call(&item.key)?;
            visit.call(&item.event)?;
        }
        for future in content.readers.iter().chain(&content.writers) {
            visit.call(future)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Ok(mut content) = self.hold(py) {
            let old = std::mem::take(&mut *content);
            drop(content);
            drop(old);
        }
    }
}
