//! Several processes on one log, and a group that moves partitions between them as the dice say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_engine::Guarantee;
use beltline_env::{Clock, ManualClock, MemoryFiles, Random, SeededRandom};
use beltline_log::{EmbeddedLog, Log};
use beltline_table::Value;
use beltline_types::{Append, BatchBuilder, CommitRequest, Error, ErrorKind, Result, TopicPartition};

use crate::check::{Notes, Totals, count_values, is_in_order};
use crate::coordinator::{Coordinator, SESSION};
use crate::member_log::MemberLog;
use crate::node::{BY_VALUE, INPUT, NOTES, OUTPUT, PARTITIONS};
use crate::process::Process;
use crate::world::open_log;

/// Different values in the input.
const VALUES: u64 = 12;

/// Rounds in which a cluster without faults must come to rest.
const ROUNDS_TO_REST: usize = 400_000;

/// Which faults the dice may throw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterFaults {
    /// Partitions move between members in good health; lists of standbys change.
    pub moves: bool,
    /// Processes stop in order and start again.
    pub leaves: bool,
    /// Processes are killed, with or without their disks' last writes, and start again.
    pub kills: bool,
    /// Processes stand still beyond their session, and wake.
    pub pauses: bool,
    /// Members in good health are thrown out.
    pub expulsions: bool,
    /// The log refuses commits, or does not say what became of them; restores fail.
    pub log_errors: bool,
}

/// What happened in a run, so that a test can see that it saw something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Partitions asked back from members in good health.
    pub moves: u64,
    /// Members thrown out.
    pub expelled: u64,
    /// Commits refused because their member had been thrown out.
    pub fenced: u64,
    /// Processes killed.
    pub kills: u64,
    /// Processes that stopped in order.
    pub leaves: u64,
    /// Steps that brought a shard of others closer to its changelog.
    pub warmed: u64,
}

/// Processes, what they share, and the dice.
pub struct Cluster {
    guarantee: Guarantee,
    random: SeededRandom,
    clock: Arc<ManualClock>,
    log: Arc<EmbeddedLog>,
    group: Arc<Mutex<Coordinator>>,
    processes: Vec<Process>,
    /// As without transactions: late appends of members thrown out are kept.
    appends_late: bool,
    /// Notes so far.
    notes: u64,
    seen: Seen,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// Two to four processes on an empty log.
    ///
    /// # Errors
    /// None the simulation expects.
    pub fn new(seed: u64, guarantee: Guarantee) -> Result<Cluster> {
        let mut random = SeededRandom::new(seed);
        let clock = Arc::new(ManualClock::default());
        let log = Arc::new(open_log(&MemoryFiles::default(), &clock)?);
        let count = 2 + random.below(3);
        let group = Arc::new(Mutex::new(Coordinator::default()));
        let mut cluster = Cluster {
            guarantee,
            random,
            clock,
            log,
            group,
            processes: Vec::new(),
            appends_late: false,
            notes: 0,
            seen: Seen::default(),
        };
        for _ in 0..count {
            let process = cluster.process(MemoryFiles::default())?;
            cluster.processes.push(process);
        }
        Ok(cluster)
    }

    /// Without transactions a late member's outputs are written, and only its positions refused.
    #[must_use]
    pub fn appends_late(mut self) -> Cluster {
        self.appends_late = true;
        self
    }

    fn process(&self, files: MemoryFiles) -> Result<Process> {
        let log = MemberLog::new(self.log.clone(), self.group.clone(), self.clock.clone(), self.appends_late);
        Process::start(log, files, self.clock.clone(), self.guarantee)
    }

    /// What happened so far.
    pub fn seen(&self) -> Seen {
        let (group, mut seen) = (lock(&self.group), self.seen);
        (seen.moves, seen.expelled) = (group.moves, group.expelled);
        seen.fenced += self.processes.iter().map(|process| process.fenced).sum::<u64>();
        seen.warmed += self.processes.iter().map(|process| process.warmed).sum::<u64>();
        seen
    }

