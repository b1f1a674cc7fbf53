//! Everything around the app, and the dice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Guarantee, LogCommand, LogEvent};
use beltline_env::{Clock, ManualClock, MemoryFiles, Random, SeededRandom};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_store::{Store, StoreOptions};
use beltline_table::{Key, Value};
use beltline_types::{Append, BatchBuilder, CommitRequest, Error, ErrorKind, Result, TopicPartition};
use beltline_worker::io::{self, Restored, ShardChanges};

use crate::check::{Notes, Totals, count_values};
use crate::node::{BY_VALUE, INPUT, NOTES, Node, OUTPUT, PARTITIONS};

/// Different values in the input.
const VALUES: u64 = 12;

/// Rounds in which a world without faults must come to rest.
const ROUNDS_TO_REST: usize = 200_000;

/// Which faults the dice may throw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The process is killed; disk and memory of the system stay.
    pub kills: bool,
    /// The machine loses power: what was not synced is gone, in part or altogether.
    pub power_failures: bool,
    /// The log refuses commits.
    pub aborts: bool,
}

/// The app, its log, store and clock, and what is under way between them.
pub struct World {
    guarantee: Guarantee,
    random: SeededRandom,
    clock: Arc<ManualClock>,
    log: Arc<EmbeddedLog>,
    files: MemoryFiles,
    store: Store,
    node: Node,
    /// Commands of the core nobody has answered.
    pending: Vec<LogCommand>,
    /// Changes of the last unit that the store has not seen: the commit thread does one unit after the other.
    unstored: Option<Vec<ShardChanges>>,
    boundaries: u64,
    crash_at: Option<u64>,
    crashes: u64,
    /// Notes so far.
    notes: u64,
}

impl World {
    /// A world with an empty log.
    ///
    /// # Errors
    /// None the simulation expects.
    pub fn new(seed: u64, guarantee: Guarantee) -> Result<World> {
        let clock = Arc::new(ManualClock::default());
        let files = MemoryFiles::default();
        let log = Arc::new(open_log(&files, &clock)?);
        let node = Node::start(&*log, guarantee)?;
        log.sync()?;
        Ok(World {
            guarantee,
            random: SeededRandom::new(seed),
            clock,
            store: open_store(&files),
            log,
            files,
            node,
            pending: Vec::new(),
            unstored: None,
            boundaries: 0,
            crash_at: None,
            crashes: 0,
            notes: 0,
        })
    }

    /// Kills the process at the boundary with this number; see [`World::boundaries`].
    #[must_use]
    pub fn crash_at(mut self, boundary: u64) -> World {
        self.crash_at = Some(boundary);
        self
    }

    /// Moments passed so far at which a crash makes a difference: around every event, finish, and step of a commit.
    pub fn boundaries(&self) -> u64 {
        self.boundaries
    }

