//! The belt: a worker that a Python thread turns.
//!
//! - `opening`: takes the data directory or connects to Kafka, as `open` was told
//! - `entry`: how the rest of this crate takes a belt in hand

mod entry;
mod opening;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beltline_attach::Closing;
use beltline_engine::{Core, CoreOptions, Guarantee, StartFrom, TableId, TableSpec};
use beltline_table::ValueForm;
use beltline_types::TopicSpec;
use beltline_worker::Waker;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

pub use self::opening::sync_policy;
use self::opening::{Opening, Place};
use crate::delivery::Receiver;
use crate::endpoint;
use crate::errors::{ForPython, raise, taken_back};
use crate::inner::{Inner, Outgoing, Record, Shared};
use crate::raw::context;
use crate::raw::guarded::Guarded;
use crate::raw::thread::current_thread;
use crate::subscription::{Subscription, known_topics};
use crate::table::Table;
use crate::topic::topic_spec;
use crate::waker::LoopWaker;
use crate::{fork, headers, health, sleep};

/// One worker: log, engine core, tables and commit units, turned by the thread that called `start`.
///
/// Order of life: ``Belt()``, `open`, `declare_topic`, `subscribe` and `attach_table`, `start`, then `turn` whenever
/// `fileno` is readable, at last `stop`. Topics, subscriptions and tables may be added after `start` too.
///
/// Making one does no I/O.
///
/// Args:
///     app_id: The group whose offsets this belt moves.
///     guarantee: Whether outputs, tables and offsets may be seen only together.
///     commit_interval_ms: Longest time between two commits; the engine's default depends on the guarantee.
///     commit_bytes: A commit starts when the outbox holds this much.
///     commit_events: A commit starts after this many finished events.
///     drain_deadline_ms: How long an exactly-once commit waits for events in flight before it rewinds them.
///     hand_over_deadline_ms: How long events of a partition that others are to get may take to finish; then they are
///         given away with it.
///     stall_timeout_ms: A partition with records to read that has not advanced for so long is called stalled.
///     queue_bytes: Fetched and not yet handed out, per partition.
///     fetch_max_bytes: One fetch of one partition.
///     outbox_bytes: Unsent output; above it no event is handed out and `send` raises ``BufferError``.
///     start_from: Where a partition without a committed offset begins.
///
/// Signature:
///     __new__(app_id: str, *, guarantee: Guarantee = "at_least_once", commit_interval_ms: int | None = None,
///         commit_bytes: int | None = None, commit_events: int | None = None, drain_deadline_ms: int | None = None,
///         hand_over_deadline_ms: int | None = None, stall_timeout_ms: int | None = None,
///         queue_bytes: int | None = None, fetch_max_bytes: int | None = None, outbox_bytes: int | None = None,
///         start_from: StartFrom = "earliest") -> Belt
#[pyclass(frozen, module = "beltline._native", weakref)]
pub struct Belt {
    /// The group whose offsets this belt moves.
    ///
    /// Signature: () -> str
    #[pyo3(get)]
    app_id: String,
    inner: Guarded<Inner>,
    pub shared: Arc<Shared>,
    /// Name of the thread that started it; 0 before.
    owner: AtomicUsize,
    made_in: u32,
}

fn duration_of(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyValueError::new_err(format!("{what}={value}: seconds from 0 up are wanted")))
}

