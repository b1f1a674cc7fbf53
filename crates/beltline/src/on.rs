//! Attaching a handler to a topic.

use std::marker::PhantomData;

use beltline_types::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::{App, Handler, Reads, Step};
use crate::belt::Belt;
use crate::{HandlerResult, OnError, RecordKey, json};

type KeyOf<V> = Box<dyn Fn(&V) -> Option<Vec<u8>>>;

/// A handler in the making; [`On::run`] or [`To::map`] attaches it.
///
/// ```
/// use beltline::prelude::*;
///
/// let mut app = App::new("words");
/// let lines = app.topic::<String>("lines");
/// let words = app.topic::<String>("words");
/// app.on(&lines).run(move |line, belt| {
///     for word in line.split_whitespace() {
///         belt.send(&words, word, &word.to_owned())?;
///     }
///     Ok(())
/// });
/// ```
#[must_use = "nothing is attached before `run` or `map`"]
pub struct On<'a, V> {
    app: &'a mut App,
    reads: Reads,
    /// What names made for the handler begin with.
    source: String,
    key_of: Option<KeyOf<V>>,
    through: Option<String>,
    name: Option<String>,
    on_error: Option<OnError>,
}

impl<'a, V: DeserializeOwned + 'static> On<'a, V> {
    pub(crate) fn new(app: &'a mut App, reads: Reads, source: String) -> Self {
        On { app, reads, source, key_of: None, through: None, name: None, on_error: None }
    }

    /// Brings events with the same key together: they go through a topic of their own, keyed by what `key` picks.
    /// A table keyed by anything but the event's key needs this, or it would hold a partial result per partition.
    pub fn by<K: RecordKey + ?Sized + 'static>(mut self, key: impl Fn(&V) -> &K + 'static) -> Self {
        self.key_of = Some(Box::new(move |value| key(value).to_bytes().map(|bytes| bytes.into_owned())));
        self
    }

    /// Like [`On::by`], for a key that is computed.
    pub fn by_value<K: RecordKey + 'static>(mut self, key: impl Fn(&V) -> K + 'static) -> Self {
        self.key_of = Some(Box::new(move |value| key(value).to_bytes().map(|bytes| bytes.into_owned())));
        self
    }

    /// Names the topic that [`On::by`] goes through; without it the name is made of the handler's and the topic's.
    pub fn through(mut self, topic: impl Into<String>) -> Self {
        self.through = Some(topic.into());
        self
    }

    /// Names the handler in messages and in topics made for it; without it handlers are numbered per topic.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What happens to events this handler fails on; without it the app's policy counts.
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.on_error = Some(policy);
        self
    }

    /// Runs `handler` on every event.
    pub fn run(self, mut handler: impl FnMut(V, &mut Belt<'_>) -> HandlerResult + 'static) {
        self.attach(Box::new(move |belt| {
            let value = belt.value()?;
            handler(value, belt)
        }));
    }

    /// Sends what [`To::map`] returns to a topic.
    pub fn to(self, topic: impl AsRef<str>) -> To<'a, V> {
        let output = self.app.declare(topic.as_ref());
        To { on: self, output, value: PhantomData }
    }

    fn attach(self, step: Step) {
        let On { app, mut reads, source, key_of, through, name, on_error } = self;
        let name = name.unwrap_or_else(|| {
            let count = app.handlers.iter().filter(|handler| handler.reads == reads).count();
            format!("{source}-{count}")
        });
        if let Some(key_of) = key_of {
            let through = through.unwrap_or_else(|| format!("{}-{name}-{source}-repartition", app.name));
            let target = app.declare(&through);
            app.between.push(through.into());
            let rekey: Step = Box::new(move |belt| {
                let value: V = belt.value()?;
                Ok(belt.forward(target, key_of(&value).as_deref())?)
            });
            let name = format!("{name}-repartition");
            app.handlers.push(Handler { name, reads, step: rekey, on_error: on_error.clone() });
            reads = Reads::Topic(target);
        }
        app.handlers.push(Handler { name, reads, step, on_error });
    }
}

/// A handler in the making whose results go to a topic.
#[must_use = "nothing is attached before `map`"]
pub struct To<'a, V> {
    on: On<'a, V>,
    output: usize,
    value: PhantomData<fn() -> V>,
}

impl<V: DeserializeOwned + 'static> To<'_, V> {
    /// Runs `handler` on every event and sends what it returns, with the event's key; `None` sends nothing.
    pub fn map<O: Serialize>(self, mut handler: impl FnMut(V) -> Option<O> + 'static) {
        let To { on, output, .. } = self;
        on.attach(Box::new(move |belt| {
            let Some(result) = handler(belt.value()?) else { return Ok(()) };
            let bytes = json::to_bytes(&result).map_err(|error| {
                Error::new(ErrorKind::Usage, "what the handler returned cannot be written as JSON").with_source(error)
            })?;
            Ok(belt.send_from_event(output, &bytes)?)
        }));
    }
}
