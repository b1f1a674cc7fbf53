//! One reader of topics.

use beltline_engine::SubscriptionId;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::belt::Belt;

/// One reader of topics; many `Stream` objects may share it, each event goes to one of them.
#[pyclass(frozen, module = "beltline._native")]
pub struct Subscription {
    pub belt: Py<Belt>,
    pub id: SubscriptionId,
    /// What `Belt.health` shows it as.
    ///
    /// Signature: () -> str
    #[pyo3(get)]
    name: String,
    /// What it reads.
    ///
    /// Signature: () -> list[str]
    #[pyo3(get)]
    topics: Vec<String>,
}

impl Subscription {
    pub fn new(belt: Py<Belt>, id: SubscriptionId, name: String, topics: Vec<String>) -> Self {
        Subscription { belt, id, name, topics }
    }
}

#[pymethods]
impl Subscription {
    /// Ends its streams; its partitions are fetched no longer. Idempotent.
    ///
    /// Signature: () -> None
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.belt.get().unsubscribe(py, self.id)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.belt)
    }
}
