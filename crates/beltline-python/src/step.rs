//! One step of a stream: finish the event in hand, take the next one, or sleep.
//!
//! Belt and stream are held only while no Python code can run: values are decoded, and old ones dropped, in between.

use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Core, Next, Ticket};
use beltline_env::{Clock, SystemClock};
use beltline_types::Batch;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::belt::Belt;
use crate::message::Message;
use crate::queue;
use crate::raw::context;
use crate::sleep;
use crate::stream::{Current, Mode, Source, State, Stream, Taken};

/// After this much time the event loop gets a turn, even if there are more events.
const LONGEST_RUN: Duration = Duration::from_millis(1);

/// Events between two looks at the clock, at least and at most.
const MIN_STRIDE: u32 = 4;
const MAX_STRIDE: u32 = 64;

/// The longest sleep of a plain `for` without a turn.
const FOR_SLEEP: Duration = Duration::from_millis(50);

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A plain `for`: it may block.
    For,
    /// `await`: it may be suspended.
    Await,
}

/// What a step gives.
pub enum Step {
    /// The next event, as the user wants it.
    Event(Py<PyAny>),
    /// To be yielded to the event loop: None, or the future to wait for.
    Suspend(Py<PyAny>),
    /// There are no more.
    End,
}

/// Sees to it that a busy stream lets the event loop run.
pub struct Pace {
    clock: SystemClock,
    /// Events until the next look at the clock.
    left: u32,
    stride: u32,
    looked_at: Duration,
    resumed_at: Duration,
    /// The loop should have a turn now.
    over: bool,
}

impl Default for Pace {
    fn default() -> Self {
        let (looked_at, resumed_at) = (Duration::ZERO, Duration::ZERO);
        Pace { clock: SystemClock::default(), left: 1, stride: MIN_STRIDE, looked_at, resumed_at, over: false }
    }
}

impl Pace {
    /// Counts an event; says whether the loop should have a turn before it. It goes on saying so until
    /// [`Pace::take_over`].
    #[inline]
    fn is_over(&mut self) -> bool {
        if self.left > 1 && !self.over {
            self.left -= 1;
            return false;
        }
        self.look()
    }

    /// The clock is looked at the more often the slower events are.
    #[cold]
    fn look(&mut self) -> bool {
        if self.over {
            return true;
        }
        let now = self.clock.monotonic();
        let stride_time = now.saturating_sub(self.looked_at);
        if stride_time < LONGEST_RUN / 16 {
            self.stride = (self.stride * 2).min(MAX_STRIDE);
        } else if stride_time > LONGEST_RUN / 4 {
            self.stride = MIN_STRIDE;
        }
        self.left = self.stride;
        self.looked_at = now;
        self.over = now.saturating_sub(self.resumed_at) >= LONGEST_RUN;
        self.over
    }

    /// [`Pace::is_over`], and the loop gets its turn.
    fn take_over(&mut self) -> bool {
        let over = self.is_over();
        if std::mem::take(&mut self.over) {
            self.resumed_at = self.looked_at;
        }
        over
    }

    /// The consumer slept, and the loop ran.
    fn restart(&mut self) {
        self.over = false;
        self.left = self.stride;
        self.looked_at = self.clock.monotonic();
        self.resumed_at = self.looked_at;
    }
}

/// What taking an event came to.
enum Found {
    Record { ticket: Ticket, batch: Arc<Batch>, mode: Mode },
    Item(queue::Item),
    Turn,
    Pause,
    Wait,
    End,
}

/// What the quick way came to.
pub enum Quick<'py> {
    /// The next event.
    Event(Bound<'py, PyAny>),
    /// The next record was taken up, but decoding it needs more.
    Taken,
    /// Nothing was done.
    Nothing,
}

