//! An app: what is declared before anything runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{CoreOptions, Guarantee, StartFrom};
use beltline_log::SyncPolicy;
use beltline_types::Result;
use beltline_worker::{Local, LocalOptions};
use serde::de::DeserializeOwned;

use crate::belt::Belt;
use crate::on::On;
use crate::pattern::Pattern;
use crate::{HandlerResult, OnError, Table, Topic, cli};

/// Partitions of topics and tables that do not say otherwise; the Python face has the same number.
const DEFAULT_PARTITIONS: u32 = 8;

/// What other processes are told about this one.
fn holder() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

pub(crate) type Step = Box<dyn FnMut(&mut Belt<'_>) -> HandlerResult>;

/// What a handler reads, by its index in the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Topic(usize),
    Pattern(usize),
}

pub(crate) struct Handler {
    pub(crate) name: String,
    pub(crate) reads: Reads,
    pub(crate) step: Step,
    /// `None` takes the app's.
    pub(crate) on_error: Option<OnError>,
}

pub(crate) struct Timer {
    pub(crate) every: Duration,
    pub(crate) step: Step,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicDeclaration {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: u32,
}

/// Topics, tables, handlers and timers under one name, which is also the group whose positions are kept.
pub struct App {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) sync: SyncPolicy,
    pub(crate) endpoint: Option<u16>,
    /// Where the belt is on Apache Kafka.
    #[cfg(feature = "kafka")]
    pub(crate) brokers: Option<crate::kafka::Brokers>,
    pub(crate) core: CoreOptions,
    pub(crate) on_error: OnError,
    partitions: u32,
    pub(crate) topics: Vec<TopicDeclaration>,
    pub(crate) patterns: Vec<Pattern>,
    /// Names of topics that only this app writes and reads.
    pub(crate) between: Vec<Arc<str>>,
    pub(crate) tables: Vec<Arc<str>>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) timers: Vec<Timer>,
}

impl App {
    /// An app with a durable belt in `./<name>-data`, where every event counts once.
    pub fn new(name: impl Into<String>) -> App {
        let name = name.into();
        let group = Arc::from(name.as_str());
        App {
            directory: PathBuf::from(format!("{name}-data")),
            name,
            sync: SyncPolicy::Interval(Duration::from_secs(1)),
            endpoint: Some(0),
            #[cfg(feature = "kafka")]
            brokers: None,
            core: CoreOptions { group, guarantee: Guarantee::ExactlyOnce, ..CoreOptions::default() },
            on_error: OnError::default(),
            partitions: DEFAULT_PARTITIONS,
            topics: Vec::new(),
            patterns: Vec::new(),
            between: Vec::new(),
            tables: Vec::new(),
            handlers: Vec::new(),
            timers: Vec::new(),
        }
    }

    /// Keeps the belt in another directory.
    pub fn directory(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.directory = path.as_ref().to_owned();
        self
    }

    /// What a crash may do to the results; [`Guarantee::ExactlyOnce`] costs nothing on the embedded log.
    pub fn guarantee(&mut self, guarantee: Guarantee) -> &mut Self {
        self.core.guarantee = guarantee;
        self
    }

    /// When the log reaches the disk itself. A killed process loses nothing whatever this says; a power failure may
    /// take back what was committed since the last time.
    pub fn sync(&mut self, sync: SyncPolicy) -> &mut Self {
        self.sync = sync;
        self
    }

    /// Port on 127.0.0.1 where other processes and Kafka's tools reach the log while the app runs: 0, the default, takes
    /// a free one, `None` does not listen. Workers of one data directory share its partitions by it; without it
    /// the first one has the directory for itself.
    pub fn endpoint(&mut self, port: Option<u16>) -> &mut Self {
        self.endpoint = port;
        self
    }

    /// The longest time between two commits.
    pub fn commit_interval(&mut self, interval: Duration) -> &mut Self {
        self.core.commit_interval_ms = Some(interval.as_millis().try_into().unwrap_or(u64::MAX));
        self
    }

    /// Where the app begins in topics it has never read.
    pub fn start_from(&mut self, start: StartFrom) -> &mut Self {
        self.core.start = start;
        self
    }

    /// Partitions of topics and tables declared from now on. A table has as many as the topics whose events write to it.
    pub fn partitions(&mut self, partitions: u32) -> &mut Self {
        self.partitions = partitions;
        self
    }

    /// What happens to events whose handler fails and has no policy of its own.
    pub fn on_error(&mut self, policy: OnError) -> &mut Self {
        self.on_error = policy;
        self
    }

    /// Declares a topic whose values are `V` in JSON; it is created when the app starts.
    pub fn topic<V>(&mut self, name: impl Into<Arc<str>>) -> Topic<V> {
        let name = name.into();
        let index = self.declare(&name);
        Topic::new(index, name)
    }

    pub(crate) fn declare(&mut self, name: &str) -> usize {
        if let Some(index) = self.topics.iter().position(|topic| &*topic.name == name) {
            return index;
        }
        self.topics.push(TopicDeclaration { name: Arc::from(name), partitions: self.partitions });
        self.topics.len() - 1
    }

