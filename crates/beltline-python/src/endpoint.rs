//! The own endpoint: beside a worker, and alone.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_attach::{AttachOptions, Opened, SharedLog};
use beltline_broker::{BrokerOptions, TlsFiles};
use beltline_engine::{CoreOptions, Guarantee, StartFrom};
use beltline_kafka::StartPolicy;
use beltline_log::{LogOptions, SyncPolicy};
use beltline_types::{Error, ErrorKind, Result, TopicSpec};
use beltline_worker::Local;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::belt::sync_policy;
use crate::errors::ForPython;
use crate::raw::memory::return_unused;
use crate::topic::{TopicOptions, topic_spec};

/// How to listen, as Python says it; `tls` are certificate and key, `min_session_timeout` is in seconds.
///
/// # Errors
/// `Usage` for a host that this machine does not know, and for a timeout that is none.
pub fn options(
    host: &str,
    port: u16,
    advertised_host: Option<String>,
    token: Option<String>,
    tls: Option<(String, String)>,
    min_session_timeout: Option<f64>,
) -> Result<BrokerOptions> {
    let unknown = || format!("setting endpoint_host: this machine knows no address {host:?}");
    let mut addresses =
        (host, port).to_socket_addrs().map_err(|error| Error::new(ErrorKind::Usage, unknown()).with_source(error))?;
    let address = addresses.next().ok_or_else(|| Error::new(ErrorKind::Usage, unknown()))?;
    let tls = tls.map(|(certificate, key)| TlsFiles { certificate: certificate.into(), key: key.into() });
    let mut options =
        BrokerOptions { address, advertised_host, require_token: token.is_some(), token, tls, ..Default::default() };
    if let Some(seconds) = min_session_timeout {
        options.min_session_timeout = Duration::try_from_secs_f64(seconds)
            .map_err(|error| Error::new(ErrorKind::Usage, format!("setting endpoint_min_session_timeout: {error}")))?;
    }
    Ok(options)
}

/// How a shared data directory listens, as Python says it.
pub struct Listening {
    pub broker: BrokerOptions,
    /// Whether a machine that gives no port is an error.
    pub must_listen: bool,
    /// Neither listens nor becomes a member of the group: for a command that looks or sends and ends.
    pub observes: bool,
}

