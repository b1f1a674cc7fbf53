//! Whether the brokers answer, what they said last, and how long the silence lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_env::{Clock, SystemClock};
use beltline_types::{Error, ErrorKind};

use crate::errors::{cause_of, kind_of};
use crate::raw::client::{Callbacks, Delivery, Token};
use crate::raw::code::{Code, Fault};

/// Where a broker listens whose address has no port.
const DEFAULT_PORT: u16 = 9092;

/// Syslog's number for an error; lower is worse.
const ERROR_LEVEL: i32 = 3;

/// A point in time after which nobody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    clock: SystemClock,
    pub(crate) length: Duration,
    end: Duration,
}

impl Deadline {
    pub(crate) fn after(clock: SystemClock, length: Duration) -> Deadline {
        Deadline { clock, length, end: clock.monotonic() + length }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.end.saturating_sub(self.clock.monotonic())
    }

    /// What is left, for librdkafka.
    pub(crate) fn remaining_ms(&self) -> i32 {
        i32::try_from(self.remaining().as_millis()).unwrap_or(i32::MAX)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }
}

#[derive(Debug, Default)]
struct State {
    last_error: Option<String>,
    /// What was last wrong with each address that was given.
    by_address: BTreeMap<String, String>,
    /// The brokers answer, but refuse who asks.
    refused: bool,
    /// A certificate was not accepted, by them or by us.
    distrusted: bool,
    /// Since when no broker is known to answer, and whether a question was left unanswered since.
    suspected: Option<(Duration, bool)>,
}

/// What all handles of one log report to.
#[derive(Debug)]
pub(crate) struct Health {
    servers: String,
    pub(crate) clock: SystemClock,
    state: Mutex<State>,
}

impl Health {
    pub(crate) fn new(servers: &str) -> Health {
        Health { servers: servers.into(), clock: SystemClock::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, code: Code, sentence: &str) {
        let code = cause_of(code, sentence);
        let mut state = self.state();
        if let Some((address, reason)) = self.by_address(sentence) {
            state.by_address.insert(address.into(), reason.into());
        }
        let names_cause = code != Code::ALL_BROKERS_DOWN || state.last_error.is_none();
        if names_cause {
            state.last_error = Some(format!("{sentence} ({})", code.name()));
            state.refused = kind_of(code) == ErrorKind::Unauthorized;
            // What a broker says against ours comes as an alert on a connection that is there already.
            state.distrusted = [Code::SSL, Code::TRANSPORT].contains(&code)
                && ["certificate", "unknown ca"].iter().any(|word| sentence.contains(word));
        }
        let suspicious = [Code::ALL_BROKERS_DOWN, Code::RESOLVE, Code::AUTHENTICATION, Code::SSL, Code::TRANSPORT];
        if suspicious.contains(&code) {
            let now = self.clock.monotonic();
            state.suspected.get_or_insert((now, false));
        }
    }

    /// A broker answered.
    pub(crate) fn well(&self) {
        let mut state = self.state();
        *state = State::default();
    }

    /// Whether the brokers refused the credentials, or one side the other's certificate, so that waiting is of no use.
    pub(crate) fn is_refused(&self) -> bool {
        let state = self.state();
        state.refused || state.distrusted
    }

    /// The address, as it was given, that a sentence of librdkafka is about, and what is wrong there: these sentences
    /// begin with `ssl://host:9092/bootstrap: `.
    fn by_address<'a>(&'a self, sentence: &'a str) -> Option<(&'a str, &'a str)> {
        let (broker, reason) = sentence.split_once(": ")?;
        let (address, _) = broker.rsplit_once('/')?;
        let address = address.split_once("://").map_or(address, |(_, address)| address);
        let given = self.addresses().find(|given| *given == address || format!("{given}:{DEFAULT_PORT}") == address)?;
        Some((given, reason.split(" (after ").next().unwrap_or(reason)))
    }

    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.servers.split(',').map(str::trim).filter(|address| !address.is_empty())
    }

    /// Each address that was given, and what is wrong there.
    pub(crate) fn silence(&self) -> String {
        let state = self.state();
        let told = self.addresses().map(|address| {
            let reason = state.by_address.get(address).map_or("nothing has come back yet", String::as_str);
            format!("{address} ({reason})")
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// A question to whatever broker was left unanswered.
    pub(crate) fn unwell(&self) {
        let now = self.clock.monotonic();
        self.state().suspected.get_or_insert((now, false)).1 = true;
    }

    pub(crate) fn is_suspected(&self) -> bool {
        self.state().suspected.is_some()
    }

    /// Why nothing can be read or written, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let (since, confirmed) = state.suspected?;
        let seconds = self.clock.monotonic().saturating_sub(since).as_secs();
        let cause = state.last_error.as_deref().unwrap_or("no reason was given");
        let servers = &self.servers;
        confirmed
            .then(|| format!("the Kafka brokers at {servers} have not answered for {seconds} s; last error: {cause}"))
    }

    /// The error for a question that was not answered in time.
    pub(crate) fn unavailable(&self, doing: &str, waited: Duration, fault: &Fault) -> Error {
        self.unwell();
        let state = self.state();
        let cause = state.last_error.clone().unwrap_or_else(|| fault.to_string());
        let servers = &self.servers;
        let seconds = waited.as_secs_f32();
        if state.refused {
            let sentence = format!("{doing}: the Kafka brokers at {servers} refuse the credentials: {cause}");
            return Error::new(ErrorKind::Unauthorized, sentence);
        }
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "{doing}: the Kafka brokers at {servers} did not answer within {seconds:.1} s; check that they run and \
                 can be reached from here; last error: {cause}"
            ),
        )
    }
}

