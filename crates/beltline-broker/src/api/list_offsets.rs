//! Offsets by name and by time.

use std::time::Duration;

use beltline_types::{Error, ErrorKind, Offset, Result, Timestamp, TopicPartition};
use kafka_protocol::messages::list_offsets_request::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::errors::{self, NONE};
use crate::context::{Client, Context};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

/// The answer where no record fits.
const NOWHERE: (Timestamp, Offset) = (-1, -1);

/// From this version on an answer carries the leader's epoch.
const WITH_EPOCH: i16 = 4;

/// Bytes read at a time when looking for a time.
const READ_BYTES: usize = 1 << 20;

pub(super) fn list_offsets(
    context: &Context,
    client: &Client,
    request: ListOffsetsRequest,
    version: i16,
) -> ListOffsetsResponse {
    let deadline = context.now() + context.options.limits.lookup_timeout;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut answer = ListOffsetsTopicResponse::default();
        for wanted in topic.partitions {
            let number = u32::try_from(wanted.partition_index).unwrap_or(u32::MAX);
            let partition = TopicPartition::new(&**topic.name, number);
            let one = ListOffsetsPartitionResponse::default().with_partition_index(wanted.partition_index);
            answer.partitions.push(match look_up(context, client, &partition, wanted.timestamp, deadline) {
                Ok((timestamp, offset)) => {
                    let epoch = if offset < 0 || version < WITH_EPOCH { -1 } else { 0 };
                    one.with_error_code(NONE).with_timestamp(timestamp).with_offset(offset).with_leader_epoch(epoch)
                }
                Err(error) => one.with_error_code(errors::of_log(&error).code()).with_timestamp(-1).with_offset(-1),
            });
        }
        topics.push(answer.with_name(topic.name));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

fn look_up(
    context: &Context,
    client: &Client,
    partition: &TopicPartition,
    timestamp: i64,
    deadline: Duration,
) -> Result<(Timestamp, Offset)> {
    let range = context.log.offsets(partition)?;
    match timestamp {
        LATEST => Ok((-1, range.end)),
        EARLIEST | EARLIEST_LOCAL => Ok((-1, range.start)),
        MAX_TIMESTAMP => {
            let mut best = NOWHERE;
            scan(context, client, partition, deadline, |time, offset| {
                if time > best.0 {
                    best = (time, offset);
                }
                true
            })?;
            Ok(best)
        }
        wanted if wanted < 0 => Ok(NOWHERE),
        wanted => {
            let mut found = NOWHERE;
            scan(context, client, partition, deadline, |time, offset| {
                if time >= wanted {
                    found = (time, offset);
                }
                time < wanted
            })?;
            Ok(found)
        }
    }
}

/// Visits time and offset of the records from the first one on, until the visitor says no.
fn scan(
    context: &Context,
    client: &Client,
    partition: &TopicPartition,
    deadline: Duration,
    mut each: impl FnMut(Timestamp, Offset) -> bool,
) -> Result<()> {
    let range = context.log.offsets(partition)?;
    let mut offset = range.start;
    while offset < range.end {
        if context.now() >= deadline || context.is_over_for(client) {
            let message = format!("{partition}: looking for a time took too long; ask for an offset instead");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let fetched = context.log.fetch(partition, offset, READ_BYTES)?;
        for record in fetched.batches.iter().flat_map(|batch| batch.iter()) {
            if record.offset >= offset && !each(record.timestamp, record.offset) {
                return Ok(());
            }
        }
        if fetched.next_offset <= offset {
            break;
        }
        offset = fetched.next_offset;
    }
    Ok(())
}