/// The common step: the task and the partition are those of the event before, which was the stream's to finish, and the
/// next record lies beside it. It runs without what PyO3 knows of an attachment, so nothing in here may drop a `Py`.
#[inline]
pub fn quick<'py>(this: &Stream, py: Python<'py>, caller: Caller) -> Quick<'py> {
    let Source::Topics(subscription) = &this.source else { return Quick::Nothing };
    if !context::is_current(py, &this.cursor) {
        return Quick::Nothing;
    }
    let Some(mut state) = this.try_hold(py) else { return Quick::Nothing };
    let State { current, sleeping, closed, mode, auto_ack, batch, pace, .. } = &mut *state;
    let (Some(record), None, None) = (&mut current.record, &current.extras, &*sleeping) else { return Quick::Nothing };
    if !record.owned || !*auto_ack || *closed || *mode != Mode::Values {
        return Quick::Nothing;
    }
    if caller == Caller::Await && pace.is_over() {
        return Quick::Nothing;
    }
    let Some(mut inner) = subscription.get().belt.get().try_enter(py) else { return Quick::Nothing };
    if !inner.worker.as_mut().is_some_and(|worker| worker.core.advance(&mut record.ticket)) {
        return Quick::Nothing;
    }
    let index = record.ticket.index_in_batch();
    // The core goes on by itself only within an epoch, which the cursor knows from the event before.
    this.cursor.get().move_to(record.partition);
    let (old, batch) = (current.value.take(), batch.take());
    drop(inner);
    drop(state);
    // What is given up, and what is decoded, may run code of the user's.
    if let Some(old) = old {
        old.drop_ref(py);
    }
    let Some(batch) = batch else { return Quick::Taken };
    let value = this.value_decode.quick(py, batch.value(index));
    let Some(mut state) = this.try_hold(py) else { return Quick::Taken };
    state.batch = Some(batch);
    match value {
        Some(value) => {
            let replaced = state.current.value.replace(value.clone().unbind());
            drop(state);
            if let Some(replaced) = replaced {
                replaced.drop_ref(py);
            }
            Quick::Event(value)
        }
        None => Quick::Taken,
    }
}

/// Takes the stream one event further, after [`quick`] did not; `taken` says that it has taken a record up.
///
/// # Errors
/// What the decoder or the policy for undecodable records raises, a fatal error of the belt, or a second consumer.
pub fn resume(stream: &Bound<'_, Stream>, caller: Caller, taken: bool) -> PyResult<Step> {
    if taken {
        let (py, this) = (stream.py(), stream.get());
        let state = this.hold(py)?;
        let found = (state.current.record, state.batch.clone(), state.mode);
        drop(state);
        if let (Some(record), Some(batch), mode) = found
            && let Some(value) = deliver_record(this, py, record.ticket, batch, mode)?
        {
            return Ok(Step::Event(value));
        }
    }
    step(stream, caller)
}

/// Takes the stream one event further.
///
/// # Errors
/// What the decoder or the policy for undecodable records raises, a fatal error of the belt, or a second consumer.
pub fn step(stream: &Bound<'_, Stream>, caller: Caller) -> PyResult<Step> {
    let (py, this) = (stream.py(), stream.get());
    if context::set_current(this.cursor.bind(py))? {
        this.cursor.get().belong_to(stream)?;
        check_consumer(this, py, caller)?;
    }
    loop {
        let found = match &this.source {
            Source::Topics(subscription) => take_record(this, subscription.get(), py, caller)?,
            Source::Queue(queue) => take_item(this, queue.get(), py, caller)?,
        };
        match found {
            Found::Record { ticket, batch, mode } => {
                if let Some(value) = deliver_record(this, py, ticket, batch, mode)? {
                    return Ok(Step::Event(value));
                }
            }
            Found::Item(item) => return deliver_item(this, py, item).map(Step::Event),
            Found::Turn => {
                if let Source::Topics(subscription) = &this.source {
                    subscription.get().belt.get().turn_once(py)?;
                }
            }
            Found::Pause => return Ok(Step::Suspend(py.None())),
            Found::Wait => {
                if let Some(suspend) = wait(this, py, caller)? {
                    return Ok(suspend);
                }
            }
            Found::End => {
                this.cursor.get().end();
                return Ok(Step::End);
            }
        }
    }
}