/// What a handle calls when nothing but its health is of interest, and where its tokens come from.
pub(crate) struct HealthCallbacks {
    pub(crate) health: std::sync::Arc<Health>,
    pub(crate) tokens: Option<std::sync::Arc<dyn crate::TokenSource>>,
    /// Where deliveries go.
    pub(crate) delivered: Option<Box<dyn Fn(Delivery) + Send + Sync>>,
}

impl Callbacks for HealthCallbacks {
    fn error(&self, code: Code, sentence: &str) {
        self.health.note(code, sentence);
    }

    fn log(&self, level: i32, sentence: &str) {
        // Errors come by `error` as well; of the rest nothing is for the user.
        let mut state = self.health.state();
        if level <= ERROR_LEVEL && state.last_error.is_none() {
            state.last_error = Some(sentence.into());
        }
    }

    fn delivered(&self, delivery: Delivery) {
        if let Some(delivered) = &self.delivered {
            delivered(delivery);
        }
    }

    fn token(&self) -> Option<Result<Token, String>> {
        let made = self.tokens.as_ref()?.token();
        Some(made.map(|token| Token {
            value: token.value,
            expires_at_ms: token.expires_at_ms,
            principal: token.principal,
            extensions: token.extensions,
        }))
    }

    fn makes_tokens(&self) -> bool {
        self.tokens.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_names_each_address_with_what_is_wrong_there() {
        let health = Health::new("one:9092,two, three:1");
        health.note(
            Code::TRANSPORT,
            "sasl_ssl://one:9092/bootstrap: Connect failed: refused (after 0ms in state CONNECT)",
        );
        health.note(Code::RESOLVE, "two:9092/bootstrap: Failed to resolve 'two:9092'");
        health.note(Code::TRANSPORT, "elsewhere:9092/7: Disconnected");
        let expected = "one:9092 (Connect failed: refused), two (Failed to resolve 'two:9092'), \
                        three:1 (nothing has come back yet)";
        assert_eq!(health.silence(), expected);
    }

    #[test]
    fn waiting_is_of_no_use_after_a_refusal_only() {
        let health = Health::new("one");
        for (code, reason) in [
            (Code::TRANSPORT, "Connect failed"),
            (Code::AUTHENTICATION, "SASL PLAIN mechanism handshake failed: Local: Broker transport failure: (n/a)"),
            (Code::AUTHENTICATION, "SaslAuthenticateRequest failed: Local: Timed out"),
        ] {
            health.note(code, &format!("one:9092/bootstrap: {reason}"));
            assert!(!health.is_refused(), "{reason}");
        }
        for (code, reason) in [
            (Code::SSL, "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed"),
            (Code::TRANSPORT, "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate"),
            (Code::AUTHENTICATION, "SASL authentication error: Authentication failed"),
        ] {
            health.note(code, &format!("one:9092/bootstrap: {reason}"));
            assert!(health.is_refused(), "{reason}");
            health.well();
            assert!(!health.is_refused());
        }
    }
}
