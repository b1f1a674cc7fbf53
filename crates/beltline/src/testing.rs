//! Running an app in memory, on a clock moved by hand: the real engine, and no files.
//!
//! ```
//! use beltline::prelude::*;
//! use std::time::Duration;
//!
//! let mut app = App::new("beats");
//! let beats = app.topic::<u32>("beats");
//! let seen = app.table::<String, u32>("seen");
//! let target = beats.clone();
//! app.every(Duration::from_secs(60), move |belt| Ok(belt.send(&target, "minute", &1)?));
//! app.on(&beats).run(move |beat, belt| {
//!     *belt.table(&seen).entry("minute")? += beat;
//!     Ok(())
//! });
//!
//! let mut belt = beltline::testing::start(app)?;
//! belt.advance(Duration::from_secs(60))?;
//! assert_eq!(belt.table(&seen).get("minute")?, Some(1));
//! # Ok::<(), beltline::Error>(())
//! ```

use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Origin, Outgoing};
use beltline_env::{Clock, ManualClock, SystemClock};
use beltline_types::{Error, ErrorKind, Result, TopicSpec};
use beltline_worker::Local;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::belt::Belt;
use crate::runner::Runner;
use crate::table::{Table, TableView};
use crate::{App, RecordKey, Topic};

/// Rounds with events in one [`TestBelt::drain`]: an app that feeds itself never drains.
const MAX_BUSY_ROUNDS: usize = 100_000;

/// How long [`TestBelt::drain`] waits for the I/O threads alone, in real time: they may be short of processor time.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// A sleep while the I/O threads work.
const PAUSE: Duration = Duration::from_millis(10);

/// An app that runs in memory, for tests.
pub struct TestBelt {
    runner: Runner,
    clock: Arc<ManualClock>,
}

/// Starts an app on an empty belt in memory.
///
/// # Errors
/// What declaring its topics and tables says.
pub fn start(app: App) -> Result<TestBelt> {
    let clock = Arc::new(ManualClock::default());
    let local = Local::in_memory(clock.clone())?;
    let runner = Runner::start(app, local, clock.clone())?;
    Ok(TestBelt { runner, clock })
}

impl TestBelt {
    /// Makes a topic as another app would, while this one runs; handlers whose pattern takes its name read it.
    ///
    /// # Errors
    /// What the log says to the name or the number of partitions.
    pub fn create_topic<V>(&mut self, name: &str, partitions: u32) -> Result<Topic<V>> {
        let Runner { worker, shared, patterns, .. } = &mut self.runner;
        let id = worker.declare_topic(TopicSpec::new(name, partitions))?;
        // The thread that looks for topics would find it too, some time after a test has drained.
        let there = worker.log().topics()?;
        patterns.read(&mut worker.core, &there, &mut shared.notices)?;
        shared.topics.push(id);
        Ok(Topic::new(shared.topics.len() - 1, name.into()))
    }

    /// Sends a value as a producer outside of the app would; `&()` is no key.
    ///
    /// # Errors
    /// See [`Belt::send`].
    pub fn send<V: Serialize>(&mut self, topic: &Topic<V>, key: &(impl RecordKey + ?Sized), value: &V) -> Result<()> {
        self.belt().send(topic, key, value)
    }

    /// Sends bytes as they are, for what a decoder should refuse.
    ///
    /// # Errors
    /// `Usage` for a topic of another app.
    pub fn send_bytes<V>(&mut self, topic: &Topic<V>, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let id = self.runner.shared.topics.get(topic.index).copied().ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("topic {} was declared for another app", topic.name))
        })?;
        let record = Outgoing { partition: None, key, value, headers: &[], timestamp: -1 };
        self.runner.worker.core.send(id, &record, Origin::Outside(0))?;
        Ok(())
    }

    /// Runs until every event is processed and committed, those that handlers send included.
    ///
    /// # Errors
    /// That of a handler whose policy is to fail; `Limit` when there is no end.
    pub fn drain(&mut self) -> Result<()> {
        let watch = SystemClock::default();
        let (mut busy_rounds, mut heard, mut silent) = (0, watch.monotonic(), false);
        while busy_rounds < MAX_BUSY_ROUNDS {
            let happened = self.runner.turn()?;
            if self.runner.worker.core.is_idle() {
                return Ok(());
            }
            self.runner.worker.core.request_commit();
            if happened {
                busy_rounds += 1;
                (heard, silent) = (watch.monotonic(), false);
            } else if !std::mem::replace(&mut silent, true) {
                // The commit asked for just now makes the next round a busy one, if it can be.
            } else if watch.monotonic() - heard > LONGEST_SILENCE {
                let seconds = LONGEST_SILENCE.as_secs();
                let message = format!("nothing has happened for {seconds} s, and yet there is something to do");
                return Err(Error::new(ErrorKind::Limit, message));
            } else {
                self.runner.worker.wait_for_io(PAUSE);
            }
        }
        Err(Error::new(ErrorKind::Limit, "the app finds no end: do its handlers send to the topics they read?"))
    }

    /// Moves the clock, runs the timers that are due, and drains.
    ///
    /// # Errors
    /// See [`TestBelt::drain`].
    pub fn advance(&mut self, time: Duration) -> Result<()> {
        self.clock.advance(time);
        self.drain()
    }

    /// A table over all its shards.
    pub fn table<K, V>(&mut self, table: &Table<K, V>) -> TableView<'_, K, V> {
        TableView::new(&mut self.runner.worker.core, &mut self.runner.shared, table.index, None)
    }

    /// Every value of a topic, partition after partition.
    ///
    /// # Errors
    /// `Decode` for bytes that are no `V`.
    pub fn values<V: DeserializeOwned>(&mut self, topic: &Topic<V>) -> Result<Vec<V>> {
        let log = self.runner.worker.log().clone();
        crate::cli::read_topic(&*log, topic.name(), &mut |record| {
            serde_json::from_slice(record.value.unwrap_or(b"null")).map_err(|error| {
                let message = format!("topic {}, offset {}: no value", topic.name(), record.offset);
                Error::new(ErrorKind::Decode, message).with_source(error)
            })
        })
    }

    /// What the app told its operator since the last call: skipped events, dead letters, keys in the wrong partition.
    pub fn notices(&mut self) -> Vec<String> {
        self.runner.take_notices()
    }

    fn belt(&mut self) -> Belt<'_> {
        Belt { core: &mut self.runner.worker.core, shared: &mut self.runner.shared, ticket: None }
    }
}