/// The event in hand is done: it was worked on until its consumer asked for the next one.
#[inline]
fn finish(state: &mut State, core: &mut Core) -> Current {
    if let Some(record) = &state.current.record
        && record.owned
        && state.auto_ack
    {
        core.done(record.ticket);
        if let Some(message) = state.current.message() {
            message.get().settle();
        }
    }
    std::mem::take(&mut state.current)
}

fn take_record(
    this: &Stream,
    subscription: &crate::subscription::Subscription,
    py: Python<'_>,
    caller: Caller,
) -> PyResult<Found> {
    let belt = subscription.belt.get();
    // Dropped last, when nothing is held: old values may run code of the user's.
    let (_old, _slept);
    let mut state = this.hold(py)?;
    let mut inner = belt.enter(py)?;
    let Ok(core) = inner.core_mut() else {
        _old = std::mem::take(&mut state.current);
        this.cursor.get().let_go();
        return Ok(Found::End);
    };
    _old = finish(&mut state, core);
    this.cursor.get().let_go();
    _slept = state.sleeping.take();
    if _slept.is_some() {
        state.pace.restart();
    }
    if state.closed {
        return Ok(Found::End);
    }
    if caller == Caller::Await && state.pace.take_over() {
        return Ok(Found::Pause);
    }
    match core.next(subscription.id) {
        Next::Event(ticket) => match (core.batch(&ticket), core.partition(&ticket)) {
            (Some(batch), Some(partition)) => {
                // Moved out and back instead of counted: it is the same batch for thousands of records.
                let batch = match state.batch.take() {
                    Some(last) if Arc::ptr_eq(&last, batch) => last,
                    _ => batch.clone(),
                };
                state.current.record = Some(Taken { ticket, partition, owned: true });
                this.cursor.get().take_up(partition, &ticket);
                Ok(Found::Record { ticket, batch, mode: state.mode })
            }
            _ => Ok(Found::Turn),
        },
        Next::Wait if core.wants_turn() => Ok(Found::Turn),
        Next::Wait => Ok(Found::Wait),
        Next::Closed => {
            state.closed = true;
            Ok(Found::End)
        }
    }
}

fn take_item(this: &Stream, queue: &queue::Queue, py: Python<'_>, caller: Caller) -> PyResult<Found> {
    let (old, slept, closed, paused) = {
        let mut state = this.hold(py)?;
        let (old, slept) = (std::mem::take(&mut state.current), state.sleeping.take());
        this.cursor.get().let_go();
        if slept.is_some() {
            state.pace.restart();
        }
        let paused = caller == Caller::Await && state.pace.take_over();
        (old, slept, state.closed, paused)
    };
    drop((old, slept));
    if closed {
        return Ok(Found::End);
    }
    if paused {
        return Ok(Found::Pause);
    }
    Ok(match queue.take(py)? {
        queue::Taken::Item(item) => Found::Item(item),
        queue::Taken::Wait => Found::Wait,
        queue::Taken::Closed => Found::End,
    })
}

/// Decodes a record and makes it the event in hand; `None` when it was skipped.
fn deliver_record(
    this: &Stream,
    py: Python<'_>,
    ticket: Ticket,
    batch: Arc<Batch>,
    mode: Mode,
) -> PyResult<Option<Py<PyAny>>> {
    let record = batch.get(ticket.index_in_batch());
    let decoded = this.value_decode.run(py, record.value).and_then(|value| {
        let key = if mode == Mode::Values { None } else { Some(this.key_decode.run(py, record.key)?) };
        Ok((key, value))
    });
    let mut state = this.hold(py)?;
    state.batch = Some(batch);
    let (key, value) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            drop(state);
            return undecodable(this, py, error).map(|()| None);
        }
    };
    state.current.value = Some(value.clone_ref(py));
    match (mode, key) {
        (Mode::Items, Some(key)) => {
            state.current.extras().key = Some(key.clone_ref(py));
            drop(state);
            Ok(Some(PyTuple::new(py, [key, value])?.into_any().unbind()))
        }
        (Mode::Events, key) => {
            state.current.extras().key = key;
            drop(state);
            let event = make_event(this, py)?;
            this.hold(py)?.current.extras().event = Some(event.clone_ref(py));
            Ok(Some(event))
        }
        _ => Ok(Some(value)),
    }
}

