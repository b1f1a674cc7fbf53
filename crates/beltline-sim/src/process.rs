//! One process of a cluster: the app, its own disk, and what is under way between them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beltline_engine::{Guarantee, LogCommand, LogEvent};
use beltline_env::{Clock, ManualClock, MemoryFiles, Random, SeededRandom};
use beltline_log::{GroupEvent, Log};
use beltline_store::{Store, StoreOptions};
use beltline_types::{Error, ErrorKind, Offset, Result};
use beltline_worker::io::{self, Restored, ShardChanges};

use crate::cluster::ClusterFaults;
use crate::member_log::MemberLog;
use crate::node::Node;

/// Bytes of one step of keeping a shard warm: several are needed for most shards.
const STANDBY_BYTES: usize = 200;

pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) log: Arc<MemberLog>,
    pub(crate) files: MemoryFiles,
    clock: Arc<ManualClock>,
    store: Store,
    /// Commands nobody has answered, in the order they were given.
    pending: Vec<LogCommand>,
    /// Changes of the last unit that the store has not seen, and the shards they belong to.
    unstored: Option<(Vec<ShardChanges>, Vec<u32>)>,
    /// The log's answer to a commit, which the owner has not heard.
    answered: Option<LogEvent>,
    /// Numbers kept warm, and how far.
    standby: BTreeMap<u32, Option<Offset>>,
    /// It does nothing until then.
    pub(crate) paused_until: Duration,
    pub(crate) stopping: bool,
    pub(crate) fenced: u64,
    pub(crate) warmed: u64,
}

impl Process {
    pub(crate) fn start(
        log: MemberLog,
        files: MemoryFiles,
        clock: Arc<ManualClock>,
        guarantee: Guarantee,
    ) -> Result<Process> {
        let node = Node::start(&log, guarantee)?;
        let options = StoreOptions { compact_ratio: 0.5, compact_min_bytes: 200 };
        let store = Store::new(Arc::new(files.clone()), PathBuf::from("tables"), options);
        Ok(Process {
            node,
            log: Arc::new(log),
            files,
            clock,
            store,
            pending: Vec::new(),
            unstored: None,
            answered: None,
            standby: BTreeMap::new(),
            paused_until: Duration::ZERO,
            stopping: false,
            fenced: 0,
            warmed: 0,
        })
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.node.core.is_idle() && self.unstored.is_none() && self.node.held.is_empty()
    }

    pub(crate) fn tick(&mut self) {
        self.node.core.tick(self.clock.monotonic());
    }

    /// The group's thread brings one decision.
    pub(crate) fn listen(&mut self) -> Result<()> {
        if let Some(event) = self.log.poll_group(Duration::ZERO)? {
            if let GroupEvent::Lost(lost) = &event {
                for command in &mut self.pending {
                    if let LogCommand::Release { partitions } = command {
                        partitions.retain(|partition| !lost.contains(partition));
                    }
                }
            }
            self.node.core.handle(io::group_event(event), self.clock.monotonic());
        }
        Ok(())
    }

    pub(crate) fn tidy(&mut self) -> Result<()> {
        self.store.compact()
    }

    /// One step of one shard that is kept warm for others.
    pub(crate) fn warm(&mut self, random: &mut SeededRandom) -> Result<()> {
        if self.standby.is_empty() {
            return Ok(());
        }
        let which = random.below(self.standby.len() as u64) as usize;
        let Some((number, position)) = self.standby.iter().nth(which).map(|(number, position)| (*number, *position))
        else {
            return Ok(());
        };
        // The worker's queue for the shard: others come first.
        let busy = self.pending.iter().any(|command| touches(command).contains(&number));
        if busy || self.unstored.as_ref().is_some_and(|(_, numbers)| numbers.contains(&number)) {
            self.standby.insert(number, None);
            return Ok(());
        }
        let Some(spec) = self.node.core.table_spec(self.node.table).cloned() else { return Ok(()) };
        let warmed = io::warm(&*self.log, &self.store, &spec, number, position, STANDBY_BYTES)?;
        self.warmed += u64::from(warmed.bytes > 0);
        self.standby.insert(number, Some(warmed.position));
        Ok(())
    }

    /// Takes the core's commands in; those the worker carries out at once are done here.
    fn collect(&mut self) -> Result<()> {
        while let Some(command) = self.node.core.poll_command() {
            match command {
                LogCommand::CancelFetch { fetch: cancelled, .. } => self
                    .pending
                    .retain(|command| !matches!(command, LogCommand::Fetch { fetch, .. } if *fetch == cancelled)),
                LogCommand::Standby { partitions } => {
                    let before = std::mem::take(&mut self.standby);
                    let after = partitions.iter().map(|number| (*number, before.get(number).copied().flatten()));
                    self.standby = after.collect();
                    for number in before.into_keys().filter(|number| !self.standby.contains_key(number)) {
                        if !self.node.core.assigned().any(|ours| ours.partition == number) {
                            self.pending.push(LogCommand::DropShards { partitions: vec![number] });
                        }
                    }
                }
                LogCommand::DropShards { partitions } => {
                    // What restores them hears of it and stops.
                    self.pending.retain(
                        |command| !matches!(command, LogCommand::Restore { partition, .. } if partitions.contains(partition)),
                    );
                    for number in &partitions {
                        self.standby.entry(*number).and_modify(|position| *position = None);
                    }
                    self.pending.push(LogCommand::DropShards { partitions });
                }
                command => self.pending.push(command),
            }
        }
        while self.node.core.poll_receipt().is_some() || self.node.core.poll_notice().is_some() {}
        Ok(())
    }

