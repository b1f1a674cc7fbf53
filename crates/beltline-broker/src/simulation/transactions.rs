//! Producers with transactional ids against the endpoint's own requests, on a log whose process ends at any moment.
//!
//! Invariants: a transaction is visible whole, with its group's offset, or not at all; one whose commit was answered is never
//! lost, one that was given up before its commit was asked for never appears; who was replaced changes nothing any more;
//! an id's epochs only grow.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beltline_env::{ManualClock, MemoryFiles, Random, SeededRandom};
use beltline_log::{EmbeddedLog, Log, LogOptions, SyncPolicy};
use beltline_types::{BatchBuilder, TimestampType, TopicPartition, TopicSpec};
use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::seeds;
use crate::BrokerOptions;
use crate::connection::answer_request;
use crate::context::Context;
use crate::records;

const IDS: usize = 2;
const PARTITIONS: u32 = 2;
const TRANSACTIONS: usize = 60;
const OUTPUT: &str = "out";
const INPUT: &str = "in";
const TIMEOUT_MS: i32 = 20_000;

/// How often a client asks again before it gives up.
const TRIES: usize = 4;

type Identity = (i64, i16);

/// A process that uses a transactional id. Several may think that it is theirs.
#[derive(Clone)]
struct Process {
    id: usize,
    identity: Option<Identity>,
    sequences: [i32; PARTITIONS as usize],
}

/// What a client knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Its commit was never asked for.
    GivenUp,
    /// Its commit was asked for, and no answer told what became of it.
    Unknown,
    Committed,
}

#[derive(Debug)]
struct Told {
    id: usize,
    records: usize,
    fate: Fate,
}

struct World {
    random: SeededRandom,
    clock: Arc<ManualClock>,
    files: MemoryFiles,
    log: Arc<EmbeddedLog>,
    context: Option<Context>,
    processes: Vec<Process>,
    /// Requests that come when nobody waits for them any more, with who sent them.
    late: Vec<(Identity, usize, RequestKind)>,
    /// The last identity that was given out for each id.
    newest: [Identity; IDS],
    /// By number.
    transactions: Vec<Told>,
    /// Records that can be read of each transaction.
    visible: BTreeMap<usize, usize>,
    read_to: [i64; PARTITIONS as usize],
    /// The last transaction of each id that is visible.
    last: [Option<usize>; IDS],
    restarts: usize,
    zombies_refused: usize,
}

fn open(files: &MemoryFiles, clock: &Arc<ManualClock>) -> Arc<EmbeddedLog> {
    let options = LogOptions { sync: SyncPolicy::Always, segment_bytes: 20_000, ..LogOptions::default() };
    Arc::new(EmbeddedLog::open_in(Arc::new(files.clone()), Path::new("log"), options, clock.clone()).unwrap())
}

fn name(text: String) -> StrBytes {
    StrBytes::from_string(text)
}

fn transactional(id: usize) -> TransactionalId {
    TransactionalId(name(format!("id-{id}")))
}

fn group(id: usize) -> String {
    format!("group-{id}")
}

/// A batch of one record as a transactional producer sends it.
fn batch(value: &str, (producer_id, epoch): Identity, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::default();
    builder.push(None, Some(value.as_bytes()), &[], 1);
    let mut bytes = Vec::new();
    records::write_batches(&mut bytes, &[builder.build(0).unwrap()], 0..1, usize::MAX, TimestampType::CreateTime);
    // Kafka's format 2: attributes at 21, producer id at 43, epoch at 51, sequence at 53; the checksum from 21 on.
    bytes[22] |= 0x10;
    bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

/// The error code of an answer.
fn code(answer: &ResponseKind) -> i16 {
    match answer {
        ResponseKind::InitProducerId(answer) => answer.error_code,
        ResponseKind::AddPartitionsToTxn(answer) => {
            let codes = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
            codes.map(|one| one.partition_error_code).find(|code| *code != 0).unwrap_or(0)
        }
        ResponseKind::AddOffsetsToTxn(answer) => answer.error_code,
        ResponseKind::TxnOffsetCommit(answer) => {
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).max().unwrap_or(0)
        }
        ResponseKind::Produce(answer) => answer.responses[0].partition_responses[0].error_code,
        ResponseKind::EndTxn(answer) => answer.error_code,
        _ => unreachable!("nothing else is asked"),
    }
}

