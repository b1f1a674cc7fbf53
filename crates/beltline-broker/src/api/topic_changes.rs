//! More partitions for a topic, and a later beginning for a partition.

use std::collections::BTreeMap;

use beltline_types::{Error, ErrorKind, Offset, TopicPartition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use kafka_protocol::messages::delete_records_request::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::NODE;
use super::errors::{self, NONE};
use super::topics::{MAX_PARTITIONS, is_internal};
use crate::context::{Context, lock, text};

/// Up to here, whatever the end is.
const ALL: Offset = -1;

/// The beginning that is answered with an error.
const NO_WATERMARK: Offset = -1;

/// An error and its sentence.
type Refusal = (ResponseError, String);

pub(super) fn create_partitions(context: &Context, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    request.topics.iter().for_each(|topic| *counts.entry(topic.name.to_string()).or_default() += 1);
    let one = |topic: CreatePartitionsTopic| {
        let is_named_twice = counts.get(&topic.name.to_string()).is_some_and(|count| *count > 1);
        let grown = if is_named_twice {
            Err((ResponseError::InvalidRequest, "Duplicate topic name.".to_owned()))
        } else {
            grow(context, &topic, request.validate_only)
        };
        let answer = CreatePartitionsTopicResult::default().with_name(topic.name);
        match grown {
            Ok(()) => answer,
            Err((error, message)) => answer.with_error_code(error.code()).with_error_message(Some(text(&message))),
        }
    };
    CreatePartitionsResponse::default().with_results(request.topics.into_iter().map(one).collect())
}

fn grow(context: &Context, topic: &CreatePartitionsTopic, is_only_checked: bool) -> Result<(), Refusal> {
    let failed = |error: Error| (errors::of_log(&error), error.to_string());
    let name = &*topic.name;
    let _changing = lock(&context.creating);
    let Some(info) = context.log.topic(name).map_err(failed)? else {
        let message = "This server does not host this topic-partition.".to_owned();
        return Err((ResponseError::UnknownTopicOrPartition, message));
    };
    if is_internal(name) {
        return Err((ResponseError::InvalidRequest, format!("topic {name} is internal and has one partition")));
    }
    let (current, wanted) = (i64::from(info.partitions), i64::from(topic.count));
    let invalid = |message: String| Err((ResponseError::InvalidPartitions, message));
    if wanted == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if wanted < current {
        return invalid(format!(
            "The topic {name} currently has {current} partition(s); {wanted} would not be an increase."
        ));
    }
    if wanted > MAX_PARTITIONS {
        return invalid(format!("a topic has {MAX_PARTITIONS} partitions at most here, not {wanted}"));
    }
    if let Some(assignments) = &topic.assignments {
        check_assignments(wanted - current, assignments.iter().map(|one| &*one.broker_ids))?;
    }
    if is_only_checked { Ok(()) } else { context.log.grow_topic(name, wanted as u32).map_err(failed) }
}

fn check_assignments<'a>(
    added: i64,
    assignments: impl ExactSizeIterator<Item = &'a [kafka_protocol::messages::BrokerId]>,
) -> Result<(), Refusal> {
    let count = assignments.len();
    let message = if count as i64 != added {
        format!("Attempted to add {added} additional partition(s), but only {count} assignment(s) were specified.")
    } else if assignments.into_iter().any(|nodes| nodes.len() != 1 || nodes[0] != NODE) {
        format!("there is one node here, number {NODE}")
    } else {
        return Ok(());
    };
    Err((ResponseError::InvalidReplicaAssignment, message))
}

pub(super) fn delete_records(context: &Context, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let one = |wanted: kafka_protocol::messages::delete_records_request::DeleteRecordsPartition| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
            match delete_below(context, &topic.name, wanted.partition_index, wanted.offset) {
                Ok(start) => answer.with_low_watermark(start).with_error_code(NONE),
                Err(error) => answer.with_low_watermark(NO_WATERMARK).with_error_code(error.code()),
            }
        };
        let partitions = topic.partitions.into_iter().map(one).collect();
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_below(context: &Context, topic: &str, index: i32, before: Offset) -> Result<Offset, ResponseError> {
    if is_internal(topic) {
        return Err(ResponseError::InvalidTopicException);
    }
    let failed = |error: Error| errors::of_log(&error);
    let info = context.log.topic(topic).map_err(failed)?.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let number = u32::try_from(index).map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    let partition = TopicPartition::new(topic, number);
    let range = context.log.offsets(&partition).map_err(failed)?;
    if !info.cleanup.deletes() {
        // A changelog without its beginning would be a table without some of its keys.
        return Err(ResponseError::PolicyViolation);
    }
    let before = if before == ALL { range.end } else { before };
    if before < 0 {
        return Err(ResponseError::OffsetOutOfRange);
    }
    context.log.delete_records(&partition, before).map_err(|error| match error.kind() {
        ErrorKind::Usage => ResponseError::PolicyViolation,
        _ => errors::of_log(&error),
    })
}