#[pymethods]
impl Belt {
    #[new]
    #[pyo3(signature = (
        app_id, *, guarantee = "at_least_once", commit_interval_ms = None, commit_bytes = None, commit_events = None,
        drain_deadline_ms = None, hand_over_deadline_ms = None, stall_timeout_ms = None, queue_bytes = None,
        fetch_max_bytes = None, outbox_bytes = None, start_from = "earliest"
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        app_id: String,
        guarantee: &str,
        commit_interval_ms: Option<u64>,
        commit_bytes: Option<usize>,
        commit_events: Option<u64>,
        drain_deadline_ms: Option<u64>,
        hand_over_deadline_ms: Option<u64>,
        stall_timeout_ms: Option<u64>,
        queue_bytes: Option<usize>,
        fetch_max_bytes: Option<usize>,
        outbox_bytes: Option<usize>,
        start_from: &str,
    ) -> PyResult<Self> {
        let refused = |message: String| raise(py, "ImproperlyConfigured", message);
        let defaults = CoreOptions::default();
        let options = CoreOptions {
            group: Arc::from(app_id.as_str()),
            guarantee: match guarantee {
                "at_least_once" => Guarantee::AtLeastOnce,
                "exactly_once" => Guarantee::ExactlyOnce,
                other => return Err(refused(format!("guarantee={other:?} is none of at_least_once and exactly_once"))),
            },
            commit_interval_ms,
            commit_bytes: commit_bytes.unwrap_or(defaults.commit_bytes),
            commit_events: commit_events.unwrap_or(defaults.commit_events),
            drain_deadline_ms: drain_deadline_ms.unwrap_or(defaults.drain_deadline_ms),
            hand_over_deadline_ms: hand_over_deadline_ms.unwrap_or(defaults.hand_over_deadline_ms),
            stall_timeout_ms: stall_timeout_ms.unwrap_or(defaults.stall_timeout_ms),
            queue_bytes: queue_bytes.unwrap_or(defaults.queue_bytes),
            fetch_max_bytes: fetch_max_bytes.unwrap_or(defaults.fetch_max_bytes),
            outbox_bytes: outbox_bytes.unwrap_or(defaults.outbox_bytes),
            start: match start_from {
                "earliest" => StartFrom::Earliest,
                "latest" => StartFrom::Latest,
                other => return Err(refused(format!("start_from={other:?} is none of earliest and latest"))),
            },
        };
        let shared = Arc::new(Shared::new(LoopWaker::new()?));
        let inner = Guarded::new(Inner::new(options));
        Ok(Belt { app_id, inner, shared, owner: AtomicUsize::new(0), made_in: fork::generation() })
    }

    /// Whether `start` succeeded and `stop` was not called.
    ///
    /// Signature: () -> bool
    #[getter]
    fn is_started(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.owner.load(Ordering::Relaxed) != 0 && self.enter(py)?.worker.is_some())
    }

    /// Takes the data directory and opens its log and store; ``None`` keeps everything in memory.
    ///
    /// Args:
    ///     directory: The data directory, made when missing; a second process on it gets ``DataDirectoryError``.
    ///     sync: When the log reaches the disk itself: with every commit, every `sync_interval_ms`, or when the
    ///         operating system likes. A killed process loses nothing with any of them, a power failure may.
    ///     manual_clock: Time stands still until `advance`; only with ``directory=None``.
    ///     endpoint: Share the directory: serve its log, or attach to the process that does and take its place when it
    ///         ends. ``None`` wants the directory alone. All of these may be left out: ``port`` (0 takes a free one),
    ///         ``host`` to listen on, ``advertised_host`` that clients are told, ``token`` that they must say as the
    ///         password of SASL PLAIN, ``tls`` with the files of a certificate and its key in PEM; ``must_listen``,
    ///         False where a machine that gives no port is no error; ``observe``, True for one who only looks or
    ///         sends: it neither listens nor becomes a member of the group.
    ///     kafka: Options by librdkafka's names, with the prefix ``consumer.`` or ``producer.`` for one of the two, and
    ///         with the prefix ``beltline.`` for ours: the belt is there, and the directory has copies of tables only.
    ///
    /// Raises:
    ///     DataDirectoryError: The directory is held by a process that does not answer or is not to be shared with,
    ///         foreign, read-only, or of a newer format.
    ///     ImproperlyConfigured: The port is taken, the address is open to other machines without token and TLS, or the
    ///         files for TLS are none.
    ///     CorruptLogError: The log's own index makes no sense.
    ///
    /// Signature: (*, directory: str | None, sync: Literal["always", "interval", "never"] = "interval",
    ///     sync_interval_ms: int = 1000, manual_clock: bool = False, endpoint: dict[str, Any] | None = None,
    ///     kafka: dict[str, Any] | None = None) -> None
    #[pyo3(signature = (
        *, directory, sync = "interval", sync_interval_ms = 1000, manual_clock = false, endpoint = None, kafka = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn open(
        &self,
        py: Python<'_>,
        directory: Option<String>,
        sync: &str,
        sync_interval_ms: u64,
        manual_clock: bool,
        endpoint: Option<Bound<'_, PyDict>>,
        kafka: Option<Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let sync = opening::sync_policy(py, sync, sync_interval_ms)?;
        let endpoint = endpoint.map(|given| endpoint::Listening::of(&given)).transpose()?;
        let place = Place { directory, sync, manual_clock, endpoint, kafka };
        let mut inner = self.enter(py)?;
        if inner.core().is_some() {
            return Err(raise(py, "ImproperlyConfigured", "the belt was opened before; make a new one".to_owned()));
        }
        let waker_shared = self.shared.clone();
        let waker: Waker = Arc::new(move || waker_shared.waker.wake());
        let options = inner.options.clone();
        let Opening { local, clock, sharing } = opening::open(py, place, &options)?;
        let mut worker = local.into_worker(options, waker).for_python(py)?;
        if let Some(log) = sharing {
            inner.sharing = Arc::downgrade(&log);
            worker.accompany(Box::new(Closing(log)));
        }
        inner.worker = Some(worker);
        inner.clock = clock;
        Ok(())
    }

    /// Returns where the endpoint of a shared directory listens, and the process that holds the directory; None for
    /// an endpoint that is not there, and for a holder that is this process.
    ///
    /// Signature: () -> tuple[str | None, str | None]
    fn endpoint(&self, py: Python<'_>) -> PyResult<(Option<String>, Option<String>)> {
        let Some(log) = self.enter(py)?.sharing.upgrade() else { return Ok((None, None)) };
        Ok((log.address().map(|address| address.to_string()), log.holder()))
    }

    /// Creates the topic if it does not exist; returns the partitions it really has.
    ///
    /// Args:
    ///     append_time: Records carry the time of the append, whatever their sender says.
    ///     config: Further options by Kafka's names; the embedded log has no use for them.
    ///
    /// Raises:
    ///     ImproperlyConfigured: A name Kafka would refuse, or no partitions.
    ///
    /// Signature: (name: str, partitions: int, *, compacted: bool = False, retention_ms: int | None = None,
    ///     retention_bytes: int | None = None, append_time: bool = False,
    ///     config: list[tuple[str, str]] | None = None) -> int
    #[pyo3(signature = (
        name, partitions, *, compacted = false, retention_ms = None, retention_bytes = None, append_time = false,
        config = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "by name, as a topic has that many options")]
    fn declare_topic(
        &self,
        py: Python<'_>,
        name: String,
        partitions: u32,
        compacted: bool,
        retention_ms: Option<i64>,
        retention_bytes: Option<u64>,
        append_time: bool,
        config: Option<Vec<(String, String)>>,
    ) -> PyResult<u32> {
        let mut inner = self.enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        let options = (compacted, retention_ms, retention_bytes, append_time, config.unwrap_or_default());
        let spec = topic_spec(name, partitions, options);
        let id = py.detach(|| worker.declare_topic(spec)).for_python(py)?;
        Ok(worker.core.topic(id).map_or(partitions, |topic| topic.partitions))
    }

    /// Makes a topic known without creating it: one that a pattern has found, or one that is missing.
    ///
    /// Signature: (name: str, partitions: int) -> None
    fn expect_topic(&self, py: Python<'_>, name: String, partitions: u32) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        inner.core_mut().for_python(py)?.add_topic(TopicSpec::new(name, partitions));
        Ok(())
    }

    /// Every topic of the log with its number of partitions, by name.
    ///
    /// Signature: () -> list[tuple[str, int]]
    fn topics(&self, py: Python<'_>) -> PyResult<Vec<(String, u32)>> {
        let mut inner = self.enter(py)?;
        let topics = inner.worker_mut().and_then(|worker| worker.log().topics()).for_python(py)?;
        Ok(topics.into_iter().map(|topic| (topic.name.to_string(), topic.partitions)).collect())
    }

    /// Has the log looked through every so often for topics and partitions that come up; see `topics_seen`.
    ///
    /// Signature: (interval_s: float) -> None
    fn survey_topics(&self, py: Python<'_>, interval_s: f64) -> PyResult<()> {
        let interval = duration_of(interval_s, "interval_s")?;
        self.enter(py)?.worker_mut().for_python(py)?.survey_topics(interval).for_python(py)
    }

    /// A number that is another one whenever `topics_seen` is.
    ///
    /// Signature: () -> int
    fn topics_version(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.enter(py)?.core().map_or(0, Core::topics_version))
    }

    /// Every topic with its partitions when the log was last looked through; empty before the first time.
    ///
    /// Signature: () -> list[tuple[str, int]]
    fn topics_seen(&self, py: Python<'_>) -> PyResult<Vec<(String, u32)>> {
        let inner = self.enter(py)?;
        let seen = inner.core().map_or(&[][..], Core::topics_seen);
        Ok(seen.iter().map(|topic| (topic.name.to_string(), topic.partitions)).collect())
    }

    /// First and end offset of every partition of a topic.
    ///
    /// Raises:
    ///     ImproperlyConfigured: There is no such topic.
    ///
    /// Signature: (name: str) -> list[tuple[int, int]]
    fn topic_offsets(&self, py: Python<'_>, name: &str) -> PyResult<Vec<(i64, i64)>> {
        let mut inner = self.enter(py)?;
        health::topic_offsets(inner.worker_mut().for_python(py)?, name).for_python(py)
    }

    /// Opens a reader of declared topics; each subscription sees every record.
    ///
    /// Args:
    ///     name: Shown in `health`, e.g. the agent's name.
    ///     topics: Declared before; see `Subscription.extend` for more of them later.
    ///     tables: Attached before, those that the events are written to, to find out whether the partitions fit; None
    ///         when that is not known.
    ///
    /// Raises:
    ///     ImproperlyConfigured: A topic that was not declared, named in the message.
    ///
    /// Signature: (name: str, topics: Sequence[str], tables: Sequence[str] | None = None) -> Subscription
    #[pyo3(signature = (name, topics, tables = None))]
    fn subscribe(
        slf: &Bound<'_, Self>,
        name: String,
        topics: Vec<String>,
        tables: Option<Vec<String>>,
    ) -> PyResult<Subscription> {
        let py = slf.py();
        let mut inner = slf.get().enter(py)?;
        let core = inner.core_mut().for_python(py)?;
        let ids = known_topics(py, core, &name, &topics)?;
        let id = core.subscribe(&name, &ids).for_python(py)?;
        if let Some(tables) = tables {
            let named = core.tables().filter(|(_, spec)| tables.iter().any(|table| **table == *spec.name));
            let tables: Vec<TableId> = named.map(|(id, _)| id).collect();
            core.couple(id, &tables);
        }
        Ok(Subscription::new(slf.clone().unbind(), id, name))
    }

    /// Gives a table its shards; `changelog` was declared with as many partitions. A table has one belt at a time.
    ///
    /// Raises:
    ///     ImproperlyConfigured: The table already belongs to another belt, or the changelog was not declared.
    ///
    /// Signature: (table: Table[Any, Any], changelog: str, partitions: int) -> None
    fn attach_table(
        slf: &Bound<'_, Self>,
        table: &Bound<'_, Table>,
        changelog: String,
        partitions: u32,
    ) -> PyResult<()> {
        let py = slf.py();
        let values = if table.get().is_opaque() { ValueForm::Opaque } else { ValueForm::Json };
        let name = Arc::from(table.get().table_name());
        let spec = TableSpec { name, changelog: Arc::from(changelog.as_str()), partitions, values };
        let mut inner = slf.get().enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        let id = py.detach(|| worker.add_table(spec)).for_python(py)?;
        drop(inner);
        table.get().attach(py, slf.clone().unbind(), id, changelog, partitions)
    }

    /// Starts the log and store threads; from now on the belt belongs to the calling thread.
    ///
    /// Signature: () -> None
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        py.detach(|| worker.start()).for_python(py)?;
        self.owner.store(current_thread(), Ordering::Relaxed);
        self.shared.waker.wake();
        Ok(())
    }

    /// Readable when `turn` has something to do: ``loop.add_reader(belt.fileno(), belt.turn)``.
    ///
    /// Signature: () -> int
    fn fileno(&self) -> i32 {
        self.shared.waker.descriptor()
    }

    /// Takes in what the log threads brought, sends what is due, wakes streams; never blocks.
    ///
    /// Call it too when `next_deadline` has passed. Streams call it themselves between batches. Returns whether
    /// something happened.
    ///
    /// Raises:
    ///     StorageError, CorruptLogError: Fatal; the process must stop. Every later call raises it again.
    ///
    /// Signature: () -> bool
    fn turn(&self, py: Python<'_>) -> PyResult<bool> {
        self.turn_once(py)
    }

    /// Seconds until `turn` has something to do by itself (a commit is due), or None.
    ///
    /// Signature: () -> float | None
    fn next_deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let inner = self.enter(py)?;
        // A clock that is moved by hand never reaches a deadline by itself.
        if inner.clock.is_some() {
            return Ok(None);
        }
        Ok(inner.worker.as_ref().and_then(|worker| worker.next_deadline()).map(|until| until.as_secs_f64()))
    }

    /// Blocks without the interpreter lock until `turn` has something to do; for plain threads without a loop.
    ///
    /// Signature: (timeout_s: float) -> bool
    fn wait(&self, py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
        self.sleep(py, duration_of(timeout_s, "timeout_s")?)?;
        self.turn_once(py)
    }

    /// Puts a record into the outbox; it is appended with the next commit. Returns its partition.
    ///
    /// Args:
    ///     partition: ``None`` lets the key decide (Kafka's murmur2), or takes turns for a null key.
    ///     timestamp: Milliseconds since the epoch; ``None`` is the moment of the append.
    ///     on_delivery: Called from `turn` as ``(topic, partition, offset, timestamp)``; dropped uncalled when the
    ///         belt fails first.
    ///     receipt: In its place an object whose method ``deliver`` is called so, if anybody else holds it by then, or
    ///         ``refuse`` with ``(topic, partition, reason, comes_again)`` when the record was not written; the last
    ///         says whether an event comes again that sends it again.
    ///
    /// Raises:
    ///     ImproperlyConfigured: A topic that was not declared, or a partition it has not.
    ///     BufferError: The outbox is full; let the loop run, then repeat.
    ///     EventTakenBack: In the middle of an event that was taken back.
    ///
    /// Signature: (topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None,
    ///     timestamp: int | None = None, headers: Headers | None = None,
    ///     on_delivery: DeliveryCallback | None = None, receipt: Any = None) -> int
    #[pyo3(signature = (
        topic, key, value, *, partition = None, timestamp = None, headers = None, on_delivery = None, receipt = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn send(
        &self,
        py: Python<'_>,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        partition: Option<u32>,
        timestamp: Option<i64>,
        headers: Option<&Bound<'_, PyAny>>,
        on_delivery: Option<Py<PyAny>>,
        receipt: Option<Py<PyAny>>,
    ) -> PyResult<u32> {
        let headers = headers::from_python(headers)?;
        let origin = self.shared.origin(py);
        let record = Outgoing { topic, key, value, partition, timestamp, headers: &headers, origin };
        let mut inner = self.enter(py)?;
        let receiver = Receiver::of(on_delivery, receipt);
        if inner.is_taken_back(py) {
            drop(inner);
            return Err(taken_back(py));
        }
        let partition = inner.send(&record, receiver).for_python(py)?;
        self.wake_if_needed(&inner);
        Ok(partition)
    }

    /// Like `send`, from any thread: the record is queued and sent by the owner's next `turn`, unless the event that
    /// the thread works on was taken back by then.
    ///
    /// Raises:
    ///     BufferError: Too many records are queued.
    ///
    /// Signature: (topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None,
    ///     timestamp: int | None = None, headers: Headers | None = None,
    ///     on_delivery: DeliveryCallback | None = None, receipt: Any = None) -> None
    #[pyo3(signature = (
        topic, key, value, *, partition = None, timestamp = None, headers = None, on_delivery = None, receipt = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn send_threadsafe(
        &self,
        py: Python<'_>,
        topic: String,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        partition: Option<u32>,
        timestamp: Option<i64>,
        headers: Option<&Bound<'_, PyAny>>,
        on_delivery: Option<Py<PyAny>>,
        receipt: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        fork::check(self.made_in)?;
        let headers = headers::from_python(headers)?;
        let receiver = Receiver::of(on_delivery, receipt);
        let (epoch, origin) = (context::epoch(py), self.shared.origin(py));
        let record = Record { topic, key, value, partition, timestamp, headers, receiver, origin, epoch };
        if self.shared.queue_send(record) {
            return Ok(());
        }
        Err(PyBufferError::new_err("too many records from other threads wait for the belt; send again in a moment"))
    }

    /// Starts a commit as soon as events in flight allow; returns at once.
    ///
    /// Signature: () -> None
    fn request_commit(&self, py: Python<'_>) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        if let Ok(core) = inner.core_mut() {
            core.request_commit();
        }
        self.wake_if_needed(&inner);
        Ok(())
    }

    /// Blocks until everything finished and sent so far is committed; for command lines and tests.
    ///
    /// Raises:
    ///     TimeoutError: With what it still waits for.
    ///
    /// Signature: (timeout_s: float = 30.0) -> None
    #[pyo3(signature = (timeout_s = 30.0))]
    fn commit(&self, py: Python<'_>, timeout_s: f64) -> PyResult<()> {
        self.commit_within(py, duration_of(timeout_s, "timeout_s")?)
    }

    /// A number that is another one whenever something else is ours.
    ///
    /// Signature: () -> int
    fn assignment_version(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.enter(py)?.core().map_or(0, Core::assignment_version))
    }

    /// Topic and partition of everything that is ours.
    ///
    /// Signature: () -> list[tuple[str, int]]
    fn assignment(&self, py: Python<'_>) -> PyResult<Vec<(String, u32)>> {
        let inner = self.enter(py)?;
        let Some(core) = inner.core() else { return Ok(Vec::new()) };
        Ok(core.assigned().map(|name| (name.topic.to_string(), name.partition)).collect())
    }

    /// Whether the group has yet to say what is ours.
    ///
    /// Signature: () -> bool
    fn is_joining(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enter(py)?.core().is_some_and(Core::is_joining))
    }

    /// Nothing queued, in flight, dirty or unsent, and every partition read to its end.
    ///
    /// Signature: () -> bool
    fn is_idle(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enter(py)?.is_idle(&self.shared))
    }

    /// Whether a commit waits for events in flight: whoever collects events into a list should work it off now.
    ///
    /// Signature: () -> bool
    fn is_draining(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.enter(py)?.core().is_some_and(|core| core.is_draining()))
    }

    /// What each subscription and table does right now; shape:
    ///
    /// ``{"partitions": [{"subscription", "topic", "partition", "position", "end", "in_flight", "oldest_in_flight_s",
    /// "paused", "stalled_s"}], "tables": [{"table", "ready", "partitions", "done", "total"}], "joining", "trouble"}``;
    /// ``paused`` is None or the reason in words.
    ///
    /// Signature: () -> dict[str, Any]
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let health = self.enter(py)?.core().map(|core| core.health());
        health::to_python(py, health)
    }

    /// Shards being restored: ``(table, partition, records done, records total)``; empty when all are ready.
    ///
    /// Signature: () -> list[tuple[str, int, int, int]]
    fn recovery<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let health = self.enter(py)?.core().map(|core| core.health());
        health::recovery(py, health)
    }

    /// Moves the clock of a belt opened with ``manual_clock=True``.
    ///
    /// Signature: (seconds: float) -> None
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let time = duration_of(seconds, "seconds")?;
        match &self.enter(py)?.clock {
            Some(clock) => clock.advance(time),
            None => {
                let message = "only a belt opened with manual_clock=True can be advanced".to_owned();
                return Err(raise(py, "ImproperlyConfigured", message));
            }
        }
        self.shared.waker.wake();
        Ok(())
    }

    /// Begins to stop and returns at once: streams end when they ask for the next event, what is in flight may
    /// finish until the deadline. Turn on until the consumers have ended, then call `stop`. Idempotent.
    ///
    /// Signature: (deadline_s: float = 30.0) -> None
    #[pyo3(signature = (deadline_s = 30.0))]
    fn begin_stop(&self, py: Python<'_>, deadline_s: f64) -> PyResult<()> {
        let deadline = duration_of(deadline_s, "deadline_s")?;
        let sleepers = {
            let mut inner = self.enter(py)?;
            if let Some(worker) = &mut inner.worker {
                worker.begin_stop(deadline);
            }
            inner.take_sleepers(true)
        };
        sleep::resolve(py, sleepers);
        self.shared.waker.wake();
        Ok(())
    }

    /// Lets nothing new out, commits what is finished, joins the threads; streams end. Idempotent.
    ///
    /// Raises:
    ///     StorageError: The last commit failed.
    ///
    /// Signature: (deadline_s: float = 30.0) -> None
    #[pyo3(signature = (deadline_s = 30.0))]
    fn stop(&self, py: Python<'_>, deadline_s: f64) -> PyResult<()> {
        let deadline = duration_of(deadline_s, "deadline_s")?;
        let (result, aftermath) = {
            let mut inner = self.enter(py)?;
            let result = match &mut inner.worker {
                Some(worker) => py.detach(|| worker.stop(deadline)),
                None => Ok(()),
            };
            (result, inner.retire())
        };
        self.settle(py, aftermath)?;
        result.for_python(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.inner.visit(&visit).map_or(Ok(()), |inner| inner.traverse(&visit))
    }
}
