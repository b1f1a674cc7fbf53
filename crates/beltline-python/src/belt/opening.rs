//! From what `Belt.open` was told to a log and a clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beltline_attach::SharedLog;
use beltline_engine::CoreOptions;
use beltline_env::{Clock, ManualClock, SystemClock};
use beltline_log::SyncPolicy;
use beltline_types::Result;
use beltline_worker::{Local, LocalOptions};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::endpoint::{self, Listening, Shared};
use crate::errors::{ForPython, raise};
use crate::kafka;

/// Where a belt is, and by which clock it goes.
pub struct Place<'py> {
    /// None keeps everything in memory.
    pub directory: Option<String>,
    pub sync: SyncPolicy,
    pub manual_clock: bool,
    /// None wants the directory alone.
    pub endpoint: Option<Listening>,
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

/// A log that is open, and what a worker is made of.
pub struct Opening {
    pub local: Local,
    /// There when it is moved by hand.
    pub clock: Option<Arc<ManualClock>>,
    /// There when the directory is shared.
    pub sharing: Option<Arc<SharedLog>>,
}

impl From<Local> for Opening {
    fn from(local: Local) -> Opening {
        Opening { local, clock: None, sharing: None }
    }
}

impl From<Shared> for Opening {
    fn from(shared: Shared) -> Opening {
        Opening { local: shared.local, clock: None, sharing: Some(shared.log) }
    }
}

/// Opens the log.
///
/// # Errors
/// `ImproperlyConfigured` for what cannot be had together, and what the directory or the brokers say.
pub fn open(py: Python<'_>, place: Place<'_>, options: &CoreOptions) -> PyResult<Opening> {
    if let Some(contradiction) = place.contradiction() {
        return Err(raise(py, "ImproperlyConfigured", contradiction.to_owned()));
    }
    let Some(directory) = place.directory else {
        let manual = place.manual_clock.then(|| Arc::new(ManualClock::default()));
        let clock: Arc<dyn Clock> = match &manual {
            Some(manual) => manual.clone(),
            None => Arc::new(SystemClock::default()),
        };
        return Ok(Opening { local: Local::in_memory(clock).for_python(py)?, clock: manual, sharing: None });
    };
    let arguments: Vec<String> = py.import("sys")?.getattr("argv")?.extract().unwrap_or_default();
    let (directory, holder, sync) = (Path::new(&directory), arguments.join(" "), place.sync);
    let opened: Result<Opening> = match (place.kafka, place.endpoint) {
        (Some(given), _) => {
            let given = kafka::options(py, &given, options)?;
            py.detach(|| kafka::open(given, directory, &holder)).map(Opening::from)
        }
        (None, None) => py.detach(|| Local::open(directory, &LocalOptions { sync, holder })).map(Opening::from),
        (None, Some(listening)) => {
            py.detach(|| endpoint::share(directory, listening, sync, holder, options)).map(Opening::from)
        }
    };
    opened.for_python(py)
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
