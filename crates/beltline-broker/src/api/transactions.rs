//! Producer ids and transactions.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use beltline_types::{Append, CommitRequest, Result as LogResult, TopicPartition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use kafka_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnRequest;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::end_txn_request::EndTxnRequest;
use kafka_protocol::messages::end_txn_response::EndTxnResponse;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequest;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::errors::{self, NONE};
use super::group_offsets::{self, MAX_METADATA};
use super::topics::is_internal;
use crate::context::{Context, lock};
use crate::group::Membership;
use crate::journal::Entry;
use crate::transaction::{Begun, Coordinator, Denied, Held, Stored};

/// From these versions on a request knows the error for a producer that was replaced.
const INIT_KNOWS_FENCED: i16 = 4;
const REQUESTS_KNOW_FENCED: i16 = 2;

/// What a client does again a moment later, when the journal cannot be written.
const TRY_AGAIN: ResponseError = ResponseError::CoordinatorNotAvailable;

pub(super) fn initialise(context: &Context, request: InitProducerIdRequest, version: i16) -> InitProducerIdResponse {
    match take_id(context, &request, version) {
        Ok((id, epoch)) => InitProducerIdResponse::default().with_producer_id(id.into()).with_producer_epoch(epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1),
    }
}

fn take_id(context: &Context, request: &InitProducerIdRequest, version: i16) -> Result<(i64, i16), ResponseError> {
    let fresh = context.fresh_producer_id().map_err(|_| TRY_AGAIN)?;
    let Some(id) = &request.transactional_id else { return Ok((fresh, 0)) };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let id: Arc<str> = Arc::from(&***id);
    let claimed = (*request.producer_id >= 0).then_some((*request.producer_id, request.producer_epoch));
    let mut transactions = lock(&context.transactions);
    let stored = transactions
        .initialise(&id, request.transaction_timeout_ms, claimed, fresh, context.now())
        .map_err(|denied| errors::of_transaction(denied, version >= INIT_KNOWS_FENCED))?;
    // Under the lock: whoever takes the id next finds this epoch remembered.
    context.journal.write(&[Entry::Transaction { id, stored }]).map_err(|_| TRY_AGAIN)?;
    Ok((stored.producer_id, stored.epoch))
}

/// Makes the journal know that a transaction is open, if it does not yet.
fn remember_open(
    context: &Context,
    transactions: &mut Coordinator,
    id: &str,
    to_remember: Option<Stored>,
) -> Result<(), ResponseError> {
    if let Some(stored) = to_remember {
        context.journal.write(&[Entry::Transaction { id: Arc::from(id), stored }]).map_err(|_| TRY_AGAIN)?;
        transactions.opened(id);
    }
    Ok(())
}

pub(super) fn add_partitions(
    context: &Context,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let mut partitions = Vec::new();
    let mut is_complete = true;
    for topic in &request.v3_and_below_topics {
        let name: Arc<str> = Arc::from(&**topic.name);
        for index in &topic.partitions {
            match group_offsets::partition(context, &name, *index).filter(|_| !is_internal(&name)) {
                Some(partition) => partitions.push(partition),
                None => is_complete = false,
            }
        }
    }
    let id = &**request.v3_and_below_transactional_id;
    let producer = (*request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
    // All of them or none, as with Kafka.
    let result = if is_complete {
        let mut transactions = lock(&context.transactions);
        transactions
            .add_partitions(id, producer, partitions, context.now())
            .map_err(|denied| errors::of_transaction(denied, version >= REQUESTS_KNOW_FENCED))
            .and_then(|stored| remember_open(context, &mut transactions, id, stored))
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    let topic = |topic: kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic| {
        let name: Arc<str> = Arc::from(&**topic.name);
        let one = |index: i32| {
            let code = match result {
                Ok(()) => NONE,
                Err(_) if group_offsets::partition(context, &name, index).is_none() => {
                    ResponseError::UnknownTopicOrPartition.code()
                }
                Err(error) => error.code(),
            };
            AddPartitionsToTxnPartitionResult::default().with_partition_index(index).with_partition_error_code(code)
        };
        let results = topic.partitions.into_iter().map(one).collect();
        AddPartitionsToTxnTopicResult::default().with_name(topic.name).with_results_by_partition(results)
    };
    let topics = request.v3_and_below_topics.into_iter().map(topic).collect();
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics)
}

pub(super) fn add_offsets(context: &Context, request: AddOffsetsToTxnRequest, version: i16) -> AddOffsetsToTxnResponse {
    let id = &**request.transactional_id;
    let producer = (*request.producer_id, request.producer_epoch);
    let group: Arc<str> = Arc::from(&**request.group_id);
    let mut transactions = lock(&context.transactions);
    let result = transactions
        .add_group(id, producer, &group, context.now())
        .map_err(|denied| errors::of_transaction(denied, version >= REQUESTS_KNOW_FENCED))
        .and_then(|stored| remember_open(context, &mut transactions, id, stored));
    AddOffsetsToTxnResponse::default().with_error_code(result.map_or_else(|error| error.code(), |()| NONE))
}

pub(super) fn commit_offsets(context: &Context, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let group: Arc<str> = Arc::from(&**request.group_id);
    let membership = Membership {
        group: group.clone(),
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
        generation: request.generation_id,
    };
    let allowed = context.groups(|groups, now| groups.may_commit(&membership, true, now));
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = Arc::from(&**topic.name);
        let mut answer = TxnOffsetCommitResponseTopic::default();
        for wanted in topic.partitions {
            let metadata = wanted.committed_metadata.as_deref().unwrap_or_default();
            let result = match (allowed, group_offsets::partition(context, &name, wanted.partition_index)) {
                (Err(denied), _) => Err(errors::of_group(denied)),
                (_, None) => Err(ResponseError::UnknownTopicOrPartition),
                _ if metadata.len() > MAX_METADATA => Err(ResponseError::OffsetMetadataTooLarge),
                (Ok(()), Some(partition)) => {
                    offsets.push((partition, wanted.committed_offset, Arc::from(metadata)));
                    Ok(())
                }
            };
            let code = result.map_or_else(|error| error.code(), |()| NONE);
            let one = TxnOffsetCommitResponsePartition::default().with_partition_index(wanted.partition_index);
            answer.partitions.push(one.with_error_code(code));
        }
        topics.push(answer.with_name(topic.name));
    }
    let producer = (*request.producer_id, request.producer_epoch);
    let held = lock(&context.transactions).hold_offsets(&request.transactional_id, producer, &group, offsets);
    if let Err(denied) = held {
        // Version 3 is the first with a membership, and none of them knows the newer code for a replaced producer.
        let error = errors::of_transaction(denied, false);
        let fine = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|one| one.error_code == NONE);
        fine.for_each(|one| one.error_code = error.code());
    }
    TxnOffsetCommitResponse::default().with_topics(topics)
}

