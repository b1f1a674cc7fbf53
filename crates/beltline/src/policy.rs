//! What happens to an event whose handler fails.

use std::time::Duration;

/// What happens to an event whose handler returned an error, or whose bytes cannot be decoded.
///
/// Not promised: that a failed run leaves no trace. What it wrote to tables or sent before it failed stays, so a
/// handler that is retried writes last, or writes the same thing on every run.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnError {
    /// Tell, and go on with the next event.
    #[default]
    Skip,
    /// Stop the app with the error; the event is met again at the next start.
    Fail,
    /// Run the handler again after a pause that doubles each time (at most a minute), then do what `last` says. Bytes
    /// that cannot be decoded fail the same way each time: for them `last` is done at once.
    Retry {
        /// How many more runs after the first.
        times: u32,
        /// Pause before the first of them.
        backoff: Duration,
        /// What happens when the last run failed too.
        last: Last,
    },
    /// Send key, value and headers unchanged to this topic, add the cause as headers, and go on.
    DeadLetter(String),
}

/// What a [`OnError::Retry`] ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Last {
    /// As [`OnError::Fail`].
    #[default]
    Fail,
    /// As [`OnError::Skip`].
    Skip,
    /// As [`OnError::DeadLetter`].
    DeadLetter(String),
}

/// The longest pause between two runs.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

impl OnError {
    /// The topic that failed events go to.
    pub(crate) fn dead_letter_topic(&self) -> Option<&str> {
        match self {
            OnError::DeadLetter(topic) | OnError::Retry { last: Last::DeadLetter(topic), .. } => Some(topic),
            _ => None,
        }
    }

    /// How long to wait after `attempts` failed runs; `None` when no run is left.
    pub(crate) fn pause(&self, attempts: u32) -> Option<Duration> {
        match self {
            OnError::Retry { times, backoff, .. } if attempts <= *times => {
                Some(backoff.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_BACKOFF))
            }
            _ => None,
        }
    }

    /// What happens when no run is left.
    pub(crate) fn last(&self) -> Last {
        match self {
            OnError::Skip => Last::Skip,
            OnError::Fail => Last::Fail,
            OnError::DeadLetter(topic) => Last::DeadLetter(topic.clone()),
            OnError::Retry { last, .. } => last.clone(),
        }
    }
}
