//! The extension module `beltline._native`: adapts a worker to Python, and nothing else.
//!
//! What it offers is written down in `python/beltline/_native.pyi`, which `make stub` makes of the doc comments in here:
//! those of classes and methods are written for Python, with their types at the end. `tools/native_stub.py` says how.
//!
//! - `belt`: a worker a Python thread turns; `inner` is its changing part, `health` what it says about itself
//! - `stream`, `step`, `awaiter`, `sleep`: iterating over events; `queue` is a source in memory, `decode` makes values
//! - `cursor`: what a task works on, as tables see it
//! - `table`, `table_iterator`, `shard_access`, `known_keys`, `convert`: tables as mappings
//! - `records`: instances of the user's classes
//! - `kafka`: from options to a log on Apache Kafka
//! - `message`, `subscription`, `headers`, `errors`, `fork`, `made`, `waker`: the rest
//! - `endpoint`: the own endpoint, beside a worker and alone; `topic`: how a topic is to be
//! - `last_resort`: the shutdown deadline, for when no Python code can run
//! - `raw`: the only room with `unsafe`

mod awaiter;
mod belt;
mod convert;
mod cursor;
mod decode;
mod delivery;
mod endpoint;
mod errors;
mod fork;
mod headers;
mod health;
mod inner;
mod kafka;
mod known_keys;
mod last_resort;
mod made;
mod message;
mod queue;
mod raw;
mod records;
mod sender;
mod shard_access;
mod sleep;
mod step;
mod stream;
mod subscription;
mod table;
mod table_iterator;
mod topic;
mod waker;

use pyo3::prelude::*;

/// The stream whose event the running task (or thread) works on.
///
/// Signature: () -> Stream[Any] | None
#[pyfunction]
fn current_stream(py: Python<'_>) -> PyResult<Option<Bound<'_, stream::Stream>>> {
    Ok(raw::context::current(py)?.and_then(|cursor| cursor.get().stream(py)))
}

/// The running context becomes that of a task which is made now, in the middle of an event: it belongs to that event
/// until the event is over, and to none afterwards.
///
/// Signature: () -> None
#[pyfunction]
fn stay_within_event(py: Python<'_>) -> PyResult<()> {
    let Some(cursor) = raw::context::current(py)? else { return Ok(()) };
    match cursor::Cursor::within(&cursor) {
        Some(within) => raw::context::set_current(&Bound::new(py, within)?).map(drop),
        None => Ok(()),
    }
}

/// The engine below the Python face: belts, streams, tables and record decoders.
///
/// Nothing here is public; user code imports from ``beltline``. A belt belongs to the thread that started it: every call
/// from another thread raises ``RuntimeError``, except `Belt.send_threadsafe`. After ``fork()`` a belt of the parent is
/// unusable in the child and says so.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<belt::Belt>()?;
    module.add_class::<subscription::Subscription>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<sender::Sender>()?;
    module.add("Stream", raw::stepping::stream_type(py)?)?;
    module.add_class::<message::Message>()?;
    module.add("Table", raw::mapping::table_type(py)?)?;
    module.add_class::<endpoint::LoneEndpoint>()?;
    module.add_class::<last_resort::LastResort>()?;
    module.add_class::<records::RecordDecoder>()?;
    module.add_class::<records::RecordEncoder>()?;
    module.add_class::<records::JsonDecoder>()?;
    module.add_class::<records::RecordMaker>()?;
    module.add_function(wrap_pyfunction!(current_stream, module)?)?;
    module.add_function(wrap_pyfunction!(stay_within_event, module)?)?;
    fork::watch(py)
}