fn key(request: &RequestKind) -> ApiKey {
    match request {
        RequestKind::InitProducerId(_) => ApiKey::InitProducerId,
        RequestKind::AddPartitionsToTxn(_) => ApiKey::AddPartitionsToTxn,
        RequestKind::AddOffsetsToTxn(_) => ApiKey::AddOffsetsToTxn,
        RequestKind::TxnOffsetCommit(_) => ApiKey::TxnOffsetCommit,
        RequestKind::Produce(_) => ApiKey::Produce,
        RequestKind::EndTxn(_) => ApiKey::EndTxn,
        _ => unreachable!("nothing else is asked"),
    }
}

/// What a client got.
enum Heard {
    Nothing,
    Refused,
    Fine(Box<ResponseKind>),
}

impl World {
    fn new(seed: u64) -> World {
        let (clock, files) = (Arc::new(ManualClock::default()), MemoryFiles::default());
        let log = open(&files, &clock);
        log.create_topics(&[TopicSpec::new(OUTPUT, PARTITIONS), TopicSpec::new(INPUT, IDS as u32)]).unwrap();
        let context = Context::new(log.clone(), clock.clone(), BrokerOptions::default()).unwrap();
        let process = |number: usize| Process { id: number % IDS, identity: None, sequences: [0; PARTITIONS as usize] };
        World {
            random: SeededRandom::new(seed),
            clock,
            files,
            log,
            context: Some(context),
            processes: (0..2 * IDS).map(process).collect(),
            late: Vec::new(),
            newest: [(-1, -1); IDS],
            transactions: Vec::new(),
            visible: BTreeMap::new(),
            read_to: [0; PARTITIONS as usize],
            last: [None; IDS],
            restarts: 0,
            zombies_refused: 0,
        }
    }

    /// The endpoint's process ends, by a kill or a power failure, and starts again.
    fn restart(&mut self) {
        self.context = None;
        // The old log has to be closed before its directory is opened again.
        self.log = open(&MemoryFiles::default(), &self.clock);
        if self.random.once_in(2) {
            self.files.crash_torn(&mut self.random);
        }
        self.log = open(&self.files, &self.clock);
        let context = Context::new(self.log.clone(), self.clock.clone(), BrokerOptions::default());
        self.context = Some(context.unwrap());
        self.restarts += 1;
        let before = (std::mem::take(&mut self.visible), self.last);
        self.read_to = [0; PARTITIONS as usize];
        self.look();
        assert_eq!((&before.0, before.1), (&self.visible, self.last), "a restart changed what can be read");
    }

    /// The endpoint gets a request.
    fn serve(&mut self, id: usize, identity: Option<Identity>, request: RequestKind) -> ResponseKind {
        let is_zombie = identity.is_some_and(|identity| identity != self.newest[id]);
        let ends_before = self.ends();
        let is_transfer = !matches!(request, RequestKind::InitProducerId(_));
        let claims = matches!(&request, RequestKind::InitProducerId(request) if *request.producer_id >= 0);
        let context = self.context.as_ref().unwrap();
        let answer = answer_request(context, key(&request), request).expect("every request is answered");
        if let ResponseKind::InitProducerId(answer) = &answer
            && answer.error_code == 0
        {
            let given = (*answer.producer_id, answer.producer_epoch);
            // The same again for who has missed the answer, and says so by what it had before.
            let is_repeated = given == self.newest[id] && claims;
            assert!(given > self.newest[id] || is_repeated, "id {id} got {given:?} after {:?}", self.newest[id]);
            self.newest[id] = given;
        }
        self.look();
        if is_zombie && is_transfer {
            assert_eq!(self.ends(), ends_before, "{identity:?} was replaced by {:?} and wrote", self.newest[id]);
            self.zombies_refused += usize::from(code(&answer) != 0);
        }
        answer
    }

