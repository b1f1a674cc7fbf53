//! What all parts of one Kafka log share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_types::{Error, Result};

use crate::errors;
use crate::health::{Deadline, Health, HealthCallbacks};
use crate::options::{KafkaOptions, is_secret};
use crate::raw::client::{Client, Delivery, Role};
use crate::raw::code::Fault;
use crate::records::BatchWriter;
use crate::signal::Signal;

/// What all parts of one Kafka log share.
pub(crate) struct Context {
    pub(crate) options: KafkaOptions,
    pub(crate) health: Arc<Health>,
    pub(crate) signal: Arc<Signal>,
    /// Memory for the batch that is being gathered.
    pub(crate) writer: Mutex<BatchWriter>,
    /// Topics that were made here or shown by a broker, and until when they are new to others.
    pub(crate) known: Mutex<BTreeMap<Arc<str>, Deadline>>,
}

impl Context {
    /// Makes a handle.
    pub(crate) fn client(
        &self,
        role: Role,
        group: Option<&str>,
        delivered: Option<Box<dyn Fn(Delivery) + Send + Sync>>,
    ) -> Result<Arc<Client>> {
        let mut settings = self.options.settings(role);
        if let Some(group) = group {
            settings.push(("group.id".into(), group.into()));
        }
        let tokens = self.options.tokens.clone();
        let callbacks = Arc::new(HealthCallbacks { health: self.health.clone(), tokens, delivered });
        let made = Client::new(role, &settings, is_secret, callbacks);
        Ok(Arc::new(made.map_err(|fault| Error::new(beltline_types::ErrorKind::Usage, fault.text))?))
    }

    /// How long a broker that does not know a topic is not believed: one made just now, as brokers hear of it one after the
    /// other, or, for `hearsay`, one that another broker has shown.
    pub(crate) fn disbelief(&self, topic: &str, hearsay: Duration) -> Deadline {
        let known = self.known().get(topic).map_or(Duration::ZERO, |new_until| new_until.remaining().max(hearsay));
        self.deadline(known)
    }

    /// A broker has shown this topic.
    pub(crate) fn saw(&self, topic: &str) {
        let mut known = self.known();
        if !known.contains_key(topic) {
            known.insert(topic.into(), self.deadline(Duration::ZERO));
        }
    }

    /// A topic was made.
    pub(crate) fn has_made(&self, topic: &str) {
        self.known().insert(topic.into(), self.question());
    }

    /// A topic is not there, or not any more.
    pub(crate) fn misses(&self, topic: &str) {
        self.known().remove(topic);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Deadline>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn deadline(&self, length: Duration) -> Deadline {
        Deadline::after(self.health.clock, length)
    }

    /// A deadline for a question to the brokers.
    pub(crate) fn question(&self) -> Deadline {
        self.deadline(self.options.request_timeout)
    }

    /// The error of a call that had until `deadline`.
    pub(crate) fn error(&self, doing: &str, deadline: &Deadline, fault: &Fault) -> Error {
        let waited = deadline.length.saturating_sub(deadline.remaining());
        errors::error(&self.health, doing, waited, fault)
    }
}
