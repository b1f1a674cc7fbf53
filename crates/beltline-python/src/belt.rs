//! The belt: a worker that a Python thread turns.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beltline_engine::{Core, CoreOptions, Guarantee, StartFrom, SubscriptionId, TableId, TableSpec};
use beltline_env::{Clock, ManualClock, SystemClock};
use beltline_log::SyncPolicy;
use beltline_table::ValueForm;
use beltline_types::{Cleanup, TimestampType, TopicSpec};
use beltline_worker::{Local, LocalOptions, Waker};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::endpoint;
use crate::errors::{ForPython, raise, timed_out, to_python};
use crate::inner::{Aftermath, Inner, Outgoing, Receiver, Record, Shared};
use crate::raw::guarded::{Guarded, Hold};
use crate::raw::thread::current_thread;
use crate::subscription::{Subscription, known_topics};
use crate::table::Table;
use crate::waker::LoopWaker;
use crate::{fork, headers, health, kafka, sleep};

/// The longest wait without a look for signals.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

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

impl Belt {
    /// Takes the belt in hand; nothing that calls into Python may happen meanwhile.
    ///
    /// # Errors
    /// `RuntimeError` in a forked child, or in another thread than the owner's.
    #[inline]
    pub fn enter(&self, py: Python<'_>) -> PyResult<Hold<'_, Inner>> {
        fork::check(self.made_in)?;
        let owner = self.owner.load(Ordering::Relaxed);
        if owner != 0 && owner != current_thread() {
            return Err(wrong_thread());
        }
        self.inner.hold(py, "the belt")
    }

    /// As [`Belt::enter`], where an error would only lead to a slower way that reports it.
    #[inline(always)]
    pub fn try_enter(&self, py: Python<'_>) -> Option<Hold<'_, Inner>> {
        if self.made_in != fork::generation() || self.owner.load(Ordering::Relaxed) != current_thread() {
            return None;
        }
        self.inner.try_hold(py)
    }

    /// One turn: events in, commands out, then callbacks and sleepers.
    pub fn turn_once(&self, py: Python<'_>) -> PyResult<bool> {
        let aftermath = self.enter(py)?.turn(&self.shared);
        let happened = aftermath.happened || !aftermath.reports.is_empty();
        self.settle(py, aftermath)?;
        Ok(happened)
    }

    /// What a turn has left to do: it calls into Python.
    fn settle(&self, py: Python<'_>, aftermath: Aftermath) -> PyResult<()> {
        sleep::resolve(py, aftermath.sleepers);
        aftermath.reports.into_iter().for_each(|report| report.tell(py));
        if !aftermath.notices.is_empty() {
            let logger = py.import("logging")?.call_method1(intern!(py, "getLogger"), ("beltline.engine",))?;
            for notice in aftermath.notices {
                logger.call_method1(intern!(py, "warning"), ("%s", notice))?;
            }
        }
        aftermath.failure.map_or(Ok(()), |error| Err(to_python(py, error)))
    }

    /// Wakes consumers that may have something to do.
    pub fn wake_streams(&self, py: Python<'_>) -> PyResult<()> {
        let sleepers = self.enter(py)?.take_sleepers(false);
        sleep::resolve(py, sleepers);
        Ok(())
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, py: Python<'_>, id: SubscriptionId) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        if let Ok(core) = inner.core_mut() {
            core.unsubscribe(id);
        }
        drop(inner);
        self.wake_streams(py)
    }

    /// Sleeps without the interpreter lock until a turn has something to do, at most `longest`.
    pub fn sleep(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        let mut inner = self.enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        py.detach(|| worker.wait(longest.min(SIGNAL_CHECK)));
        drop(inner);
        py.check_signals()
    }
}

#[cold]
fn wrong_thread() -> PyErr {
    PyRuntimeError::new_err(
        "a belt, its streams and its tables belong to the thread that started them; from another thread use \
         send_threadsafe, or loop.call_soon_threadsafe for anything else",
    )
}

fn duration_of(value: f64, what: &str) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyValueError::new_err(format!("{what}={value}: seconds from 0 up are wanted")))
}