    /// Crashes so far.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Throws the dice `steps` times.
    ///
    /// # Errors
    /// One that no fault explains: a defect.
    pub fn run(&mut self, steps: usize, faults: Faults) -> Result<()> {
        for _ in 0..steps {
            match self.random.below(100) {
                0..10 => self.produce()?,
                10..45 => self.answer(faults)?,
                45..70 => {
                    let which = self.either_subscription();
                    self.node.handle(which)?;
                    self.boundary()?;
                }
                70..85 => {
                    self.finish_one();
                    self.boundary()?;
                }
                85..88 => {
                    let which = self.either_subscription();
                    self.node.take_and_release(which);
                }
                88..94 => self.pass(),
                94 | 95 => self.note()?,
                96 => self.log.sync()?,
                97 => self.tidy()?,
                98 if faults.kills && self.random.once_in(4) => self.kill()?,
                99 if faults.power_failures && self.random.once_in(8) => self.lose_power()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the app finish in peace.
    ///
    /// # Errors
    /// `Internal` when it does not: something is stuck.
    pub fn come_to_rest(&mut self) -> Result<()> {
        let calm = Faults { kills: false, power_failures: false, aborts: false };
        for _ in 0..ROUNDS_TO_REST {
            if self.node.core.is_idle() && self.unstored.is_none() && self.node.held.is_empty() {
                return Ok(());
            }
            match self.random.below(5) {
                0 | 1 => self.answer(calm)?,
                2 => {
                    let which = self.either_subscription();
                    self.node.handle(which)?;
                    self.boundary()?;
                }
                3 => {
                    self.finish_one();
                    self.boundary()?;
                }
                _ => self.pass(),
            }
        }
        let message = format!("the app does not come to rest: {:?}", self.node.core.health());
        Err(Error::new(ErrorKind::Internal, message))
    }

    /// The fold over the input, the table, and the output, in this order.
    ///
    /// # Errors
    /// What the log says.
    pub fn totals(&self) -> Result<[Totals; 3]> {
        let mut table = Totals::new();
        for shard in (0..PARTITIONS).filter_map(|partition| self.node.core.shard(self.node.table, partition)) {
            for (key, value) in shard.iter() {
                let mut bytes = Vec::new();
                key.encode(&mut bytes);
                if let Value::Int(count) = value {
                    *table.entry(bytes).or_default() += count;
                }
            }
        }
        Ok([count_values(&*self.log, INPUT)?, table, count_values(&*self.log, OUTPUT)?])
    }

    /// What a process started now would have in its table, built from the store and the changelog.
    ///
    /// # Errors
    /// One that no fault explains: a defect.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()
    }

    /// How many events went through the topic in the middle.
    ///
    /// # Errors
    /// What the log says.
    pub fn rekeyed(&self) -> Result<Totals> {
        count_values(&*self.log, BY_VALUE)
    }

    /// What was sent without an event.
    ///
    /// # Errors
    /// What the log says.
    pub fn notes(&self) -> Result<Notes> {
        Ok(Notes { written: count_values(&*self.log, NOTES)?, owed: self.node.noted.clone() })
    }

    fn note(&mut self) -> Result<()> {
        self.notes += 1;
        self.node.note(self.notes.to_string().into_bytes())
    }

    fn either_subscription(&mut self) -> beltline_engine::SubscriptionId {
        if self.random.once_in(2) { self.node.rekey } else { self.node.count }
    }

    fn produce(&mut self) -> Result<()> {
        let mut records = BatchBuilder::default();
        for _ in 0..=self.random.below(4) {
            records.push(None, Some(self.random.below(VALUES).to_string().as_bytes()), &[], -1);
        }
        let target = TopicPartition::new(INPUT, self.random.below(PARTITIONS.into()) as u32);
        self.log.commit(CommitRequest { appends: vec![Append { target, records }], ..CommitRequest::default() })?;
        Ok(())
    }

    fn finish_one(&mut self) {
        if !self.node.held.is_empty() {
            let index = self.random.below(self.node.held.len() as u64) as usize;
            self.node.finish(index);
        }
    }

    fn pass(&mut self) {
        self.clock.advance(Duration::from_millis(self.random.below(60)));
        self.node.core.tick(self.clock.monotonic());
    }

    fn tidy(&mut self) -> Result<()> {
        // As the worker does: not before the tables are complete.
        if self.node.core.shards_ready() {
            self.store.compact()?;
            self.log.maintain()?;
        }
        Ok(())
    }

    /// A log or store thread takes one step, whichever the dice say.
    fn answer(&mut self, faults: Faults) -> Result<()> {
        while let Some(command) = self.node.core.poll_command() {
            self.pending.push(command);
        }
        while self.node.core.poll_receipt().is_some() || self.node.core.poll_notice().is_some() {}
        if let Some(changes) = self.unstored.take_if(|_| self.random.once_in(2)) {
            io::store_unit(&self.store, &changes)?;
            return self.boundary();
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.pending.len() as u64) as usize;
        let command = self.pending.swap_remove(index);
        let now = self.clock.monotonic();
        match command {
            LogCommand::Fetch { fetch, partition, offset, max_bytes, wait } => {
                match io::fetch(&*self.log, fetch, &partition, offset, max_bytes, wait) {
                    Some(event) => self.node.core.handle(event, now),
                    None => self.pending.push(LogCommand::Fetch { fetch, partition, offset, max_bytes, wait }),
                }
            }
            LogCommand::CancelFetch { fetch: cancelled, .. } => self
                .pending
                .retain(|command| !matches!(command, LogCommand::Fetch { fetch, .. } if *fetch == cancelled)),
            LogCommand::LookupOffsets { lookup, partitions } => {
                let found = io::look_up(&*self.log, "sim", &partitions)?;
                self.node.core.handle(LogEvent::Offsets { lookup, found }, now);
            }
            LogCommand::Restore { restore, table, partition } => {
                let Some(spec) = self.node.core.table_spec(table).cloned() else { return Ok(()) };
                let restored = io::restore(&*self.log, &self.store, &*self.clock, &spec, partition, &mut |_, _| true)?;
                if let Some(Restored { shard, .. }) = restored {
                    self.node.core.handle(LogEvent::Restored { restore, table, partition, shard }, now);
                }
            }
            LogCommand::Join { topics } => {
                self.log.join("sim", &topics)?;
                while let Some(event) = self.log.poll_group(Duration::ZERO)? {
                    self.node.core.handle(io::group_event(event), now);
                }
            }
            // The log of one member takes nothing away and keeps nothing warm.
            LogCommand::Release { .. } | LogCommand::DropShards { .. } | LogCommand::Standby { .. } => {}
            LogCommand::Commit(unit) if self.unstored.is_some() => self.pending.push(LogCommand::Commit(unit)),
            LogCommand::Commit(unit) => {
                let crashes = self.crashes;
                self.boundary()?;
                if self.crashes > crashes {
                    return Ok(());
                }
                if faults.aborts && self.random.once_in(10) {
                    let error = Error::new(ErrorKind::Aborted, "thrown by the dice");
                    self.node.held.clear();
                    self.node.core.handle(LogEvent::CommitFailed(error), now);
                    return Ok(());
                }
                let names: Vec<Arc<str>> = self.node.core.tables().map(|(_, spec)| spec.name.clone()).collect();
                let (receipt, changes) = io::write_unit(&*self.log, unit, &names)?;
                self.boundary()?;
                if self.crashes == crashes {
                    self.unstored = Some(changes);
                    self.node.core.handle(LogEvent::Committed(receipt), now);
                    self.boundary()?;
                }
            }
        }
        Ok(())
    }

    fn boundary(&mut self) -> Result<()> {
        self.boundaries += 1;
        if self.crash_at == Some(self.boundaries) { self.kill() } else { Ok(()) }
    }

    /// Everything in the process is gone; a new one starts on the same log and files.
    fn kill(&mut self) -> Result<()> {
        self.crashes += 1;
        self.pending.clear();
        self.unstored = None;
        self.store = open_store(&self.files);
        self.log.leave()?;
        self.node = Node::start(&*self.log, self.guarantee)?;
        Ok(())
    }

    fn lose_power(&mut self) -> Result<()> {
        self.files.crash_torn(&mut self.random);
        self.log = Arc::new(open_log(&self.files, &self.clock)?);
        self.kill()
    }

    /// The counts of one key in the table, for a look at single entries.
    pub fn count_of(&self, value: &str) -> Option<i64> {
        let find =
            |partition| match self.node.core.shard(self.node.table, partition)?.get(Key::Encoded(value.as_bytes()))? {
                Value::Int(count) => Some(*count),
                _ => None,
            };
        (0..PARTITIONS).find_map(find)
    }
}

pub(crate) fn open_log(files: &MemoryFiles, clock: &Arc<ManualClock>) -> Result<EmbeddedLog> {
    // Small enough that appends are cut, changelogs are compacted and files are cleaned all the time.
    let options = LogOptions {
        sync: SyncPolicy::Never,
        block_bytes: 300,
        merge_blocks: 5,
        compact_min_bytes: 500,
        segment_bytes: 3000,
        ..LogOptions::default()
    };
    EmbeddedLog::open_in(Arc::new(files.clone()), Path::new("log"), options, clock.clone())
}

fn open_store(files: &MemoryFiles) -> Store {
    // Small enough that new generations begin all the time.
    let options = StoreOptions { compact_ratio: 0.5, compact_min_bytes: 200 };
    Store::new(Arc::new(files.clone()), PathBuf::from("tables"), options)
}
