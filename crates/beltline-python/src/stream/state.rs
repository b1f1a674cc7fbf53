//! What a stream holds between two events.

use std::sync::Arc;

use beltline_engine::Ticket;
use beltline_types::Batch;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::awaiter::Awaiter;
use crate::inner::Shared;
use crate::message::Message;
use crate::queue::{Item, Queue};
use crate::step;
use crate::subscription::Subscription;

/// Where events come from.
pub enum Source {
    Topics(Py<Subscription>),
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
    pub(super) fn parse(name: &str) -> PyResult<Mode> {
        match name {
            "values" => Ok(Mode::Values),
            "items" => Ok(Mode::Items),
            "events" => Ok(Mode::Events),
            other => Err(PyValueError::new_err(format!(
                "a stream has the modes \"values\", \"items\" and \"events\", not {other:?}"
            ))),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Values => "values",
            Mode::Items => "items",
            Mode::Events => "events",
        }
    }
}

/// A record that was taken from a topic.
#[derive(Clone, Copy)]
pub struct Taken {
    pub ticket: Ticket,
    /// Where it comes from.
    pub partition: u32,
    /// Not finished, and nobody else has the right to.
    pub owned: bool,
}

/// What only some consumers ask for.
#[derive(Default)]
pub struct Extras {
    /// The item of a queue, to be given back.
    pub item: Option<Item>,
    pub key: Option<Py<PyAny>>,
    pub event: Option<Py<PyAny>>,
    pub message: Option<Py<Message>>,
}

/// The event the consumer works on. Taking one up and letting it go is done for every event, so what is rare is in
/// [`Extras`].
#[derive(Default)]
pub struct Current {
    pub record: Option<Taken>,
    pub value: Option<Py<PyAny>>,
    pub extras: Option<Box<Extras>>,
}

impl Current {
    /// Whether there is an event in hand.
    pub fn is_some(&self) -> bool {
        self.record.is_some() || self.extras.as_ref().is_some_and(|extras| extras.item.is_some())
    }

    /// The rare part, made when it is needed.
    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// The message, if somebody asked for it.
    #[inline]
    pub fn message(&self) -> Option<&Py<Message>> {
        self.extras.as_ref()?.message.as_ref()
    }
}

/// The part of a [`Stream`] that changes.
pub struct State {
    pub current: Current,
    /// The batch of the last record: the next one is in the same, mostly.
    pub batch: Option<Arc<Batch>>,
    pub mode: Mode,
    pub auto_ack: bool,
    pub closed: bool,
    /// The future the consumer sleeps on.
    pub sleeping: Option<Py<PyAny>>,
    pub(super) awaiter: Option<Py<Awaiter>>,
    pub consumer: Option<Py<PyAny>>,
    pub pace: step::Pace,
    pub(super) shared: Option<Arc<Shared>>,
}

impl Drop for State {
    /// A stream that was dropped gives its event back; the belt's thread does it with its next turn.
    fn drop(&mut self) {
        if let (Some(record), Some(shared)) = (&self.current.record, &self.shared)
            && record.owned
            && self.auto_ack
        {
            shared.abandon(record.ticket);
        }
    }
}
