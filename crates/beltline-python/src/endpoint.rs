//! The own endpoint, and that of another process as the command line uses it.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beltline_attach::{AttachOptions, Opened, SharedLog};
use beltline_broker::{BrokerOptions, TlsFiles, Visitor};
use beltline_engine::{CoreOptions, Guarantee, StartFrom};
use beltline_env::{Clock, SystemClock};
use beltline_kafka::StartPolicy;
use beltline_log::SyncPolicy;
use beltline_types::{BatchBuilder, Error, ErrorKind, Result, TopicPartition, encode_headers, partition_of};
use beltline_worker::{Local, Worker};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::ForPython;

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

/// Listens for other processes while the worker lives; gives host and port.
///
/// # Errors
/// See [`beltline_broker::Endpoint::serve`].
pub fn serve(worker: &mut Worker, options: BrokerOptions) -> Result<String> {
    let (log, clock) = (worker.log().clone(), worker.clock().clone());
    let serving = beltline_broker::Endpoint::serve(log, clock, options, worker.directory())?;
    let address = serving.address().to_string();
    worker.accompany(Box::new(serving));
    Ok(address)
}

/// How a shared data directory listens, as Python says it.
pub struct Listening {
    pub broker: BrokerOptions,
    /// Whether a machine that gives no port is an error.
    pub must_listen: bool,
}

impl Listening {
    /// Reads the arguments of `Belt.serve`, and `must_listen` beside them.
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
    let mut options = AttachOptions::new(&core.group);
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

/// Key and value of a record.
type Record<'py> = (Option<Bound<'py, PyBytes>>, Option<Bound<'py, PyBytes>>);

/// Where another process that holds a data directory is reached; connects on first use.
///
/// Every call raises `StorageError` when that process has gone or does not answer, and `ImproperlyConfigured` for what
/// it refuses.
#[pyclass(frozen, module = "beltline._native")]
pub struct Endpoint {
    found: beltline_broker::Endpoint,
    visitor: Mutex<Option<Visitor>>,
}

impl Endpoint {
    fn visit<T: Send>(&self, py: Python<'_>, act: impl Send + FnOnce(&mut Visitor) -> Result<T>) -> PyResult<T> {
        let visit = || {
            let mut visitor = self.visitor.lock().unwrap_or_else(PoisonError::into_inner);
            if visitor.is_none() {
                *visitor = Some(Visitor::connect(&self.found)?);
            }
            visitor.as_mut().map_or_else(|| unreachable!("connected above"), act)
        };
        py.detach(visit).for_python(py)
    }
}

#[pymethods]
impl Endpoint {
    /// Returns the endpoint of a data directory, or None when nobody holds it or its holder does not listen.
    ///
    /// Signature: (directory: str) -> Endpoint | None
    #[staticmethod]
    fn find(py: Python<'_>, directory: &str) -> Option<Endpoint> {
        let found = py.detach(|| beltline_broker::Endpoint::find(Path::new(directory)));
        found.map(|found| Endpoint { found, visitor: Mutex::default() })
    }

    /// Host and port.
    ///
    /// Signature: () -> str
    #[getter]
    fn address(&self) -> String {
        self.found.address.to_string()
    }

    /// The process that listens.
    ///
    /// Signature: () -> int
    #[getter]
    fn pid(&self) -> u32 {
        self.found.pid
    }

    /// Returns names and numbers of partitions.
    ///
    /// Signature: () -> list[tuple[str, int]]
    fn topics(&self, py: Python<'_>) -> PyResult<Vec<(String, u32)>> {
        self.visit(py, Visitor::topics)
    }

    /// Makes a topic unless there is one; returns its number of partitions.
    ///
    /// Signature: (name: str) -> int
    fn make_topic(&self, py: Python<'_>, name: &str) -> PyResult<u32> {
        self.visit(py, |visitor| visitor.make_topic(name))
    }

    /// Appends a record; returns its partition, its offset and its timestamp in milliseconds.
    ///
    /// Args:
    ///     topic: Where it goes.
    ///     partitions: How many the topic has.
    ///     partition: None is the one that the key belongs to.
    ///     key: Key bytes.
    ///     value: Value bytes; None is a tombstone.
    ///     headers: In order.
    ///
    /// Signature: (topic: str, partitions: int, partition: int | None, key: bytes | None, value: bytes | None,
    ///     headers: list[tuple[str, bytes | None]]) -> tuple[int, int, int]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn append(
        &self,
        py: Python<'_>,
        topic: &str,
        partitions: u32,
        partition: Option<u32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Vec<(String, Option<Vec<u8>>)>,
    ) -> PyResult<(u32, i64, i64)> {
        let partition = partition.unwrap_or_else(|| key.map_or(0, |key| partition_of(key, partitions)));
        let timestamp = SystemClock::default().now_ms();
        let headers = encode_headers(headers.iter().map(|(name, value)| (&**name, value.as_deref())));
        let mut records = BatchBuilder::default();
        records.push(key, value, &headers, timestamp);
        let target = TopicPartition::new(topic, partition);
        let offset = self.visit(py, |visitor| visitor.append(&target, &records))?;
        Ok((partition, offset, timestamp))
    }

    /// Returns keys and values from an offset on, some at a time, and the offset to read on from.
    ///
    /// Signature: (topic: str, partition: int, offset: int)
    ///     -> tuple[list[tuple[bytes | None, bytes | None]], int]
    fn read<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        partition: u32,
        offset: i64,
    ) -> PyResult<(Vec<Record<'py>>, i64)> {
        let target = TopicPartition::new(topic, partition);
        let (batch, next) = self.visit(py, |visitor| visitor.read(&target, offset))?;
        let bytes = |part: Option<&[u8]>| part.map(|part| PyBytes::new(py, part));
        Ok((batch.iter().map(|record| (bytes(record.key), bytes(record.value))).collect(), next))
    }
}
