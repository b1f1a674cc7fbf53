//! From what `Belt.open` was told to a log and a clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::CoreOptions;
use beltline_env::{Clock, ManualClock, SystemClock};
use beltline_log::SyncPolicy;
use beltline_worker::{Local, LocalOptions};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{ForPython, raise};
use crate::kafka;

/// Where a belt is, and by which clock it goes.
pub struct Place<'py> {
    /// None keeps everything in memory.
    pub directory: Option<String>,
    pub sync: SyncPolicy,
    pub manual_clock: bool,
    pub kafka: Option<Bound<'py, PyDict>>,
}

impl Place<'_> {
    /// What cannot be had together.
    fn contradiction(&self) -> Option<&'static str> {
        match &self.directory {
            None if self.kafka.is_some() => Some("a belt on Kafka needs a directory for copies of its tables"),
            Some(_) if self.manual_clock => Some("a clock moved by hand is for belts in memory: directory=None"),
            _ => None,
        }
    }
}

/// Opens the log; the clock is there when it is moved by hand.
///
/// # Errors
/// `ImproperlyConfigured` for what cannot be had together, and what the directory or the brokers say.
pub fn open(py: Python<'_>, place: Place<'_>, options: &CoreOptions) -> PyResult<(Local, Option<Arc<ManualClock>>)> {
    if let Some(contradiction) = place.contradiction() {
        return Err(raise(py, "ImproperlyConfigured", contradiction.to_owned()));
    }
    let Some(directory) = place.directory else {
        let manual = place.manual_clock.then(|| Arc::new(ManualClock::default()));
        let clock: Arc<dyn Clock> = match &manual {
            Some(manual) => manual.clone(),
            None => Arc::new(SystemClock::default()),
        };
        return Ok((Local::in_memory(clock).for_python(py)?, manual));
    };
    let arguments: Vec<String> = py.import("sys")?.getattr("argv")?.extract().unwrap_or_default();
    let (directory, holder, sync) = (Path::new(&directory), arguments.join(" "), place.sync);
    let opened = match place.kafka {
        Some(given) => {
            let given = kafka::options(py, &given, options)?;
            py.detach(|| kafka::open(given, directory, &holder))
        }
        None => py.detach(|| Local::open(directory, &LocalOptions { sync, holder })),
    };
    Ok((opened.for_python(py)?, None))
}

/// When the log reaches the disk, by its name in Python.
///
/// # Errors
/// `ImproperlyConfigured` for another name.
pub fn sync_policy(py: Python<'_>, sync: &str, interval_ms: u64) -> PyResult<SyncPolicy> {
    match sync {
        "always" => Ok(SyncPolicy::Always),
        "interval" => Ok(SyncPolicy::Interval(Duration::from_millis(interval_ms.max(1)))),
        "never" => Ok(SyncPolicy::Never),
        other => Err(raise(
            py,
            "ImproperlyConfigured",
            format!("sync={other:?}: it is one of \"always\", \"interval\" and \"never\""),
        )),
    }
}
