//! One record as Python sees it, with the right to say that it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beltline_engine::Ticket;
use beltline_types::{Batch, RecordView, TopicPartition};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::belt::Belt;
use crate::cursor::Cursor;
use crate::headers;
use crate::raw::context;

/// One record as it lies in its topic, with the right to say that it is done.
///
/// It keeps its whole batch in memory for as long as it lives.
#[pyclass(frozen, module = "beltline._native")]
pub struct Message {
    belt: Py<Belt>,
    batch: Arc<Batch>,
    partition: TopicPartition,
    ticket: Ticket,
    /// Done or given back.
    settled: AtomicBool,
}

impl Message {
    pub fn new(belt: Py<Belt>, batch: Arc<Batch>, partition: TopicPartition, ticket: Ticket) -> Self {
        Message { belt, batch, partition, ticket, settled: AtomicBool::new(false) }
    }

    /// Somebody else has finished the event.
    pub fn settle(&self) -> bool {
        !self.settled.swap(true, Ordering::Relaxed)
    }

    /// What messages call it.
    pub fn address(&self) -> String {
        format!("{}@{}", self.partition, self.ticket.offset())
    }

    fn record(&self) -> RecordView<'_> {
        self.batch.get(self.ticket.index_in_batch())
    }
}

#[pymethods]
impl Message {
    /// The topic it lies in.
    ///
    /// Signature: () -> str
    #[getter]
    fn topic(&self) -> &str {
        &self.partition.topic
    }

    /// The partition of the topic.
    ///
    /// Signature: () -> int
    #[getter]
    fn partition(&self) -> u32 {
        self.partition.partition
    }

    /// Its place in the partition.
    ///
    /// Signature: () -> int
    #[getter]
    fn offset(&self) -> i64 {
        self.ticket.offset()
    }

    /// Seconds since the epoch, as Faust has it.
    ///
    /// Signature: () -> float
    #[getter]
    fn timestamp(&self) -> f64 {
        self.record().timestamp as f64 / 1000.0
    }

    /// Milliseconds since the epoch.
    ///
    /// Signature: () -> int
    #[getter]
    fn timestamp_ms(&self) -> i64 {
        self.record().timestamp
    }

    /// Names and values in the order they were sent in; a name may come twice.
    ///
    /// Signature: () -> list[tuple[str, bytes | None]]
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        headers::to_python(py, self.record().headers())
    }

    /// The bytes of the key.
    ///
    /// Signature: () -> bytes | None
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.record().key.map(|key| PyBytes::new(py, key))
    }

    /// The bytes of the value; None is a tombstone.
    ///
    /// Signature: () -> bytes | None
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.record().value.map(|value| PyBytes::new(py, value))
    }

    /// Whether it was done or given back.
    ///
    /// Signature: () -> bool
    #[getter]
    fn acked(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Whether it was taken back under exactly-once: it is delivered again, and nothing more may be done with it.
    ///
    /// Signature: () -> bool
    #[getter]
    fn taken_back(&self, py: Python<'_>) -> PyResult<bool> {
        let inner = self.belt.get().enter(py)?;
        Ok(inner.core().is_some_and(|core| core.is_taken_back(self.ticket.epoch())))
    }

    /// The running task works on this record from now on: what it writes and sends belongs to it.
    ///
    /// Signature: () -> None
    fn take_up(&self, py: Python<'_>) -> PyResult<()> {
        let cursor = Cursor::of_one(self.partition.partition, &self.ticket, self.address());
        context::set_current(&Bound::new(py, cursor)?).map(drop)
    }

    /// The record is done. Returns False when it was done or given back before.
    ///
    /// Signature: () -> bool
    fn ack(&self, py: Python<'_>) -> PyResult<bool> {
        let mut inner = self.belt.get().enter(py)?;
        if !self.settle() {
            return Ok(false);
        }
        inner.done(self.ticket);
        Ok(true)
    }

    /// The record was not processed and is delivered again. Returns False when it was done or given back before.
    ///
    /// Signature: () -> bool
    fn release(&self, py: Python<'_>) -> PyResult<bool> {
        let mut inner = self.belt.get().enter(py)?;
        if !self.settle() {
            return Ok(false);
        }
        inner.release(self.ticket);
        drop(inner);
        self.belt.get().wake_streams(py)?;
        Ok(true)
    }

    fn __repr__(&self) -> String {
        format!("<Message {}>", self.address())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.belt)
    }
}