    fn ends(&self) -> Vec<i64> {
        (0..PARTITIONS).map(|number| self.log.offsets(&TopicPartition::new(OUTPUT, number)).unwrap().end).collect()
    }

    /// Reads what is new, and finds it whole and with its offsets.
    fn look(&mut self) {
        let mut touched = Vec::new();
        for number in 0..PARTITIONS {
            let (partition, at) = (TopicPartition::new(OUTPUT, number), &mut self.read_to[number as usize]);
            while *at < self.log.offsets(&partition).unwrap().end {
                let fetched = self.log.fetch(&partition, *at, 1 << 20).unwrap();
                let from = *at;
                for record in fetched.batches.iter().flat_map(|batch| batch.iter()).filter(|one| one.offset >= from) {
                    let value = std::str::from_utf8(record.value.unwrap()).unwrap();
                    let transaction: usize = value.parse().unwrap();
                    *self.visible.entry(transaction).or_default() += 1;
                    touched.push(transaction);
                }
                *at = fetched.next_offset;
            }
        }
        for transaction in touched {
            let Told { id, records, .. } = self.transactions[transaction];
            assert_eq!(self.visible[&transaction], records, "transaction {transaction} is half there, or twice");
            self.last[id] = self.last[id].max(Some(transaction));
        }
        for id in 0..IDS {
            let input = TopicPartition::new(INPUT, id as u32);
            let committed = self.log.committed(&group(id), &[input]).unwrap()[0];
            assert_eq!(committed, self.last[id].map(|last| last as i64), "offsets of id {id} without their records");
        }
    }

    /// Sends a request until an answer comes, but not for ever.
    fn ask(&mut self, process: usize, request: &RequestKind) -> Heard {
        let (id, identity) = (self.processes[process].id, self.processes[process].identity);
        for _ in 0..TRIES {
            self.clock.advance(Duration::from_millis(self.random.below(300)));
            match self.random.below(14) {
                0 => continue,
                1 => {
                    self.late.extend(identity.map(|identity| (identity, id, request.clone())));
                    continue;
                }
                2 => {
                    self.serve(id, identity, request.clone());
                    continue;
                }
                3 => drop(self.serve(id, identity, request.clone())),
                _ => {}
            }
            let answer = self.serve(id, identity, request.clone());
            return if code(&answer) == 0 { Heard::Fine(Box::new(answer)) } else { Heard::Refused };
        }
        Heard::Nothing
    }

