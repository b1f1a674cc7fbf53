//! What the engine says about itself, as plain Python objects.

use beltline_engine::{Health, Pause};
use beltline_types::{Error, ErrorKind, Result, TopicPartition};
use beltline_worker::Worker;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// First and end offset of every partition of a topic.
///
/// # Errors
/// `NotFound` when there is no such topic.
pub fn topic_offsets(worker: &Worker, name: &str) -> Result<Vec<(i64, i64)>> {
    let topic = worker.log().topic(name)?;
    let topic = topic.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no topic {name}")))?;
    let offsets = |partition| {
        let range = worker.log().offsets(&TopicPartition::new(topic.name.clone(), partition))?;
        Ok((range.start, range.end))
    };
    (0..topic.partitions).map(offsets).collect()
}

/// The whole of it; an empty one before the belt is open.
///
/// # Errors
/// Only when memory is short.
pub fn to_python(py: Python<'_>, health: Option<Health>) -> PyResult<Bound<'_, PyDict>> {
    let (all, partitions, tables) = (PyDict::new(py), PyList::empty(py), PyList::empty(py));
    for one in health.iter().flat_map(|health| &health.partitions) {
        let entry = PyDict::new(py);
        entry.set_item("subscription", &*one.subscription)?;
        entry.set_item("topic", &*one.partition.topic)?;
        entry.set_item("partition", one.partition.partition)?;
        entry.set_item("position", one.position)?;
        entry.set_item("committed", one.committed)?;
        entry.set_item("end", one.end)?;
        entry.set_item("in_flight", one.in_flight)?;
        entry.set_item("oldest_in_flight_s", one.oldest_in_flight_age.map(|age| age.as_secs_f64()))?;
        entry.set_item("paused", one.paused.as_ref().map(in_words))?;
        partitions.append(entry)?;
    }
    for one in health.iter().flat_map(|health| &health.tables) {
        let entry = PyDict::new(py);
        entry.set_item("table", &*one.name)?;
        entry.set_item("ready", one.ready)?;
        entry.set_item("partitions", one.partitions)?;
        entry.set_item("done", one.done)?;
        entry.set_item("total", one.total)?;
        tables.append(entry)?;
    }
    all.set_item("partitions", partitions)?;
    all.set_item("tables", tables)?;
    all.set_item("events", health.as_ref().map_or(0, |health| health.counters.finished))?;
    all.set_item("commits", health.as_ref().map_or(0, |health| health.counters.commits))?;
    all.set_item("failure", health.and_then(|health| health.failure))?;
    Ok(all)
}

/// Shards that are not there yet: `(table, partition, records done, records total)`.
///
/// # Errors
/// Only when memory is short.
pub fn recovery(py: Python<'_>, health: Option<Health>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for table in health.iter().flat_map(|health| &health.tables) {
        for (partition, done, total) in &table.restoring {
            list.append((&*table.name, partition, done, total))?;
        }
    }
    Ok(list)
}

fn in_words(pause: &Pause) -> String {
    match pause {
        Pause::Starting => "starting: the committed position is being looked up".to_owned(),
        Pause::Restoring { table, error: None, .. } => format!("table {table} is being restored"),
        Pause::Restoring { .. } | Pause::HandingOver { .. } | Pause::Handler { .. } | Pause::Trouble { .. } => {
            pause.to_string()
        }
        Pause::Draining => "a commit waits for events in flight".to_owned(),
        Pause::DrainOverdue { waited, oldest } => {
            let seconds = waited.as_secs_f64();
            format!("a commit has waited {seconds:.1} s for events in flight, the oldest at offset {oldest:?}")
        }
        Pause::OutboxFull { bytes } => format!("{bytes} bytes of output wait for a commit"),
        Pause::QueueFull { oldest, bytes } => {
            format!("{bytes} bytes are fetched and wait for the event at offset {oldest}, which is not finished")
        }
        Pause::LogError { message, failures } => format!("the log cannot be read ({failures} times): {message}"),
        Pause::Stopping => "stopping".to_owned(),
        Pause::Failed { message } => format!("failed: {message}"),
    }
}