    /// Throws the dice `steps` times.
    ///
    /// # Errors
    /// One that no fault explains: a defect.
    pub fn run(&mut self, steps: usize, faults: ClusterFaults) -> Result<()> {
        for _ in 0..steps {
            match self.random.below(100) {
                0..6 => self.produce()?,
                6..10 => self.decide(faults),
                10..14 => self.disturb(faults)?,
                14..20 => self.pass(),
                20 => self.note()?,
                _ => self.turn_one(faults)?,
            }
        }
        Ok(())
    }

    fn note(&mut self) -> Result<()> {
        let index = self.random.below(self.processes.len() as u64) as usize;
        self.notes += 1;
        self.processes[index].node.note(self.notes.to_string().into_bytes())
    }

    /// A process, whichever the dice say, takes one step.
    fn turn_one(&mut self, faults: ClusterFaults) -> Result<()> {
        let index = self.random.below(self.processes.len() as u64) as usize;
        let process = &mut self.processes[index];
        if process.paused_until > self.clock.monotonic() {
            return Ok(());
        }
        match self.random.below(100) {
            0..40 => process.answer(&mut self.random, faults)?,
            40..50 => process.listen()?,
            50..70 => {
                let which = if self.random.once_in(2) { process.node.rekey } else { process.node.count };
                process.node.handle(which)?;
            }
            70..88 => {
                if !process.node.held.is_empty() {
                    let which = self.random.below(process.node.held.len() as u64) as usize;
                    process.node.finish(which);
                }
            }
            88..90 => {
                let which = if self.random.once_in(2) { process.node.rekey } else { process.node.count };
                process.node.take_and_release(which);
            }
            90..96 => process.warm(&mut self.random)?,
            96 => process.tidy()?,
            _ => process.tick(),
        }
        if self.processes[index].stopping && self.processes[index].node.core.is_stopped() {
            self.processes[index].log.leave()?;
            self.restart(index)?;
        }
        Ok(())
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

    /// Time passes for all, and those who do not stand still are heard by the group.
    fn pass(&mut self) {
        self.clock.advance(Duration::from_millis(self.random.below(60)));
        let now = self.clock.monotonic();
        let mut group = lock(&self.group);
        for process in &mut self.processes {
            if process.paused_until <= now {
                if let Some(id) = process.log.id() {
                    group.heartbeat(id, now);
                }
                process.tick();
            }
        }
        group.expire(now);
    }

    /// The group gives what is free to somebody, and takes something away.
    fn decide(&mut self, faults: ClusterFaults) {
        let mut group = lock(&self.group);
        let members = group.members();
        if members.is_empty() {
            return;
        }
        let pick = |random: &mut SeededRandom| members[random.below(members.len() as u64) as usize];
        for number in group.free() {
            if self.random.once_in(2) {
                let to = pick(&mut self.random);
                group.grant(number, to);
            }
        }
        if faults.moves && self.random.once_in(3) {
            group.revoke(self.random.below(PARTITIONS.into()) as u32);
        }
        if faults.moves && self.random.once_in(3) {
            let chosen = self.random.below(1 << PARTITIONS);
            let numbers = (0..PARTITIONS).filter(|number| chosen >> number & 1 == 1).collect();
            group.stand_by(pick(&mut self.random), numbers);
        }
    }

    /// Something happens to a process.
    fn disturb(&mut self, faults: ClusterFaults) -> Result<()> {
        let index = self.random.below(self.processes.len() as u64) as usize;
        match self.random.below(40) {
            0 if faults.kills => self.kill(index)?,
            1 if faults.leaves => {
                let deadline = Duration::from_millis(self.random.below(400));
                let process = &mut self.processes[index];
                process.stopping = true;
                process.node.core.stop(self.clock.monotonic() + deadline);
                self.seen.leaves += 1;
            }
            2..4 if faults.pauses => {
                let pause = Duration::from_millis(self.random.below(3 * SESSION.as_millis() as u64));
                self.processes[index].paused_until = self.clock.monotonic() + pause;
            }
            4 if faults.expulsions => {
                if let Some(id) = self.processes[index].log.id() {
                    lock(&self.group).expel(id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything in the process is gone; the group does not know yet.
    fn kill(&mut self, index: usize) -> Result<()> {
        self.seen.kills += 1;
        if let Some(id) = self.processes[index].log.id() {
            lock(&self.group).goes_silent(id);
        }
        if self.random.once_in(3) {
            self.processes[index].files.crash_torn(&mut self.random);
        }
        self.restart(index)
    }

    fn restart(&mut self, index: usize) -> Result<()> {
        let old = &self.processes[index];
        (self.seen.fenced, self.seen.warmed) = (self.seen.fenced + old.fenced, self.seen.warmed + old.warmed);
        self.processes[index] = self.process(old.files.clone())?;
        Ok(())
    }

    /// Lets everybody finish in peace.
    ///
    /// # Errors
    /// `Internal` when they do not: something is stuck.
    pub fn come_to_rest(&mut self) -> Result<()> {
        let calm = ClusterFaults::default();
        self.processes.iter_mut().for_each(|process| process.paused_until = Duration::ZERO);
        for _ in 0..ROUNDS_TO_REST {
            let calm_now = lock(&self.group).is_settled() && self.processes.iter().all(Process::is_at_rest);
            if calm_now && self.everything_is_read()? {
                return Ok(());
            }
            match self.random.below(100) {
                0..5 => self.decide(calm),
                5..15 => self.pass(),
                _ => self.turn_one(calm)?,
            }
        }
        let health: Vec<_> = self.processes.iter().map(|process| process.node.core.health()).collect();
        let settled = lock(&self.group).is_settled();
        let message = format!("the cluster does not come to rest (group settled: {settled}): {health:?}");
        Err(Error::new(ErrorKind::Internal, message))
    }

    /// Whether the group's positions are at the ends. A process cannot know: another one may have written just now.
    fn everything_is_read(&self) -> Result<bool> {
        for partition in [INPUT, BY_VALUE].iter().flat_map(|topic| (0..PARTITIONS).map(move |number| (topic, number))) {
            let partition = TopicPartition::new(*partition.0, partition.1);
            let committed = self.log.committed("sim", std::slice::from_ref(&partition))?;
            if committed.first().copied().flatten().unwrap_or(0) < self.log.offsets(&partition)?.end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Every process is killed and starts again on its own disk.
    ///
    /// # Errors
    /// One that no fault explains: a defect.
    pub fn restart_all(&mut self) -> Result<()> {
        (0..self.processes.len()).try_for_each(|index| self.kill(index))
    }

    /// The fold over the input, the tables of all processes, and the output, in this order.
    ///
    /// # Errors
    /// What the log says; `Internal` when two processes have the same shard.
    pub fn totals(&self) -> Result<[Totals; 3]> {
        let mut table = Totals::new();
        let mut owners: BTreeMap<u32, usize> = BTreeMap::new();
        for (index, process) in self.processes.iter().enumerate() {
            let shard = |partition| Some((partition, process.node.core.shard(process.node.table, partition)?));
            for (partition, shard) in (0..PARTITIONS).filter_map(shard) {
                if let Some(other) = owners.insert(partition, index) {
                    let message = format!("processes {other} and {index} both have shard {partition}");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
                for (key, value) in shard.iter() {
                    let mut bytes = Vec::new();
                    key.encode(&mut bytes);
                    if let Value::Int(count) = value {
                        *table.entry(bytes).or_default() += count;
                    }
                }
            }
        }
        Ok([count_values(&*self.log, INPUT)?, table, count_values(&*self.log, OUTPUT)?])
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
        let owed = self.processes.iter().flat_map(|process| process.node.noted.iter().cloned());
        Ok(Notes { written: count_values(&*self.log, NOTES)?, owed: owed.collect() })
    }

    /// Whether the outputs of every partition are in the order of their events, each once.
    ///
    /// # Errors
    /// What the log says.
    pub fn is_in_order(&self) -> Result<bool> {
        is_in_order(&*self.log, OUTPUT)
    }
}
