//! The stream: what Python iterates. Its state machine is in `step`, what that works on in `state`.

mod state;

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

pub use self::state::{Current, Mode, Source, State, Taken};
use crate::awaiter::Awaiter;
use crate::cursor::Cursor;
use crate::decode::Decode;
use crate::made::Made;
use crate::message::Message;
use crate::queue::Queue;
use crate::raw::guarded::{Guarded, Hold};
use crate::raw::stepping::new_awaiter;
use crate::sleep;
use crate::step;
use crate::subscription::Subscription;

/// Async iterator and plain iterator over a `Subscription` or a `Queue`, for one consumer at a time.
///
/// An event is done when the next one is asked for or `close` is called, unless `hold` took it, or `auto_ack` is off.
/// When a handler fails, call `finish_current` (count it as done) or `release_current` (deliver it again).
/// A dropped stream releases its event. Subclasses may add anything but must not override the iteration.
///
/// Args:
///     key_decode: Of the key's bytes, which stay bytes without it; a null key is None without a call. Items of a
///         `Queue` are not decoded.
///     value_decode: Of the value's bytes, likewise.
///     mode: ``"values"``, ``"items"`` = ``(key, value)``, ``"events"`` = ``make_event(key, value, message)``.
///     on_decode_error: Returns to skip the record, raises to fail; without it the error is raised.
///     make_event: Makes events; without it mode ``"events"`` yields the `Message`.
///
/// Signature:
///     class Stream(Generic[_T])
///     __new__(source: Subscription | Queue, *, key_decode: Callable[[bytes], Any] | DecodeKind | None = None,
///         value_decode: RecordDecoder | JsonDecoder | Callable[[bytes], Any] | DecodeKind | None = None,
///         mode: StreamMode = "values", auto_ack: bool = True,
///         on_decode_error: Callable[[Message, Exception], object] | None = None,
///         make_event: Callable[[Any, Any, Message], Any] | None = None) -> Stream[Any]
///     __aiter__() -> Stream[_T]
///     __anext__() -> Awaitable[_T]
///     __iter__() -> Stream[_T]
///     __next__() -> _T
//
// Python sees a type derived from this one, whose iteration is in `raw::stepping`.
#[pyclass(frozen, subclass, weakref, dict, module = "beltline._native", name = "StreamBase")]
pub struct Stream {
    made: Made,
    pub source: Source,
    pub key_decode: Decode,
    pub value_decode: Decode,
    pub on_decode_error: Option<Py<PyAny>>,
    pub make_event: Option<Py<PyAny>>,
    /// What tables see of the event in hand.
    pub cursor: Py<Cursor>,
    state: Guarded<State>,
}

