//! Fetch: records out of the log, waiting for them where there are none.

use std::time::Duration;

use beltline_types::TopicPartition;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use kafka_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};

use super::errors::{self, NONE};
use crate::context::{Client, Context};
use crate::records;

/// The most a fetch waits to gather; more would be read again and again for it.
const MAX_MIN_BYTES: usize = 1 << 20;

/// A partition that is asked for.
struct Wanted {
    topic: usize,
    partition: TopicPartition,
    request: FetchPartition,
}

/// Answers when there are `min_bytes`, something is wrong, or the time is over; `None` when nobody waits any longer.
pub(super) fn fetch(context: &Context, client: &Client, request: FetchRequest) -> Option<FetchResponse> {
    if request.session_id != 0 {
        // No sessions are given out, so this one is somebody else's.
        let error = ResponseError::FetchSessionIdNotFound.code();
        return Some(FetchResponse::default().with_error_code(error));
    }
    let limits = &context.options.limits;
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limits.max_fetch_bytes);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes).min(MAX_MIN_BYTES);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(limits.max_fetch_wait);
    let deadline = context.now() + wait;
    let mut topics = Vec::new();
    let mut wanted = Vec::new();
    for topic in request.topics {
        let name: std::sync::Arc<str> = std::sync::Arc::from(&**topic.topic);
        for partition in topic.partitions {
            let name = TopicPartition::new(name.clone(), u32::try_from(partition.partition).unwrap_or(u32::MAX));
            wanted.push(Wanted { topic: topics.len(), partition: name, request: partition });
        }
        topics.push(topic.topic);
    }
    loop {
        // The version before reading: what comes meanwhile ends the wait at once.
        let version = context.log.wait(0, Duration::ZERO);
        let mut bytes = 0;
        let mut is_final = false;
        let mut answers: Vec<FetchableTopicResponse> =
            topics.iter().map(|name| FetchableTopicResponse::default().with_topic(name.clone())).collect();
        for one in &wanted {
            let data = read(context, one, max_bytes.saturating_sub(bytes), bytes == 0);
            is_final |= data.error_code != NONE;
            bytes += data.records.as_ref().map_or(0, Bytes::len);
            answers[one.topic].partitions.push(data);
        }
        let left = deadline.saturating_sub(context.now());
        if is_final || bytes >= min_bytes || left.is_zero() || wanted.is_empty() && wait.is_zero() {
            return Some(FetchResponse::default().with_responses(answers));
        }
        drop(answers);
        wait_for_more(context, client, version, left)?;
    }
}

/// Waits until the log has grown; `None` when the client has gone.
fn wait_for_more(context: &Context, client: &Client, version: u64, left: Duration) -> Option<()> {
    let deadline = context.now() + left;
    loop {
        let left = deadline.saturating_sub(context.now());
        if left.is_zero() || context.log.wait(version, context.slice(left)) != version {
            return if context.is_stopped() { None } else { Some(()) };
        }
        if context.is_over_for(client) {
            return None;
        }
    }
}

fn read(context: &Context, wanted: &Wanted, room: usize, is_first: bool) -> PartitionData {
    let answer = PartitionData::default()
        .with_partition_index(wanted.request.partition)
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_preferred_read_replica((-1).into());
    let range = match context.log.offsets(&wanted.partition) {
        Ok(range) => range,
        Err(error) => return answer.with_error_code(errors::of_log(&error).code()),
    };
    let answer = answer
        .with_high_watermark(range.end)
        .with_last_stable_offset(range.end)
        .with_log_start_offset(range.start)
        .with_records(Some(Bytes::new()));
    let from = wanted.request.fetch_offset;
    if !(range.start..=range.end).contains(&from) {
        return answer.with_error_code(ResponseError::OffsetOutOfRange.code());
    }
    // The first partition with records gives at least one, however large it is.
    let limit = usize::try_from(wanted.request.partition_max_bytes).unwrap_or(0).min(room);
    if from == range.end || (limit == 0 && !is_first) {
        return answer;
    }
    match context.log.fetch(&wanted.partition, from, limit.max(1)) {
        Ok(fetched) => {
            let mut output = Vec::new();
            let timestamps = context.log.topic(&wanted.partition.topic).ok().flatten().map(|info| info.timestamps);
            let offsets = from..fetched.next_offset;
            records::write_batches(&mut output, &fetched.batches, offsets, limit, timestamps.unwrap_or_default());
            if output.len() > limit && !is_first {
                return answer;
            }
            answer.with_records(Some(Bytes::from(output)))
        }
        // Retention may have taken the records since the range was asked for.
        Err(error) => answer.with_error_code(errors::of_log(&error).code()),
    }
}
