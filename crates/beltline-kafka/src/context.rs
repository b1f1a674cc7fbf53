//! What all parts of one Kafka log share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Topics that a broker has shown.
    pub(crate) seen: Mutex<BTreeSet<Arc<str>>>,
    /// Topics made just now, and until when brokers may not know them yet.
    pub(crate) made: Mutex<BTreeMap<String, Deadline>>,
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

    /// Whether a broker has shown this topic before.
    pub(crate) fn has_seen(&self, topic: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(topic)
    }

    /// Keeps in mind whether there is such a topic.
    pub(crate) fn saw(&self, topic: &str, is_there: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_there {
            seen.remove(topic);
        } else if !seen.contains(topic) {
            seen.insert(topic.into());
        }
    }

    pub(crate) fn deadline(&self, length: Duration) -> Deadline {
        Deadline::after(self.health.clock, length)
    }

    /// Remembers that a topic was made; the brokers hear of it one after the other.
    pub(crate) fn has_made(&self, topic: &str) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, deadline| !deadline.is_over());
        made.insert(topic.to_owned(), self.question());
    }

    /// Whether a broker that does not know a topic may hear of it in a moment.
    pub(crate) fn may_be_new(&self, topic: &str) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(topic).is_some_and(|deadline| !deadline.is_over())
    }

    /// A topic was deleted.
    pub(crate) fn has_deleted(&self, topic: &str) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
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