pub(super) fn end(context: &Context, request: EndTxnRequest, version: i16) -> EndTxnResponse {
    let id = &**request.transactional_id;
    let producer = (*request.producer_id, request.producer_epoch);
    let begun = lock(&context.transactions).begin_end(id, producer, request.committed);
    let code = match begun {
        Err(denied) => errors::of_transaction(denied, version >= REQUESTS_KNOW_FENCED).code(),
        Ok(Begun::Done) => NONE,
        Ok(Begun::Write { held, partitions, stored }) => {
            let written = write(context, id, held, &partitions, stored);
            lock(&context.transactions).finish_end(id, stored, written.is_ok());
            // The records are gone; from this answer clients abort and take a new epoch.
            let lost = errors::of_transaction(Denied::UnknownProducer, true);
            written.map_or_else(|_| lost.code(), |()| NONE)
        }
    };
    EndTxnResponse::default().with_error_code(code)
}

/// Writes a transaction in one commit: records, offsets, its new state, and how far its producer has come.
fn write(
    context: &Context,
    id: &str,
    held: Held,
    partitions: &BTreeSet<TopicPartition>,
    stored: Stored,
) -> LogResult<()> {
    let mut entries = vec![Entry::Transaction { id: Arc::from(id), stored }];
    let producer = context.producers.get(stored.producer_id, context.now());
    let producer = producer.lock().unwrap_or_else(PoisonError::into_inner);
    for partition in partitions {
        if let Some(history) = producer.history(partition) {
            let (producer_id, history) = (stored.producer_id, history.clone());
            entries.push(Entry::Sequence { producer_id, partition: partition.clone(), history });
        }
    }
    // A topic may have been deleted while the transaction was open; what was for it goes with it.
    let exists = |partition: &TopicPartition| {
        group_offsets::partition(context, &partition.topic, partition.partition as i32).is_some()
    };
    let Held { batches, group, offsets, .. } = held;
    let mut appends: Vec<Append> = Vec::with_capacity(batches.len() + 1);
    appends.extend(
        batches
            .into_iter()
            .filter(|(partition, _)| exists(partition))
            .map(|(target, records)| Append { target, records }),
    );
    let group = group.unwrap_or_default();
    let offsets: Vec<_> = offsets.into_iter().filter(|(partition, _)| exists(partition)).collect();
    let texts = offsets.iter().map(|(partition, (offset, text))| (partition.clone(), *offset, text.clone()));
    entries.extend(context.remember_texts(&group, texts));
    appends.push(context.journal.append(&entries)?);
    let offsets = offsets.into_iter().map(|(partition, (offset, _))| (partition, offset)).collect();
    context.log.commit(CommitRequest { group, appends, offsets, ..CommitRequest::default() }).map(drop)
}
