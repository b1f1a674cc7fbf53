//! A belt on Apache Kafka: from a dict of options to a log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{CoreOptions, Guarantee};
use beltline_kafka::{AccessToken, KafkaLog, KafkaOptions, Patience, TokenSource};
use beltline_log::DataDirectory;
use beltline_types::Result;
use beltline_worker::Local;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::ForPython;

/// What options of ours begin with; all others are librdkafka's.
const OURS: &str = "beltline.";

/// Reads the options that the Python face has made of its settings.
///
/// # Errors
/// `ImproperlyConfigured` for a value that cannot be read.
pub fn options(py: Python<'_>, given: &Bound<'_, PyDict>, core: &CoreOptions) -> PyResult<KafkaOptions> {
    let mut options = KafkaOptions::new("", &*core.group);
    options.guarantee = match core.guarantee {
        Guarantee::AtLeastOnce => beltline_kafka::Guarantee::AtLeastOnce,
        Guarantee::ExactlyOnce => beltline_kafka::Guarantee::ExactlyOnce,
    };
    for (name, value) in given {
        let name: String = name.extract()?;
        match name.strip_prefix(OURS) {
            Some("replication_factor") => options.replication_factor = Some(value.extract()?),
            Some("standby_replicas") => options.keeps_standbys = value.extract::<u32>()? > 0,
            Some("observe") => options.observes = value.extract()?,
            Some("connect_timeout_ms") => options.connect_timeout = Some(Duration::from_millis(value.extract()?)),
            Some("patience") => options.patience = Some(Arc::new(PythonPatience { function: value.unbind() })),
            Some("token") => options.tokens = Some(Arc::new(PythonTokens { function: value.unbind() })),
            Some(_) => {}
            None => options.set(&name, &value.extract::<String>()?).for_python(py)?,
        }
    }
    Ok(options)
}

/// Takes a place in the data directory and connects.
///
/// # Errors
/// What the directory or the brokers say.
pub fn open(mut options: KafkaOptions, directory: &Path, holder: &str) -> Result<Local> {
    let place = DataDirectory::open_place(directory, holder)?;
    // Stable over restarts, so that a worker that comes back ends the transaction it left open.
    options.transactional_id = Some(format!("{}-{}", options.group_id, place.identity()?));
    Ok(Local::with_log(Arc::new(KafkaLog::connect(options)?), place))
}

/// A Python function that hears of the wait for a broker and says whether it is to go on.
struct PythonPatience {
    function: Py<PyAny>,
}

impl Patience for PythonPatience {
    fn goes_on(&self, silence: &str) -> bool {
        // One that fails has nothing to wait for.
        Python::attach(|py| {
            self.function.call1(py, (silence,)).and_then(|goes_on| goes_on.extract(py)).unwrap_or(false)
        })
    }
}

/// A Python function that makes tokens.
struct PythonTokens {
    function: Py<PyAny>,
}

impl TokenSource for PythonTokens {
    fn token(&self) -> std::result::Result<AccessToken, String> {
        Python::attach(|py| {
            let made = self.function.call0(py).and_then(|made| made.extract::<(String, i64, String, Py<PyDict>)>(py));
            match made {
                Ok((_, _, _, extensions)) if !extensions.bind(py).is_empty() => {
                    Err("the function for tokens gave extensions, which are not passed on yet".to_owned())
                }
                Ok((value, expires_at_ms, principal, _)) => Ok(AccessToken { value, expires_at_ms, principal }),
                // Its text may hold the token; the kind of error does not.
                Err(error) => Err(format!("the function for tokens raised {}", error.get_type(py))),
            }
        })
    }
}