    /// A log or store thread takes one step, whichever the dice say.
    pub(crate) fn answer(&mut self, random: &mut SeededRandom, faults: ClusterFaults) -> Result<()> {
        self.collect()?;
        if let Some((changes, _)) = self.unstored.take_if(|_| random.once_in(2)) {
            return io::store_unit(&self.store, &changes);
        }
        if let Some(event) = self.answered.take_if(|_| random.once_in(3)) {
            self.node.core.handle(event, self.clock.monotonic());
            return Ok(());
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let index = random.below(self.pending.len() as u64) as usize;
        if self.must_wait(index) {
            return Ok(());
        }
        let command = self.pending.remove(index);
        self.execute(command, random, faults)
    }

    /// Whether somebody who came before has the same shard in hands.
    fn must_wait(&self, index: usize) -> bool {
        let numbers = touches(&self.pending[index]);
        let is_commit = matches!(self.pending[index], LogCommand::Commit(_));
        let earlier =
            self.pending[..index].iter().any(|command| touches(command).iter().any(|number| numbers.contains(number)));
        let unstored = self.unstored.as_ref();
        earlier || unstored.is_some_and(|(_, stored)| is_commit || stored.iter().any(|number| numbers.contains(number)))
    }

    fn execute(&mut self, command: LogCommand, random: &mut SeededRandom, faults: ClusterFaults) -> Result<()> {
        let now = self.clock.monotonic();
        match command {
            LogCommand::Fetch { fetch, partition, offset, max_bytes, wait } => {
                match io::fetch(&*self.log, fetch, &partition, offset, max_bytes, wait) {
                    Some(LogEvent::FetchFailed { error, .. }) if error.kind() == ErrorKind::Internal => {
                        return Err(error);
                    }
                    Some(event) => self.node.core.handle(event, now),
                    None => self.pending.push(LogCommand::Fetch { fetch, partition, offset, max_bytes, wait }),
                }
            }
            LogCommand::LookupOffsets { lookup, partitions } => {
                let found = io::look_up(&*self.log, "sim", &partitions)?;
                self.node.core.handle(LogEvent::Offsets { lookup, found }, now);
            }
            LogCommand::Restore { restore, table, partition } => {
                let Some(spec) = self.node.core.table_spec(table).cloned() else { return Ok(()) };
                if faults.log_errors && random.once_in(10) {
                    let error = Error::new(ErrorKind::Unavailable, "thrown by the dice");
                    self.node.core.handle(LogEvent::RestoreFailed { restore, table, partition, error }, now);
                    return Ok(());
                }
                let restored = io::restore(&*self.log, &self.store, &*self.clock, &spec, partition, &mut |_, _| true)?;
                if let Some(Restored { shard, .. }) = restored {
                    self.node.core.handle(LogEvent::Restored { restore, table, partition, shard }, now);
                }
            }
            LogCommand::DropShards { partitions } => {
                let names: Vec<Arc<str>> = self.node.core.tables().map(|(_, spec)| spec.name.clone()).collect();
                for (name, number) in names.iter().flat_map(|name| partitions.iter().map(move |number| (name, *number)))
                {
                    self.store.close_shard(name, number);
                }
            }
            LogCommand::Join { topics } => self.log.join("sim", &topics)?,
            LogCommand::Release { partitions } => self.log.release(&partitions)?,
            LogCommand::Commit(unit) => self.commit(unit, random, faults)?,
            // Carried out when they were collected.
            LogCommand::CancelFetch { .. } | LogCommand::Standby { .. } => {}
        }
        Ok(())
    }

    fn commit(
        &mut self,
        unit: beltline_engine::CommitUnit,
        random: &mut SeededRandom,
        faults: ClusterFaults,
    ) -> Result<()> {
        let names: Vec<Arc<str>> = self.node.core.tables().map(|(_, spec)| spec.name.clone()).collect();
        let numbers = unit.tables.iter().map(|change| change.partition).collect();
        let refused = if faults.log_errors && random.once_in(10) { Some(random.below(3)) } else { None };
        let refuse = |kind| Error::new(kind, "thrown by the dice");
        let result = match refused {
            Some(0) => Err(refuse(ErrorKind::Aborted)),
            // Nobody will ever know whether it happened, but for the log.
            Some(1) => Err(refuse(ErrorKind::Unavailable)),
            Some(_) => io::write_unit(&*self.log, unit, &names).and(Err(refuse(ErrorKind::Unavailable))),
            None => io::write_unit(&*self.log, unit, &names),
        };
        match result {
            Ok((receipt, changes)) => {
                self.unstored = Some((changes, numbers));
                self.answered = Some(LogEvent::Committed(receipt));
            }
            Err(error) if error.kind() == ErrorKind::Internal => return Err(error),
            Err(error) => {
                self.fenced += u64::from(error.kind() == ErrorKind::Fenced);
                self.answered = Some(LogEvent::CommitFailed(error));
            }
        }
        Ok(())
    }
}

/// Numbers of the shards a command has to do with.
fn touches(command: &LogCommand) -> Vec<u32> {
    match command {
        LogCommand::Commit(unit) => unit.tables.iter().map(|change| change.partition).collect(),
        LogCommand::DropShards { partitions } => partitions.clone(),
        LogCommand::Restore { partition, .. } => vec![*partition],
        _ => Vec::new(),
    }
}