    /// Declares a table; its changes are kept in the compacted topic `<app>-<table>-changelog`.
    pub fn table<K, V>(&mut self, name: impl Into<Arc<str>>) -> Table<K, V> {
        let name = name.into();
        let known = self.tables.iter().position(|table| *table == name);
        let index = known.unwrap_or_else(|| {
            self.tables.push(name);
            self.tables.len() - 1
        });
        Table::new(index)
    }

    pub(crate) fn changelog(&self, table: &str) -> String {
        format!("{}-{table}-changelog", self.name)
    }

    pub(crate) fn table_partitions(&self) -> u32 {
        self.partitions
    }

    /// Begins to attach a handler to a topic; see [`On`].
    pub fn on<V: DeserializeOwned + 'static>(&mut self, topic: &Topic<V>) -> On<'_, V> {
        On::new(self, Reads::Topic(topic.index), topic.name.to_string())
    }

    /// Begins to attach a handler to every topic whose name `pattern` takes: to those that are there, and to those that come
    /// up while the app runs, from their first event on. They are found within half a second, on Kafka within a minute.
    /// [`Belt::topic_partition`] says where an event comes from.
    ///
    /// No pattern is asked about the app's own changelogs, the topics of [`On::by`], or what begins with `__`. A topic that
    /// does not exist any more is read no longer, and the app goes on. A table that the handler writes to needs as many
    /// partitions as the largest of the topics.
    ///
    /// ```
    /// use beltline::prelude::*;
    ///
    /// let mut app = App::new("shops");
    /// let sold = app.table::<String, u64>("sold");
    /// app.on_pattern(|name| name.starts_with("orders-")).by_value(|shop: &String| shop.clone()).run(move |shop, belt| {
    ///     *belt.table(&sold).entry(&shop)? += 1;
    ///     Ok(())
    /// });
    ///
    /// let mut belt = beltline::testing::start(app)?;
    /// let late = belt.create_topic::<String>("orders-rome", 8)?;
    /// belt.send(&late, &(), &"rome".to_owned())?;
    /// belt.drain()?;
    /// assert_eq!(belt.table(&sold).get("rome")?, Some(1));
    /// # Ok::<(), beltline::Error>(())
    /// ```
    pub fn on_pattern<V: DeserializeOwned + 'static>(&mut self, pattern: impl Fn(&str) -> bool + 'static) -> On<'_, V> {
        let index = self.patterns.len();
        self.patterns.push(Box::new(pattern));
        On::new(self, Reads::Pattern(index), format!("pattern-{index}"))
    }

    /// Runs a function every so often, for as long as the app runs. It may send and read tables; tables are written by
    /// handlers only, because an entry belongs to the partition of an event.
    pub fn every(&mut self, interval: Duration, step: impl FnMut(&mut Belt<'_>) -> HandlerResult + 'static) {
        self.timers.push(Timer { every: interval, step: Box::new(step) });
    }

    /// Whether the belt is on brokers.
    pub(crate) fn is_on_kafka(&self) -> bool {
        #[cfg(feature = "kafka")]
        return self.brokers.is_some();
        #[cfg(not(feature = "kafka"))]
        return false;
    }

    /// Opens the belt to work on it: on its brokers, or in the data directory, which others share that come by its endpoint.
    #[cfg(feature = "kafka")]
    pub(crate) fn open(&self) -> Result<Local> {
        match (&self.brokers, self.endpoint) {
            (Some(brokers), _) => brokers.open(self, &holder(), false),
            (None, Some(port)) => crate::kafka::share(self, holder(), port),
            (None, None) => self.hold(),
        }
    }

    /// As [`App::hold`]: without a Kafka client nobody can share.
    #[cfg(not(feature = "kafka"))]
    pub(crate) fn open(&self) -> Result<Local> {
        self.hold()
    }

    /// Opens the belt in the data directory, which nobody else may hold.
    pub(crate) fn hold(&self) -> Result<Local> {
        Local::open(&self.directory, &LocalOptions { sync: self.sync, holder: holder() })
    }

    /// Opens the belt to look at it or to send, without a part in the group; through the process that holds the data directory,
    /// if one does.
    #[cfg(feature = "kafka")]
    pub(crate) fn visit(&self) -> Result<Local> {
        match &self.brokers {
            Some(brokers) => brokers.open(self, &holder(), true),
            None => crate::kafka::attach(self, holder()),
        }
    }

    /// As [`App::open`]: without a Kafka client there is no way in beside the holder of the data directory.
    #[cfg(not(feature = "kafka"))]
    pub(crate) fn visit(&self) -> Result<Local> {
        self.open()
    }

    /// The app's command line: `worker`, `send`, `table`, `topics`, `reset`. Ends the process with exit code 2 when the
    /// arguments make no sense.
    ///
    /// # Errors
    /// What the command says; `worker` returns when it was stopped by Ctrl-C or SIGTERM.
    pub fn main(self) -> Result<()> {
        cli::main(self)
    }
}