impl Stream {
    /// As [`Stream::hold`], where an error would only lead to a slower way that reports it.
    #[inline]
    pub fn try_hold(&self, py: Python<'_>) -> Option<Hold<'_, State>> {
        self.state.try_hold(py)
    }

    /// The awaiter, if there is one and nobody sleeps on it.
    #[inline]
    pub fn quick_awaiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Awaiter>> {
        let state = self.try_hold(py)?;
        if state.sleeping.is_some() {
            return None;
        }
        state.awaiter.as_ref().map(|awaiter| awaiter.bind(py).clone())
    }

    /// What `__anext__` returns.
    ///
    /// # Errors
    /// `RuntimeError` while another consumer waits.
    pub fn next_awaiter(slf: &Bound<'_, Self>) -> PyResult<Py<Awaiter>> {
        let py = slf.py();
        let (sleeping, known) = {
            let state = slf.get().hold(py)?;
            let copy = |future: &Py<PyAny>| future.clone_ref(py);
            (state.sleeping.as_ref().map(copy), state.awaiter.as_ref().map(|awaiter| awaiter.clone_ref(py)))
        };
        // A consumer that was cancelled before it saw its wake-up leaves a future that is done.
        if let Some(future) = sleeping
            && !sleep::is_done(future.bind(py))?
        {
            return Err(PyRuntimeError::new_err(
                "two consumers ask one stream for events; give each its own stream, or set concurrency on the agent",
            ));
        }
        let awaiter = match known {
            Some(awaiter) => awaiter,
            None => {
                let made = new_awaiter(py)?;
                slf.get().hold(py)?.awaiter = Some(made.clone_ref(py));
                made
            }
        };
        awaiter.get().begin(slf)?;
        Ok(awaiter)
    }

    /// Takes the state in hand; nothing that calls into Python may happen meanwhile.
    #[inline]
    pub fn hold(&self, py: Python<'_>) -> PyResult<Hold<'_, State>> {
        self.state.hold(py, "the stream")
    }

    /// The key of the event in hand, decoded on first use.
    pub fn key(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let (batch, index) = {
            let state = self.hold(py)?;
            if let Some(key) = state.current.extras.as_ref().and_then(|extras| extras.key.as_ref()) {
                return Ok(Some(key.clone_ref(py)));
            }
            match (&state.current.record, &state.batch) {
                (Some(record), Some(batch)) => (batch.clone(), record.ticket.index_in_batch()),
                _ => return Ok(None),
            }
        };
        let key = self.key_decode.run(py, batch.get(index).key)?;
        self.hold(py)?.current.extras().key = Some(key.clone_ref(py));
        Ok(Some(key))
    }

    /// The message of the event in hand, made on first use.
    pub fn message(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        let Source::Topics(subscription) = &self.source else { return Ok(None) };
        let mut state = self.hold(py)?;
        if let Some(message) = state.current.message() {
            return Ok(Some(message.clone_ref(py)));
        }
        let (Some(record), Some(batch)) = (state.current.record, state.batch.clone()) else { return Ok(None) };
        let belt = &subscription.get().belt;
        let inner = belt.get().enter(py)?;
        let partition = inner.core().and_then(|core| core.origin(&record.ticket).cloned()).unwrap_or_default();
        drop(inner);
        let message = Message::new(belt.clone_ref(py), batch, partition, record.ticket);
        if !record.owned {
            message.settle();
        }
        let message = Py::new(py, message)?;
        state.current.extras().message = Some(message.clone_ref(py));
        Ok(Some(message))
    }

    /// Finishes the event in hand, or gives it back.
    fn settle(&self, py: Python<'_>, release: bool) -> PyResult<()> {
        let mut state = self.hold(py)?;
        if let Some(message) = state.current.message() {
            message.get().settle();
        }
        match (&self.source, &mut state.current.record) {
            (Source::Topics(subscription), Some(record)) if record.owned => {
                record.owned = false;
                let belt = &subscription.get().belt;
                let mut inner = belt.get().enter(py)?;
                if release {
                    inner.release(record.ticket);
                } else {
                    inner.done(record.ticket);
                }
                drop(inner);
                drop(state);
                if release {
                    belt.get().wake_streams(py)?;
                }
            }
            (Source::Queue(queue), _) if release => {
                let item = state.current.extras.as_mut().and_then(|extras| extras.item.take());
                drop(state);
                if let Some(item) = item {
                    queue.get().give_back(py, item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The consumer was cancelled while it slept.
    pub fn stop_waiting(&self, py: Python<'_>) -> PyResult<()> {
        let sleeping = self.hold(py)?.sleeping.take();
        let Some(future) = sleeping else { return Ok(()) };
        match &self.source {
            Source::Queue(queue) => queue.get().remove_reader(future.bind(py)),
            Source::Topics(subscription) => {
                let removed = subscription.get().belt.get().enter(py)?.remove_sleeper(future.bind(py));
                drop(removed);
                Ok(())
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.cursor.get().end();
    }
}

#[pymethods]
impl Stream {
    #[new]
    #[pyo3(signature = (
        source, *, key_decode = None, value_decode = None, mode = "values", auto_ack = true, on_decode_error = None,
        make_event = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        key_decode: Option<&Bound<'_, PyAny>>,
        value_decode: Option<&Bound<'_, PyAny>>,
        mode: &str,
        auto_ack: bool,
        on_decode_error: Option<Py<PyAny>>,
        make_event: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let (source, shared) = match source.cast::<Subscription>() {
            Ok(subscription) => {
                let shared = subscription.get().belt.get().shared.clone();
                (Source::Topics(subscription.clone().unbind()), Some(shared))
            }
            Err(_) => (Source::Queue(source.cast::<Queue>()?.clone().unbind()), None),
        };
        let decode =
            |given: Option<&Bound<'_, PyAny>>, what| given.map_or(Ok(Decode::Bytes), |it| Decode::parse(it, what));
        let state = State {
            current: Current::default(),
            batch: None,
            mode: Mode::parse(mode)?,
            auto_ack,
            closed: false,
            sleeping: None,
            awaiter: None,
            consumer: None,
            pace: step::Pace::default(),
            shared,
        };
        Ok(Stream {
            made: Made::new(),
            source,
            key_decode: decode(key_decode, "key_decode")?,
            value_decode: decode(value_decode, "value_decode")?,
            on_decode_error: on_decode_error.filter(|callback| !callback.is_none(py)),
            make_event: make_event.filter(|callback| !callback.is_none(py)),
            cursor: Py::new(py, Cursor::new())?,
            state: Guarded::new(state),
        })
    }

    /// Subclasses may take arguments of their own.
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn __init__(&self, _arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) {}

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Where its events come from.
    ///
    /// Signature: () -> Subscription | Queue
    #[getter]
    fn source(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.source {
            Source::Topics(subscription) => subscription.clone_ref(py).into_any(),
            Source::Queue(queue) => queue.clone_ref(py).into_any(),
        }
    }

    /// What an event is to the consumer. Settable between two events.
    ///
    /// Signature:
    ///     () -> StreamMode
    ///     (mode: StreamMode) -> None
    #[getter]
    fn mode(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.hold(py)?.mode.name())
    }

    #[setter]
    fn set_mode(&self, py: Python<'_>, mode: &str) -> PyResult<()> {
        self.hold(py)?.mode = Mode::parse(mode)?;
        Ok(())
    }

    /// Whether asking for the next event finishes the one in hand.
    ///
    /// Signature:
    ///     () -> bool
    ///     (auto_ack: bool) -> None
    #[getter]
    fn auto_ack(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.auto_ack)
    }

    #[setter]
    fn set_auto_ack(&self, py: Python<'_>, auto_ack: bool) -> PyResult<()> {
        self.hold(py)?.auto_ack = auto_ack;
        Ok(())
    }

    /// Whether the iteration has ended.
    ///
    /// Signature: () -> bool
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.closed)
    }

    /// The record being worked on; None before the first, after `close`, and for a `Queue`.
    ///
    /// Signature: () -> Message | None
    #[getter]
    fn current_message(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        self.message(py)
    }

    /// ``make_event(key, value, message)`` of the record being worked on, made on first use.
    ///
    /// Signature: () -> Any | None
    #[getter]
    fn current_event(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        {
            let state = self.hold(py)?;
            if let Some(event) = state.current.extras.as_ref().and_then(|extras| extras.event.as_ref()) {
                return Ok(Some(event.clone_ref(py)));
            }
            if !state.current.is_some() {
                return Ok(None);
            }
        }
        let event = step::make_event(self, py)?;
        self.hold(py)?.current.extras().event = Some(event.clone_ref(py));
        Ok(Some(event))
    }

    /// The decoded key of the record being worked on.
    ///
    /// Signature: () -> Any | None
    #[getter]
    fn current_key(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.key(py)
    }

    /// The decoded value of the record being worked on.
    ///
    /// Signature: () -> Any | None
    #[getter]
    fn current_value(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.hold(py)?.current.value.as_ref().map(|value| value.clone_ref(py)))
    }

    /// The shard that tables show and write to. Settable while events are held: a list of events is worked on one
    /// partition after the other.
    ///
    /// Signature:
    ///     () -> int | None
    ///     (partition: int) -> None
    #[getter]
    fn current_partition(&self) -> Option<u32> {
        self.cursor.get().partition()
    }

    #[setter]
    fn set_current_partition(&self, partition: u32) {
        self.cursor.get().move_to(partition);
    }

    /// Takes the current event away from the stream: it is done when `Message.ack` is called.
    ///
    /// Signature: () -> Message | None
    #[pyo3(name = "hold")]
    fn hold_current(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        let message = self.message(py)?;
        if let Some(record) = &mut self.hold(py)?.current.record {
            record.owned = false;
        }
        Ok(message)
    }

    /// The current event is done, whatever `auto_ack` says.
    ///
    /// Signature: () -> None
    fn finish_current(&self, py: Python<'_>) -> PyResult<()> {
        self.settle(py, false)
    }

    /// The current event was not processed; it is delivered again, to whoever asks next.
    ///
    /// Signature: () -> None
    fn release_current(&self, py: Python<'_>) -> PyResult<()> {
        self.settle(py, true)
    }

    /// Resolves the future a consumer waits on; it looks again and waits on.
    ///
    /// Signature: () -> None
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let sleeping = self.hold(py)?.sleeping.as_ref().map(|future| future.clone_ref(py));
        sleep::resolve(py, sleeping.into_iter().collect());
        Ok(())
    }

    /// The current event is done (if `auto_ack`) and the iteration ends. Idempotent.
    ///
    /// Signature: () -> None
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.hold(py)?.auto_ack {
            self.settle(py, false)?;
        }
        let (sleeping, old) = {
            let mut state = self.hold(py)?;
            state.closed = true;
            self.cursor.get().end();
            (state.sleeping.as_ref().map(|future| future.clone_ref(py)), std::mem::take(&mut state.current))
        };
        drop(old);
        sleep::resolve(py, sleeping.into_iter().collect());
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.made.is_finished() {
            return Ok(());
        }
        match &self.source {
            Source::Topics(subscription) => visit.call(subscription)?,
            Source::Queue(queue) => visit.call(queue)?,
        }
        self.key_decode.traverse(&visit)?;
        self.value_decode.traverse(&visit)?;
        visit.call(&self.on_decode_error)?;
        visit.call(&self.make_event)?;
        let Some(state) = self.state.visit(&visit) else { return Ok(()) };
        visit.call(&state.sleeping)?;
        visit.call(&state.awaiter)?;
        visit.call(&state.consumer)?;
        visit.call(&state.current.value)?;
        let Some(extras) = &state.current.extras else { return Ok(()) };
        visit.call(&extras.key)?;
        visit.call(&extras.event)?;
        visit.call(&extras.message)?;
        if let Some(item) = &extras.item {
            visit.call(&item.value)?;
            visit.call(&item.key)?;
            visit.call(&item.event)?;
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        if !self.made.is_finished() {
            return;
        }
        if let Ok(mut state) = self.hold(py) {
            let old = (state.sleeping.take(), state.awaiter.take(), state.consumer.take());
            drop(state);
            drop(old);
        }
    }
}
