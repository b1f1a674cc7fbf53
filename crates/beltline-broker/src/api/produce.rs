//! Produce: batches into the log, all of a request in one commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_types::{Append, Appended, BatchBuilder, CommitRequest, Offset, Timestamp, TopicPartition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};

use super::errors::{self, NONE};
use super::topics::{is_internal, needs_keys};
use crate::context::{Client, Context, lock};
use crate::journal::Entry;
use crate::producers::{self, Verdict};
use crate::records::{self, Producer, ReadBatch};
use crate::transaction::{Denied, Held};

/// The answer where no offset is known: stored before a restart, or in a transaction that is still open.
const NO_OFFSET: Offset = -1;

/// The answer where records keep the times that their producer gave them.
const NO_TIME: Timestamp = -1;

/// librdkafka's own "no offset". It gives a batch's records the offsets that follow the answered one, so the last of
/// them is to be this one: all are negative, and its bindings show none.
const NO_OFFSET_LIBRDKAFKA: Offset = -1001;

/// What became of one partition's batch.
enum Fate {
    Stored(Offset),
    Failed(ResponseError, Option<String>),
    /// It is part of the commit, with this index among its appends.
    Appended(usize),
}

/// Batches that go into one commit.
#[derive(Default)]
struct Work {
    appends: Vec<Append>,
    /// Per append of an idempotent producer: what is to be remembered once it is stored.
    sequences: Vec<(usize, TopicPartition, producers::History)>,
    entries: Vec<Entry>,
}

pub(super) fn produce(context: &Context, client: &Client, request: ProduceRequest, version: i16) -> ProduceResponse {
    let transaction = request.transactional_id.as_ref().map(|id| &***id);
    let bad_acks = !(-1..=1).contains(&request.acks);
    let mut batches: Vec<(usize, TopicPartition, Result<ReadBatch, Fate>)> = Vec::new();
    for (index, topic) in request.topic_data.iter().enumerate() {
        let name: Arc<str> = Arc::from(&**topic.name);
        for data in &topic.partition_data {
            let read =
                if bad_acks { Err(failed(ResponseError::InvalidRequiredAcks)) } else { read(context, &name, data) };
            // A partition that cannot be is refused by now, so its number is only echoed.
            batches.push((index, TopicPartition::new(name.clone(), data.index as u32), read));
        }
    }
    // A client's request is one producer's.
    let id = batches.iter().find_map(|(.., read)| read.as_ref().ok()?.producer.map(|producer| producer.id));
    let shared = id.map(|id| (id, context.producers.get(id, context.now())));
    let mut producer = shared.as_ref().map(|(id, producer)| (*id, lock_producer(producer)));
    let mut work = Work::default();
    let mut fates = Vec::with_capacity(batches.len());
    for (index, partition, read) in batches {
        let fate = match read {
            Err(fate) => fate,
            Ok(batch) => one_batch(context, client, transaction, &mut producer, &partition, batch, &mut work),
        };
        fates.push((index, partition, fate));
    }
    let appended = commit(context, work, &mut producer);
    drop(producer);
    answer(context, request, fates, appended, version)
}

fn lock_producer(producer: &Mutex<producers::Producer>) -> MutexGuard<'_, producers::Producer> {
    producer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: ResponseError) -> Fate {
    Fate::Failed(error, None)
}