impl Listening {
    /// Reads a dict with ``host``, ``port``, ``advertised_host``, ``token``, ``tls``, ``must_listen`` and ``observe``.
    ///
    /// # Errors
    /// As [`options`], and for a value of another type.
    pub fn of(given: &Bound<'_, PyDict>) -> PyResult<Listening> {
        fn read<'py, T: FromPyObjectOwned<'py>>(given: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>> {
            given
                .get_item(name)?
                .filter(|value| !value.is_none())
                .map(|value| value.extract().map_err(Into::into))
                .transpose()
        }
        let host: Option<String> = read(given, "host")?;
        let broker = options(
            host.as_deref().unwrap_or("127.0.0.1"),
            read(given, "port")?.unwrap_or(0),
            read(given, "advertised_host")?,
            read(given, "token")?,
            read(given, "tls")?,
            read(given, "min_session_timeout")?,
        );
        Ok(Listening {
            broker: broker.for_python(given.py())?,
            must_listen: read(given, "must_listen")?.unwrap_or(true),
            observes: read(given, "observe")?.unwrap_or(false),
        })
    }
}

/// Opens the log of a data directory whoever holds it, see [`beltline_attach::open`].
///
/// # Errors
/// What the directory, its holder or the port say.
pub fn share(
    directory: &Path,
    listening: Listening,
    sync: SyncPolicy,
    holder: String,
    core: &CoreOptions,
) -> Result<Shared> {
    let options = if listening.observes { AttachOptions::observing } else { AttachOptions::new };
    let mut options = options(&core.group);
    (options.holder, options.sync) = (holder, sync);
    (options.endpoint, options.must_listen) = (listening.broker, listening.must_listen);
    options.kafka.guarantee = match core.guarantee {
        Guarantee::AtLeastOnce => beltline_kafka::Guarantee::AtLeastOnce,
        Guarantee::ExactlyOnce => beltline_kafka::Guarantee::ExactlyOnce,
    };
    options.kafka.start = match core.start {
        StartFrom::Earliest => StartPolicy::Earliest,
        StartFrom::Latest => StartPolicy::Latest,
    };
    let Opened { log, store_path, place } = beltline_attach::open(directory, options)?;
    Ok(Shared { local: Local::with_store(log.clone(), store_path, place), log })
}

/// What [`share`] gives: the log, and what a worker is made of.
pub struct Shared {
    pub local: Local,
    pub log: Arc<SharedLog>,
}

/// The endpoint of a data directory in a process where nothing else runs: it listens from its making to `close`.
///
/// Args:
///     directory: The data directory; it is made when it is missing.
///     holder: What other processes are told about this one.
///     sync: When the log reaches the disk itself, see `Belt.open`.
///     sync_interval_ms: Beside ``interval``.
///     topics: Name, partitions and the options of `Belt.declare_topic` in their order; one that exists stays as it is.
///     endpoint: How to listen, see `Belt.open`.
///
/// Raises:
///     DataDirectoryError: Another process holds it, or it is foreign, read-only or of a newer format.
///     ImproperlyConfigured: The port is taken, the address is open to other machines without token and TLS, or a topic
///         cannot be.
///
/// Signature:
///     __new__(directory: str, holder: str, *, sync: Literal["always", "interval", "never"], sync_interval_ms: int,
///         topics: Sequence[tuple[str, int, tuple[Any, ...]]], endpoint: dict[str, Any]) -> LoneEndpoint
#[pyclass(frozen, module = "beltline._native")]
pub struct LoneEndpoint {
    address: String,
    notice: Option<String>,
    endpoint: Mutex<Option<beltline_broker::LoneEndpoint>>,
}

impl LoneEndpoint {
    fn endpoint(&self) -> MutexGuard<'_, Option<beltline_broker::LoneEndpoint>> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl LoneEndpoint {
    #[new]
    #[pyo3(signature = (directory, holder, *, sync, sync_interval_ms, topics, endpoint))]
    fn new(
        py: Python<'_>,
        directory: &str,
        holder: &str,
        sync: &str,
        sync_interval_ms: u64,
        topics: Vec<(String, u32, TopicOptions)>,
        endpoint: &Bound<'_, PyDict>,
    ) -> PyResult<LoneEndpoint> {
        let log = LogOptions { sync: sync_policy(py, sync, sync_interval_ms)?, ..LogOptions::default() };
        let broker = Listening::of(endpoint)?.broker;
        let topics: Vec<TopicSpec> =
            topics.into_iter().map(|(name, partitions, options)| topic_spec(name, partitions, options)).collect();
        let start = || beltline_broker::LoneEndpoint::start(Path::new(directory), holder, log, &topics, broker);
        let started = py.detach(start).for_python(py)?;
        let (address, notice) = (started.address().to_string(), started.notice().map(str::to_owned));
        Ok(LoneEndpoint { address, notice, endpoint: Mutex::new(Some(started)) })
    }

    /// Host and port.
    ///
    /// Signature: () -> str
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// What opening the log had to repair.
    ///
    /// Signature: () -> str | None
    #[getter]
    fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Does what is to be done every few seconds: retention, compaction, giving memory back that nobody uses.
    ///
    /// Raises:
    ///     StorageError: What the disk says; the next call tries again.
    ///
    /// Signature: () -> None
    fn tidy(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let tidied = self.endpoint().as_ref().map_or(Ok(()), beltline_broker::LoneEndpoint::tidy);
            return_unused();
            tidied
        })
        .for_python(py)
    }

    /// Closes the port and the log. Idempotent.
    ///
    /// Raises:
    ///     StorageError: What the disk says.
    ///
    /// Signature: () -> None
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let taken = self.endpoint().take();
            taken.map_or(Ok(()), beltline_broker::LoneEndpoint::close)
        })
        .for_python(py)
    }
}