fn sync_policy(py: Python<'_>, sync: &str, interval_ms: u64) -> PyResult<SyncPolicy> {
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
    ///     kafka: Options by librdkafka's names, with the prefix ``consumer.`` or ``producer.`` for one of the two, and
    ///         with the prefix ``beltline.`` for ours: the belt is there, and the directory has copies of tables only.
    ///
    /// Raises:
    ///     DataDirectoryError: The directory is held, foreign, read-only, or of a newer format.
    ///     CorruptLogError: The log's own index makes no sense.
    ///
    /// Signature: (*, directory: str | None, sync: Literal["always", "interval", "never"] = "interval",
    ///     sync_interval_ms: int = 1000, manual_clock: bool = False, kafka: dict[str, Any] | None = None) -> None
    #[pyo3(signature = (*, directory, sync = "interval", sync_interval_ms = 1000, manual_clock = false, kafka = None))]
    fn open(
        &self,
        py: Python<'_>,
        directory: Option<String>,
        sync: &str,
        sync_interval_ms: u64,
        manual_clock: bool,
        kafka: Option<Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let sync = sync_policy(py, sync, sync_interval_ms)?;
        let mut inner = self.enter(py)?;
        if inner.core().is_some() {
            return Err(raise(py, "ImproperlyConfigured", "the belt was opened before; make a new one".to_owned()));
        }
        let waker_shared = self.shared.clone();
        let waker: Waker = Arc::new(move || waker_shared.waker.wake());
        let options = inner.options.clone();
        let (local, clock) = match directory {
            None if kafka.is_some() => {
                let message = "a belt on Kafka needs a directory for copies of its tables".to_owned();
                return Err(raise(py, "ImproperlyConfigured", message));
            }
            Some(_) if manual_clock => {
                let message = "a clock moved by hand is for belts in memory: directory=None".to_owned();
                return Err(raise(py, "ImproperlyConfigured", message));
            }
            Some(directory) => {
                let arguments: Vec<String> = py.import("sys")?.getattr("argv")?.extract().unwrap_or_default();
                let (directory, holder) = (Path::new(&directory), arguments.join(" "));
                let opened = match kafka {
                    Some(given) => {
                        let given = kafka::options(py, &given, &options)?;
                        py.detach(|| kafka::open(given, directory, &holder))
                    }
                    None => py.detach(|| Local::open(directory, &LocalOptions { sync, holder })),
                };
                (opened.for_python(py)?, None)
            }
            None => {
                let manual = manual_clock.then(|| Arc::new(ManualClock::default()));
                let clock: Arc<dyn Clock> = match &manual {
                    Some(manual) => manual.clone(),
                    None => Arc::new(SystemClock::default()),
                };
                (Local::in_memory(clock).for_python(py)?, manual)
            }
        };
        inner.worker = Some(local.into_worker(options, waker).for_python(py)?);
        inner.clock = clock;
        Ok(())
    }

    /// Listens for Kafka's protocol on a port of this machine until the belt stops; returns host and port.
    ///
    /// Where the belt holds a data directory, other processes find the port there, see `Endpoint.find`.
    ///
    /// Args:
    ///     port: 0 takes a free one.
    ///
    /// Raises:
    ///     ImproperlyConfigured: The port is taken.
    ///     DataDirectoryError: Others cannot be told, the directory refuses the file.
    ///
    /// Signature: (port: int = 0) -> str
    #[pyo3(signature = (port = 0))]
    fn serve(&self, py: Python<'_>, port: u16) -> PyResult<String> {
        let mut inner = self.enter(py)?;
        let worker = inner.worker_mut().for_python(py)?;
        py.detach(|| endpoint::serve(worker, port)).for_python(py)
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
        let cleanup = if compacted { Cleanup::Compact } else { Cleanup::Delete };
        let timestamps = if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let config = config.unwrap_or_default();
        let spec = TopicSpec {
            cleanup,
            retention_ms,
            retention_bytes,
            timestamps,
            config,
            ..TopicSpec::new(name, partitions)
        };
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
    ///     receipt: In its place an object whose method ``deliver`` is called so, if anybody else holds it by then.
    ///
    /// Raises:
    ///     ImproperlyConfigured: A topic that was not declared, or a partition it has not.
    ///     BufferError: The outbox is full; let the loop run, then repeat.
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
        let record = Outgoing { topic, key, value, partition, timestamp, headers: &headers };
        let mut inner = self.enter(py)?;
        let partition = inner.send(&record, Receiver::of(on_delivery, receipt)).for_python(py)?;
        if inner.core().is_some_and(|core| core.wants_turn()) {
            self.shared.waker.wake();
        }
        Ok(partition)
    }

    /// Like `send`, from any thread: the record is queued and sent by the owner's next `turn`.
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
        if self.shared.queue_send(Record { topic, key, value, partition, timestamp, headers, receiver }) {
            return Ok(());
        }
        Err(PyBufferError::new_err("too many records from other threads wait for the belt; send again in a moment"))
    }

    /// Starts a commit as soon as events in flight allow; returns at once.
    ///
    /// Signature: () -> None
    fn request_commit(&self, py: Python<'_>) -> PyResult<()> {
        if let Ok(core) = self.enter(py)?.core_mut() {
            core.request_commit();
        }
        self.shared.waker.wake();
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
        let clock = SystemClock::default();
        let until = clock.monotonic() + duration_of(timeout_s, "timeout_s")?;
        loop {
            self.enter(py)?.core_mut().for_python(py)?.request_commit();
            let happened = self.turn_once(py)?;
            if !self.enter(py)?.core().is_some_and(|core| core.has_uncommitted()) {
                return Ok(());
            }
            let now = clock.monotonic();
            if now >= until {
                let in_flight = self.enter(py)?.core().map_or(0, |core| core.in_flight());
                let message = format!("no commit within {timeout_s} s: {in_flight} events are not finished");
                return Err(timed_out(message));
            }
            if !happened {
                self.sleep(py, until - now)?;
            }
        }
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