/// Checks where a batch is to go, then the batch.
fn read(context: &Context, topic: &str, data: &PartitionProduceData) -> Result<ReadBatch, Fate> {
    let info = context.log.topic(topic).map_err(|error| failed(errors::of_log(&error)))?;
    let info = info.filter(|info| u32::try_from(data.index).is_ok_and(|index| index < info.partitions));
    let info = info.ok_or_else(|| failed(ResponseError::UnknownTopicOrPartition))?;
    if is_internal(topic) {
        return Err(Fate::Failed(ResponseError::InvalidTopicException, Some(format!("topic {topic} is internal"))));
    }
    let bytes = data.records.as_deref().unwrap_or_default();
    let limits = &context.options.limits;
    // Kinder than a queue without end, and bounded in memory: two batches are decompressed at one time.
    let max_bytes = info.option("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok());
    let share = context.decompression.take(1, limits.transfer_timeout);
    let _share = share.ok_or_else(|| failed(ResponseError::RequestTimedOut))?;
    let batch = records::read_batch(bytes, max_bytes.unwrap_or(limits.max_batch_bytes), limits.max_uncompressed_bytes)
        .map_err(|refused| {
            let message = match refused {
                records::Refused::Invalid(message) => Some(message.to_owned()),
                _ => None,
            };
            Fate::Failed(errors::of_batch(refused), message)
        })?;
    if needs_keys(&info) && has_null_key(&batch.records) {
        let message = "Compacted topic cannot accept message without key".to_owned();
        return Err(Fate::Failed(ResponseError::InvalidRecord, Some(message)));
    }
    Ok(batch)
}

fn has_null_key(records: &BatchBuilder) -> bool {
    records.records().any(|record| record.key.is_none())
}

type Locked<'a> = Option<(i64, MutexGuard<'a, producers::Producer>)>;

fn one_batch(
    context: &Context,
    client: &Client,
    transaction: Option<&str>,
    producer: &mut Locked<'_>,
    partition: &TopicPartition,
    batch: ReadBatch,
    work: &mut Work,
) -> Fate {
    let Some(said) = batch.producer else {
        if batch.is_transactional {
            return failed(ResponseError::InvalidRecord);
        }
        work.appends.push(Append { target: partition.clone(), records: batch.records });
        return Fate::Appended(work.appends.len() - 1);
    };
    let Some((_, known)) = producer.as_mut().filter(|(id, _)| *id == said.id) else {
        return failed(ResponseError::InvalidRequest);
    };
    let count = batch.records.len();
    if batch.is_transactional {
        let Some(id) = transaction else { return failed(ResponseError::InvalidTxnState) };
        let checked = lock(&context.transactions).check_partition(id, (said.id, said.epoch), partition);
        if let Err(denied) = checked {
            return refused_in_transaction(context, denied, 0);
        }
    }
    match known.check(partition, said.epoch, said.first_sequence, count) {
        Verdict::Append => {}
        Verdict::Duplicate(Some(offset)) => return Fate::Stored(offset),
        Verdict::Duplicate(None) if batch.is_transactional => return Fate::Stored(no_offset(client, count)),
        Verdict::Duplicate(None) => return failed(ResponseError::DuplicateSequenceNumber),
        Verdict::OutOfOrder => return failed(ResponseError::OutOfOrderSequenceNumber),
        Verdict::Fenced => return failed(ResponseError::InvalidProducerEpoch),
    }
    let history = known.after(partition, said.epoch, said.first_sequence, count);
    if batch.is_transactional {
        let Some(id) = transaction else { return failed(ResponseError::InvalidTxnState) };
        let held = hold(context, id, said, partition, batch.records);
        return held.map_or_else(std::convert::identity, |()| {
            known.set(partition.clone(), history, None);
            Fate::Stored(no_offset(client, count))
        });
    }
    // Two batches of one producer for one partition in a request would be checked against the same past.
    if work.sequences.iter().any(|(_, other, _)| other == partition) {
        return failed(ResponseError::InvalidRequest);
    }
    let entry = Entry::Sequence { producer_id: said.id, partition: partition.clone(), history: history.clone() };
    work.entries.push(entry);
    work.sequences.push((work.appends.len(), partition.clone(), history));
    work.appends.push(Append { target: partition.clone(), records: batch.records });
    Fate::Appended(work.appends.len() - 1)
}