/// Asks the policy about a record that cannot be decoded; returning means that it is skipped.
#[cold]
fn undecodable(this: &Stream, py: Python<'_>, error: PyErr) -> PyResult<()> {
    let Some(policy) = &this.on_decode_error else { return Err(error) };
    let message: Option<Py<Message>> = this.message(py)?;
    policy.call1(py, (message, error.into_value(py)))?;
    Ok(())
}

fn deliver_item(this: &Stream, py: Python<'_>, item: queue::Item) -> PyResult<Py<PyAny>> {
    let mut state = this.hold(py)?;
    let mode = state.mode;
    let (key, value) = (item.key.clone_ref(py), item.value.clone_ref(py));
    this.cursor.get().take_item(item.partition);
    state.current.value = Some(value.clone_ref(py));
    let event = item.event.as_ref().map(|event| event.clone_ref(py));
    let extras = state.current.extras();
    extras.key = Some(key.clone_ref(py));
    extras.event = event.as_ref().map(|event| event.clone_ref(py));
    extras.item = Some(item);
    drop(state);
    match mode {
        Mode::Values => Ok(value),
        Mode::Items => Ok(PyTuple::new(py, [key, value])?.into_any().unbind()),
        Mode::Events => match event {
            Some(event) => Ok(event),
            None => make_event(this, py),
        },
    }
}

/// The event object of what is in hand.
///
/// # Errors
/// What `make_event` raises.
pub fn make_event(this: &Stream, py: Python<'_>) -> PyResult<Py<PyAny>> {
    let message = this.message(py)?;
    let Some(make) = &this.make_event else {
        return Ok(message.map_or_else(|| py.None(), Py::into_any));
    };
    let key = this.key(py)?;
    let value = this.hold(py)?.current.value.as_ref().map(|value| value.clone_ref(py));
    make.call1(py, (key, value, message))
}

/// Goes to sleep: `Some` suspends the consumer, `None` means that it slept and looks again.
#[cold]
fn wait(this: &Stream, py: Python<'_>, caller: Caller) -> PyResult<Option<Step>> {
    match (caller, &this.source) {
        (Caller::For, Source::Topics(subscription)) => {
            let belt: &Belt = subscription.get().belt.get();
            belt.sleep(py, FOR_SLEEP)?;
            belt.turn_once(py)?;
            Ok(None)
        }
        (Caller::For, Source::Queue(_)) => Err(PyRuntimeError::new_err(
            "the queue is empty, and a plain `for` would wait for ever; iterate it with `async for`",
        )),
        (Caller::Await, source) => {
            let future = sleep::new_future(py)?;
            future.setattr(pyo3::intern!(py, "_asyncio_future_blocking"), true)?;
            match source {
                Source::Topics(subscription) => {
                    let subscription = subscription.get();
                    subscription.belt.get().enter(py)?.add_sleeper(subscription.id, future.clone().unbind());
                }
                Source::Queue(queue) => queue.get().add_reader(&future)?,
            }
            this.hold(py)?.sleeping = Some(future.clone().unbind());
            Ok(Some(Step::Suspend(future.unbind())))
        }
    }
}

/// The stream became the current one of its task: whoever had it before must have left it.
#[cold]
fn check_consumer(this: &Stream, py: Python<'_>, caller: Caller) -> PyResult<()> {
    let task = match caller {
        Caller::Await => sleep::current_task(py)?,
        Caller::For => None,
    };
    let before = {
        let mut state = this.hold(py)?;
        let in_hand = state.current.is_some();
        let before = std::mem::replace(&mut state.consumer, task.as_ref().map(|task| task.clone().unbind()));
        before.filter(|_| in_hand)
    };
    let (Some(before), Some(task)) = (before, task) else { return Ok(()) };
    if before.bind(py).is(&task) || sleep::is_done(before.bind(py))? {
        return Ok(());
    }
    this.hold(py)?.consumer = Some(before);
    Err(PyRuntimeError::new_err(
        "two tasks iterate one stream, and the other one has an event in hand; give each its own stream, or set \
         concurrency on the agent",
    ))
}
