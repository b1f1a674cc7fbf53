//! The stream: what Python iterates. Its state machine is in `step`.

use std::sync::Arc;

use beltline_engine::{SubscriptionId, Ticket};
use beltline_types::Batch;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyWeakrefReference};

use crate::awaiter::Awaiter;
use crate::belt::{Belt, Shared};
use crate::decode::Decode;
use crate::message::Message;
use crate::queue::{Item, Queue};
use crate::raw::context;
use crate::raw::guarded::{Guarded, Hold};
use crate::sleep;
use crate::step::{self, Pace};
use crate::subscription::Subscription;

/// Where events come from.
pub enum Source {
    Topics { belt: Py<Belt>, id: SubscriptionId, subscription: Py<Subscription> },
    Queue(Py<Queue>),
}

/// What an event is to the user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Values,
    Items,
    Events,
}

impl Mode {
    fn parse(name: &str) -> PyResult<Mode> {
        match name {
            "values" => Ok(Mode::Values),
            "items" => Ok(Mode::Items),
            "events" => Ok(Mode::Events),
            other => Err(PyValueError::new_err(format!(
                "a stream has the modes \"values\", \"items\" and \"events\", not {other:?}"
            ))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Mode::Values => "values",
            Mode::Items => "items",
            Mode::Events => "events",
        }
    }
}

/// What is needed to make events; it leaves the state while user code decodes.
pub struct Workshop {
    pub key_decode: Decode,
    pub value_decode: Decode,
    pub on_decode_error: Option<Py<PyAny>>,
    pub make_event: Option<Py<PyAny>>,
    /// The batch of the last event, so that the next one need not count a reference.
    pub batch: Option<Arc<Batch>>,
}

/// The event the consumer works on.
#[derive(Default)]
pub struct Current {
    /// The right to finish it; none for items of a queue, and after `hold`.
    pub ticket: Option<Ticket>,
    /// Where the record is; none for items of a queue.
    pub place: Option<(Ticket, Arc<Batch>)>,
    pub partition: Option<u32>,
    pub key: Option<Py<PyAny>>,
    pub value: Option<Py<PyAny>>,
    pub event: Option<Py<PyAny>>,
    pub message: Option<Py<Message>>,
}

/// The part of a [`Stream`] that changes.
pub struct State {
    pub workshop: Option<Box<Workshop>>,
    /// Whether there is an event in hand.
    pub busy: bool,
    pub ticket: Option<Ticket>,
    /// Index of the event in the workshop's batch, while that is known.
    pub known: Option<Ticket>,
    pub partition: Option<u32>,
    pub key: Option<Py<PyAny>>,
    pub value: Option<Py<PyAny>>,
    pub event: Option<Py<PyAny>>,
    pub message: Option<Py<Message>>,
    pub mode: Mode,
    pub auto_ack: bool,
    pub closed: bool,
    /// The consumer was suspended within `await`.
    pub suspended: bool,
    /// The future it sleeps on, and that future's iterator.
    pub sleeping: Option<(Py<PyAny>, Py<PyAny>)>,
    pub awaiter: Option<Py<Awaiter>>,
    /// The task that iterates, weakly.
    pub consumer: Option<Py<PyAny>>,
    pub pace: Pace,
    shared: Option<Arc<Shared>>,
}

impl Drop for State {
    /// A stream that was dropped gives its event back; the belt's thread does it with its next turn.
    fn drop(&mut self) {
        if let (Some(ticket), Some(shared)) = (self.ticket.take(), &self.shared) {
            shared.abandon(ticket);
        }
    }
}
