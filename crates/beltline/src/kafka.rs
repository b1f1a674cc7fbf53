//! An app on Apache Kafka.

use std::fmt;
use std::sync::Arc;

use beltline_attach::{AttachOptions, Closing, Opened};
use beltline_engine::{Guarantee, StartFrom};
use beltline_kafka::{KafkaLog, KafkaOptions, StartPolicy};
use beltline_log::DataDirectory;
use beltline_types::{Error, ErrorKind, Result};
use beltline_worker::Local;

pub use beltline_kafka::{AccessToken, TokenSource};

use crate::App;

/// What a URL of brokers begins with.
const SCHEME: &str = "kafka://";

/// Kafka's port where a URL names none.
const PORT: &str = "9092";

/// What an app has been told about its brokers.
#[derive(Clone, Default)]
pub(crate) struct Brokers {
    url: String,
    options: Vec<(String, String)>,
    tokens: Option<Arc<dyn TokenSource>>,
    replication_factor: Option<i32>,
}

impl fmt::Debug for Brokers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options may hold passwords.
        formatter.debug_struct("Brokers").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The belt on Apache Kafka, with the default feature `kafka` of this crate.
///
/// ```no_run
/// use beltline::prelude::*;
///
/// let mut app = App::new("shop");
/// app.broker("kafka://kafka1:9092;kafka2:9092").broker_option("producer.compression.type", "zstd");
/// ```
impl App {
    /// Puts the belt on brokers: `kafka://host:port`, several separated by `;`. Nothing else changes: several workers share
    /// the partitions then, and the data directory holds copies of tables only.
    pub fn broker(&mut self, url: impl Into<String>) -> &mut Self {
        self.brokers.get_or_insert_default().url = url.into();
        self
    }

    /// Any option of librdkafka by its name, with the prefix `consumer.` or `producer.` for one of the two, as in Python's
    /// `broker_options`. Those on which a promise rests are refused at the start, with the reason.
    pub fn broker_option(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.brokers.get_or_insert_default().options.push((name.into(), value.into()));
        self
    }

    /// Who makes tokens for `sasl.mechanism=OAUTHBEARER`.
    pub fn broker_tokens(&mut self, tokens: impl TokenSource + 'static) -> &mut Self {
        self.brokers.get_or_insert_default().tokens = Some(Arc::new(tokens));
        self
    }

    /// Copies among brokers of topics that the app creates; without this what the brokers think right.
    pub fn topic_replication_factor(&mut self, copies: i32) -> &mut Self {
        self.brokers.get_or_insert_default().replication_factor = Some(copies);
        self
    }
}

impl Brokers {
    /// Takes a worker's place in the data directory and connects.
    ///
    /// # Errors
    /// `Usage` for a URL or an option that cannot be, `DataDirectory` when there is no place, and what the brokers say.
    pub(crate) fn open(&self, app: &App, holder: &str, observes: bool) -> Result<Local> {
        let place = DataDirectory::open_place(&app.directory, holder)?;
        let mut options = self.options(app)?;
        options.observes = observes;
        // Stable over restarts, so that a worker that comes back ends the transaction it left open.
        options.transactional_id = Some(format!("{}-{}", app.name, place.identity()?));
        Ok(Local::with_log(Arc::new(KafkaLog::connect(options)?), place))
    }

    fn options(&self, app: &App) -> Result<KafkaOptions> {
        let mut options = KafkaOptions::new("", app.name.as_str());
        for (name, value) in &self.options {
            options.set(name, value)?;
        }
        if !options.bootstrap_servers.is_empty() {
            return Err(refused("the option bootstrap.servers: name the brokers with App::broker".into()));
        }
        options.bootstrap_servers = servers(&self.url)?;
        promise(app, &mut options);
        options.tokens.clone_from(&self.tokens);
        options.replication_factor = self.replication_factor;
        Ok(options)
    }
}

/// What an app promises, in the Kafka client's words.
fn promise(app: &App, options: &mut KafkaOptions) {
    options.guarantee = match app.core.guarantee {
        Guarantee::AtLeastOnce => beltline_kafka::Guarantee::AtLeastOnce,
        Guarantee::ExactlyOnce => beltline_kafka::Guarantee::ExactlyOnce,
    };
    options.start = match app.core.start {
        StartFrom::Earliest => StartPolicy::Earliest,
        StartFrom::Latest => StartPolicy::Latest,
    };
}