    fn initialise(&mut self, process: usize) -> bool {
        let Process { id, identity, .. } = self.processes[process];
        let mut request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional(id)))
            .with_transaction_timeout_ms(TIMEOUT_MS)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        if let Some((producer_id, epoch)) = identity.filter(|_| self.random.once_in(2)) {
            request = request.with_producer_id(producer_id.into()).with_producer_epoch(epoch);
        }
        let sequences = [0; PARTITIONS as usize];
        let given = match self.ask(process, &RequestKind::InitProducerId(request)) {
            Heard::Fine(answer) => match *answer {
                ResponseKind::InitProducerId(answer) => Some((*answer.producer_id, answer.producer_epoch)),
                _ => None,
            },
            Heard::Nothing | Heard::Refused => None,
        };
        self.processes[process] = Process { id, identity: given, sequences };
        self.processes[process].identity.is_some()
    }

    /// One transaction from its beginning to whatever end.
    fn transact(&mut self, process: usize) {
        if (self.processes[process].identity.is_none() || self.random.once_in(6)) && !self.initialise(process) {
            return;
        }
        let Process { id, identity: Some(identity), .. } = self.processes[process].clone() else { return };
        // Requests of one epoch are told apart by their connection alone; a client that goes on has seen its old one close.
        self.late.retain(|(sender, _, request)| *sender != identity || matches!(request, RequestKind::Produce(_)));
        let number = self.transactions.len();
        self.transactions.push(Told { id, records: 0, fate: Fate::GivenUp });
        let is_filled = self.fill(process, id, identity, number);
        self.maybe_strike();
        let commit = is_filled && !self.random.once_in(5);
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional(id))
            .with_producer_id(identity.0.into())
            .with_producer_epoch(identity.1)
            .with_committed(commit);
        if commit {
            self.transactions[number].fate = Fate::Unknown;
        }
        match self.ask(process, &RequestKind::EndTxn(request)) {
            Heard::Fine(_) if commit => self.transactions[number].fate = Fate::Committed,
            Heard::Fine(_) => {}
            _ => self.processes[process].identity = None,
        }
        if !is_filled {
            self.processes[process].identity = None;
        }
    }

    /// Sends records and offsets; whether all of them were taken.
    fn fill(&mut self, process: usize, id: usize, (producer_id, epoch): Identity, number: usize) -> bool {
        let output = || TopicName(name(OUTPUT.to_owned()));
        let topic = AddPartitionsToTxnTopic::default().with_name(output()).with_partitions(vec![0, 1]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional(id))
            .with_v3_and_below_producer_id(producer_id.into())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        if !matches!(self.ask(process, &RequestKind::AddPartitionsToTxn(request)), Heard::Fine(_)) {
            return false;
        }
        for _ in 0..1 + self.random.below(4) {
            let partition = self.random.below(u64::from(PARTITIONS)) as usize;
            let sequence = self.processes[process].sequences[partition];
            let data = PartitionProduceData::default().with_index(partition as i32).with_records(Some(batch(
                &number.to_string(),
                (producer_id, epoch),
                sequence,
            )));
            let data = TopicProduceData::default().with_name(output()).with_partition_data(vec![data]);
            let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]);
            let request = request.with_transactional_id(Some(transactional(id)));
            if !matches!(self.ask(process, &RequestKind::Produce(request)), Heard::Fine(_)) {
                return false;
            }
            self.processes[process].sequences[partition] += 1;
            self.transactions[number].records += 1;
            self.maybe_strike();
        }
        self.move_offset(process, id, (producer_id, epoch), number)
    }

    fn move_offset(&mut self, process: usize, id: usize, (producer_id, epoch): Identity, number: usize) -> bool {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional(id))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(name(group(id))));
        if !matches!(self.ask(process, &RequestKind::AddOffsetsToTxn(request)), Heard::Fine(_)) {
            return false;
        }
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(id as i32)
            .with_committed_offset(number as i64);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(name(INPUT.to_owned())))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional(id))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(name(group(id))))
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        matches!(self.ask(process, &RequestKind::TxnOffsetCommit(request)), Heard::Fine(_))
    }

    /// Something that may happen between two requests.
    fn maybe_strike(&mut self) {
        match self.random.below(30) {
            0 => self.restart(),
            1 => {
                self.clock.advance(Duration::from_secs(self.random.below(40)));
                let context = self.context.as_ref().unwrap();
                context.expire_transactions();
            }
            2 => {
                // Another process thinks that the id is its own.
                let process = self.random.below(self.processes.len() as u64) as usize;
                self.initialise(process);
            }
            3..=8 if !self.late.is_empty() => {
                let at = self.random.below(self.late.len() as u64) as usize;
                let (identity, id, request) = self.late.swap_remove(at);
                self.serve(id, Some(identity), request);
            }
            _ => {}
        }
    }

    /// What clients were told is what can be read.
    fn check(&self) {
        for (number, told) in self.transactions.iter().enumerate() {
            let is_visible = self.visible.contains_key(&number);
            match told.fate {
                Fate::Committed => assert!(is_visible, "transaction {number} was committed and is lost"),
                Fate::GivenUp => assert!(!is_visible, "transaction {number} was given up and is there"),
                Fate::Unknown => {}
            }
        }
    }
}

#[test]
fn transactions_are_whole_or_not_there_whatever_happens() {
    let (mut committed, mut restarts, mut refused) = (0, 0, 0);
    for seed in seeds() {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..TRANSACTIONS {
            let process = world.random.below(world.processes.len() as u64) as usize;
            world.transact(process);
            world.maybe_strike();
        }
        world.restart();
        world.check();
        committed += world.visible.len();
        restarts += world.restarts;
        refused += world.zombies_refused;
    }
    let runs = seeds().len();
    assert!(committed > 5 * runs && restarts > runs && refused > runs, "{committed} {restarts} {refused}");
}