/// Holds a batch until its transaction ends.
fn hold(
    context: &Context,
    id: &str,
    said: Producer,
    partition: &TopicPartition,
    records: BatchBuilder,
) -> Result<(), Fate> {
    let mut transactions = lock(&context.transactions);
    let cost = Held::cost(&records);
    match transactions.may_hold(id, (said.id, said.epoch), partition, cost) {
        Ok(()) => {
            transactions.hold(id, partition.clone(), records);
            Ok(())
        }
        Err(denied) => {
            let held = transactions.held_bytes();
            Err(refused_in_transaction(context, denied, held))
        }
    }
}

/// Why a transaction does not take a batch, in the words from which clients recover.
fn refused_in_transaction(context: &Context, denied: Denied, held_bytes: usize) -> Fate {
    let limits = &context.options.limits;
    let message = (denied == Denied::TooLarge).then(|| {
        format!(
            "the local endpoint holds the records of an open transaction, at most {} bytes, and {} of all \
             transactions, of which {held_bytes} are held; commit more often",
            limits.max_transaction_bytes, limits.max_all_transactions_bytes,
        )
    });
    let error = match denied {
        // Here the older codes are those after which a client aborts and takes a new epoch.
        Denied::UnknownProducer => ResponseError::UnknownProducerId,
        Denied::Fenced => ResponseError::InvalidProducerEpoch,
        other => errors::of_transaction(other, false),
    };
    Fate::Failed(error, message)
}

fn no_offset(client: &Client, count: u32) -> Offset {
    if client.is_librdkafka() { NO_OFFSET_LIBRDKAFKA + 1 - Offset::from(count) } else { NO_OFFSET }
}

/// Writes everything at once; says where each append went.
fn commit(context: &Context, work: Work, producer: &mut Locked<'_>) -> Result<Vec<Appended>, ResponseError> {
    let Work { mut appends, sequences, entries } = work;
    if appends.is_empty() {
        return Ok(Vec::new());
    }
    if !entries.is_empty() {
        appends.push(context.journal.append(&entries).map_err(|error| errors::of_log(&error))?);
    }
    let request = CommitRequest { appends, ..CommitRequest::default() };
    let receipt = context.log.commit(request).map_err(|error| errors::of_log(&error))?;
    if let Some((_, known)) = producer {
        for (index, partition, history) in sequences {
            known.set(partition, history, receipt.appended.get(index).map(|went| went.base_offset));
        }
    }
    Ok(receipt.appended)
}

fn answer(
    context: &Context,
    request: ProduceRequest,
    fates: Vec<(usize, TopicPartition, Fate)>,
    appended: Result<Vec<Appended>, ResponseError>,
    version: i16,
) -> ProduceResponse {
    let named = request.topic_data.into_iter().map(|topic| TopicProduceResponse::default().with_name(topic.name));
    let mut topics: Vec<TopicProduceResponse> = named.collect();
    for (topic, partition, fate) in fates {
        let result = match fate {
            Fate::Stored(offset) => Ok((offset, None)),
            Fate::Failed(error, message) => Err((error, message)),
            Fate::Appended(index) => match &appended {
                Ok(appended) => {
                    Ok(appended.get(index).map_or((NO_OFFSET, None), |went| (went.base_offset, went.stamped_ms)))
                }
                Err(error) => Err((*error, None)),
            },
        };
        let answer = PartitionProduceResponse::default().with_index(partition.partition as i32);
        topics[topic].partition_responses.push(match result {
            Ok((offset, stamped_ms)) => {
                let start = context.log.offsets(&partition).map_or(-1, |range| range.start);
                let answer = answer.with_error_code(NONE).with_base_offset(offset).with_log_start_offset(start);
                answer.with_log_append_time_ms(stamped_ms.unwrap_or(NO_TIME))
            }
            Err((error, message)) => {
                let message = message.filter(|_| version >= 8).map(Into::into);
                answer.with_error_code(error.code()).with_base_offset(NO_OFFSET).with_error_message(message)
            }
        });
    }
    ProduceResponse::default().with_responses(topics)
}