/// The belt of the data directory for one who works on it: held here and served at `port`, or shared with its holder.
///
/// # Errors
/// See [`beltline_attach::open`].
pub(crate) fn share(app: &App, holder: String, port: u16) -> Result<Local> {
    let mut options = AttachOptions { holder, sync: app.sync, ..AttachOptions::new(&app.name) };
    options.endpoint.address.set_port(port);
    options.must_listen = port != 0;
    promise(app, &mut options.kafka);
    let Opened { log, store_path, place } = beltline_attach::open(&app.directory, options)?;
    let notice = match log.holder() {
        Some(holder) => Some(format!("the data directory is held by {holder}; attached to it")),
        None => log.address().map(|address| format!("kafka endpoint {address}")),
    };
    Ok(Local::with_store(log.clone(), store_path, place).accompanied(Box::new(Closing(log)), notice))
}

/// The belt of the data directory for one who looks or sends, whoever holds it.
///
/// # Errors
/// See [`beltline_attach::open`].
pub(crate) fn attach(app: &App, holder: String) -> Result<Local> {
    let options = AttachOptions { holder, sync: app.sync, ..AttachOptions::observing(&app.name) };
    let Opened { log, store_path, place } = beltline_attach::open(&app.directory, options)?;
    Ok(Local::with_store(log, store_path, place))
}

fn refused(sentence: String) -> Error {
    Error::new(ErrorKind::Usage, sentence)
}

/// The brokers of a URL as librdkafka writes them.
fn servers(url: &str) -> Result<String> {
    let hosts = url.strip_prefix(SCHEME).ok_or_else(|| {
        refused(format!("broker {url:?}: a URL like kafka://host:9092 is wanted, several hosts separated by ';'"))
    })?;
    if hosts.contains('@') {
        // The URL itself is not repeated: it holds a password.
        let sentence = "a user and a password do not belong into a broker's URL, which ends up in logs: give the options \
                        sasl.username and sasl.password";
        return Err(refused(sentence.into()));
    }
    let hosts = hosts.split([';', ',']).map(|host| host.trim().trim_start_matches(SCHEME).trim_end_matches('/'));
    let hosts: Vec<String> = hosts
        .filter(|host| !host.is_empty())
        .map(|host| match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => format!("{host}:{PORT}"),
        })
        .collect();
    if hosts.is_empty() { Err(refused(format!("broker {url:?} names no host"))) } else { Ok(hosts.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_lists_of_servers() {
        assert_eq!(servers("kafka://here").unwrap(), "here:9092");
        assert_eq!(servers("kafka://a:1;b;kafka://c:3/").unwrap(), "a:1,b:9092,c:3");
    }

    #[test]
    fn urls_that_cannot_be_are_refused_without_their_passwords() {
        for (url, says) in [("localhost:9092", "kafka://host:9092"), ("kafka://", "names no host")] {
            assert!(servers(url).unwrap_err().to_string().contains(says), "{url}");
        }
        let said = servers("kafka://me:hush@here").unwrap_err().to_string();
        assert!(said.contains("sasl.password") && !said.contains("hush"), "{said}");
    }

    #[test]
    fn options_pass_through_and_promises_stay() {
        let mut app = App::new("shop");
        app.broker("kafka://here").broker_option("producer.linger.ms", "7").broker_option("client.id", "me");
        let options = app.brokers.clone().unwrap().options(&app).unwrap();
        assert_eq!((options.linger.as_millis(), options.client_id.as_str()), (7, "me"));
        assert_eq!(options.guarantee, beltline_kafka::Guarantee::ExactlyOnce);
        app.broker_option("enable.auto.commit", "true");
        let error = app.brokers.clone().unwrap().options(&app).unwrap().check().unwrap_err();
        assert!(error.to_string().contains("enable.auto.commit"), "{error}");
        app.broker_option("bootstrap.servers", "there:1");
        assert!(app.brokers.clone().unwrap().options(&app).unwrap_err().to_string().contains("App::broker"));
    }
}
