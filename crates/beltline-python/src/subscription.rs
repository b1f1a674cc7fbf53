//! One reader of topics.

use beltline_engine::{Core, SubscriptionId, TopicId};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::belt::Belt;
use crate::errors::{ForPython, raise, to_python};

/// The ids of topics that were declared.
///
/// # Errors
/// `ImproperlyConfigured` for one that was not.
pub fn known_topics(py: Python<'_>, core: &Core, reader: &str, topics: &[String]) -> PyResult<Vec<TopicId>> {
    let known = |topic: &String| {
        core.topic_id(topic).ok_or_else(|| {
            let message = format!("{reader} reads topic {topic}, which was not declared");
            raise(py, "ImproperlyConfigured", message)
        })
    };
    topics.iter().map(known).collect()
}

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
}

impl Subscription {
    pub fn new(belt: Py<Belt>, id: SubscriptionId, name: String) -> Self {
        Subscription { belt, id, name }
    }
}

#[pymethods]
impl Subscription {
    /// What it reads.
    ///
    /// Signature: () -> list[str]
    #[getter]
    fn topics(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let inner = self.belt.get().enter(py)?;
        let Some(core) = inner.core() else { return Ok(Vec::new()) };
        Ok(core.topics_of(self.id).map(|topic| topic.name.to_string()).collect())
    }

    /// Lets it go on when a topic of it does not exist any more, as one of a pattern does.
    ///
    /// Signature: () -> None
    fn loosen(&self, py: Python<'_>) -> PyResult<()> {
        self.belt.get().enter(py)?.core_mut().for_python(py)?.loosen(self.id);
        Ok(())
    }

    /// Reads more topics from now on, without a position of the group from their first record.
    ///
    /// Args:
    ///     topics: Declared before; those that it reads already stay as they are.
    ///
    /// Raises:
    ///     ImproperlyConfigured: A topic that was not declared, or one that does not fit a table.
    ///
    /// Signature: (topics: Sequence[str]) -> None
    fn extend(&self, py: Python<'_>, topics: Vec<String>) -> PyResult<()> {
        let belt = self.belt.get();
        let mut inner = belt.enter(py)?;
        let core = inner.core_mut().for_python(py)?;
        let ids = known_topics(py, core, &self.name, &topics)?;
        core.extend(self.id, &ids).for_python(py)?;
        if let Some(error) = core.misfit() {
            return Err(to_python(py, error));
        }
        drop(inner);
        belt.shared.waker.wake();
        Ok(())
    }

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
