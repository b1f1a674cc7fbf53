//! The offsets of groups, which are those of beltline's own apps too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use beltline_types::{CommitRequest, Offset, TopicPartition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::errors::{self, NONE};
use crate::context::{Context, lock, text};
use crate::group::{Denied, Membership};

/// As Kafka's `offset.metadata.max.bytes`.
pub(super) const MAX_METADATA: usize = 4096;

/// Whether an offset can be committed for a partition, and under which name.
pub(super) fn partition(context: &Context, topic: &Arc<str>, index: i32) -> Option<TopicPartition> {
    let info = context.log.topic(topic).ok().flatten()?;
    let number = u32::try_from(index).ok().filter(|number| *number < info.partitions)?;
    Some(TopicPartition::new(topic.clone(), number))
}

pub(super) fn commit(context: &Context, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group: Arc<str> = Arc::from(&**request.group_id);
    let membership = Membership {
        group: group.clone(),
        member_id: Arc::from(&*request.member_id),
        instance_id: request.group_instance_id.as_deref().map(Arc::from),
        generation: request.generation_id_or_member_epoch,
    };
    let allowed = context.groups(|groups, now| groups.may_commit(&membership, false, now));
    let mut offsets: Vec<(TopicPartition, Offset, Arc<str>)> = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let name: Arc<str> = Arc::from(&**topic.name);
        let mut answer = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
        for wanted in &topic.partitions {
            let metadata = wanted.committed_metadata.as_deref().unwrap_or_default();
            let result = match (allowed, partition(context, &name, wanted.partition_index)) {
                (Err(denied), _) => Err(errors::of_group(denied)),
                (_, None) => Err(ResponseError::UnknownTopicOrPartition),
                _ if metadata.len() > MAX_METADATA => Err(ResponseError::OffsetMetadataTooLarge),
                _ if wanted.committed_offset < 0 => Err(ResponseError::OffsetOutOfRange),
                (Ok(()), Some(partition)) => {
                    offsets.push((partition, wanted.committed_offset, Arc::from(metadata)));
                    Ok(())
                }
            };
            let code = result.map_or_else(|error| error.code(), |()| NONE);
            let one = OffsetCommitResponsePartition::default().with_partition_index(wanted.partition_index);
            answer.partitions.push(one.with_error_code(code));
        }
        topics.push(answer);
    }
    if let Err(error) = store(context, &group, offsets) {
        let written = topics.iter_mut().flat_map(|topic| &mut topic.partitions).filter(|one| one.error_code == NONE);
        written.for_each(|one| one.error_code = error.code());
    }
    OffsetCommitResponse::default().with_topics(topics)
}

fn store(
    context: &Context,
    group: &Arc<str>,
    offsets: Vec<(TopicPartition, Offset, Arc<str>)>,
) -> Result<(), ResponseError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let entries = context.remember_texts(group, offsets.iter().cloned());
    let mut appends = Vec::new();
    if !entries.is_empty() {
        appends.push(context.journal.append(&entries).map_err(|error| errors::of_log(&error))?);
    }
    let offsets = offsets.into_iter().map(|(partition, offset, _)| (partition, offset)).collect();
    let request = CommitRequest { group: group.clone(), appends, offsets, ..CommitRequest::default() };
    context.log.commit(request).map(drop).map_err(|error| errors::of_log(&error))
}

/// A partition's offset as it is answered.
struct Found {
    topic: Arc<str>,
    index: i32,
    offset: Offset,
    metadata: Arc<str>,
    code: i16,
}

/// Offsets of a group, `wanted` or all; in the order of the request, topics together.
fn find(
    context: &Context,
    group: &Arc<str>,
    wanted: Option<Vec<(Arc<str>, Vec<i32>)>>,
    must_be_stable: bool,
) -> Result<Vec<Found>, ResponseError> {
    let pending = if must_be_stable { lock(&context.transactions).pending_offsets(group) } else { BTreeSet::new() };
    let is_for_all = wanted.is_none();
    let wanted = match wanted {
        Some(wanted) => wanted,
        None => {
            let topics = context.log.topics().map_err(|error| errors::of_log(&error))?;
            topics.iter().map(|info| (info.name.clone(), (0..info.partitions as i32).collect())).collect()
        }
    };
    let mut found = Vec::new();
    for (topic, indexes) in wanted {
        for index in indexes {
            let none = Found { topic: topic.clone(), index, offset: -1, metadata: Arc::from(""), code: NONE };
            let Some(partition) = partition(context, &topic, index) else {
                found.push(none);
                continue;
            };
            if pending.contains(&partition) {
                // The client asks again until the transaction has ended.
                found.push(Found { code: ResponseError::UnstableOffsetCommit.code(), ..none });
                continue;
            }
            let committed = context.log.committed(group, std::slice::from_ref(&partition));
            match committed.map_err(|error| errors::of_log(&error))?.first().copied().flatten() {
                Some(offset) => {
                    let metadata = context.offset_text(group, &partition, offset);
                    found.push(Found { offset, metadata, ..none });
                }
                None if is_for_all => {}
                None => found.push(none),
            }
        }
    }
    Ok(found)
}

pub(super) fn fetch(context: &Context, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let must_be_stable = request.require_stable;
    if version >= 8 {
        let one = |group: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
            let name: Arc<str> = Arc::from(&**group.group_id);
            let wanted = group.topics.map(|topics| {
                topics.into_iter().map(|topic| (Arc::from(&**topic.name), topic.partition_indexes)).collect()
            });
            let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
            match find(context, &name, wanted, must_be_stable) {
                Ok(found) => answer.with_topics(by_group_topics(found)),
                Err(error) => answer.with_error_code(error.code()),
            }
        };
        return OffsetFetchResponse::default().with_groups(request.groups.into_iter().map(one).collect());
    }
    let name: Arc<str> = Arc::from(&**request.group_id);
    let wanted = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (Arc::from(&**topic.name), topic.partition_indexes)).collect());
    match find(context, &name, wanted, must_be_stable) {
        Ok(found) => OffsetFetchResponse::default().with_topics(by_topics(found)),
        Err(error) => OffsetFetchResponse::default().with_error_code(error.code()),
    }
}

fn by_topics(found: Vec<Found>) -> Vec<OffsetFetchResponseTopic> {
    let mut topics: BTreeMap<Arc<str>, Vec<OffsetFetchResponsePartition>> = BTreeMap::new();
    for one in found {
        let answer = OffsetFetchResponsePartition::default()
            .with_partition_index(one.index)
            .with_committed_offset(one.offset)
            .with_metadata(Some(text(&one.metadata)))
            .with_error_code(one.code);
        topics.entry(one.topic).or_default().push(answer);
    }
    let topic = |(name, partitions): (Arc<str>, Vec<_>)| {
        OffsetFetchResponseTopic::default().with_name(text(&name).into()).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

fn by_group_topics(found: Vec<Found>) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: BTreeMap<Arc<str>, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
    for one in found {
        let answer = OffsetFetchResponsePartitions::default()
            .with_partition_index(one.index)
            .with_committed_offset(one.offset)
            .with_metadata(Some(text(&one.metadata)))
            .with_error_code(one.code);
        topics.entry(one.topic).or_default().push(answer);
    }
    let topic = |(name, partitions): (Arc<str>, Vec<_>)| {
        OffsetFetchResponseTopics::default().with_name(text(&name).into()).with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}

pub(super) fn delete(context: &Context, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group: Arc<str> = Arc::from(&**request.group_id);
    let has_offsets = context.log.groups().is_ok_and(|names| names.contains(&group));
    let is_known = has_offsets || context.groups(|groups, _| (groups.describe(&group).is_some(), Vec::new()));
    if !is_known {
        return OffsetDeleteResponse::default().with_error_code(errors::of_group(Denied::GroupNotFound).code());
    }
    let mut gone = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name: Arc<str> = Arc::from(&**topic.name);
        let is_subscribed = context.groups(|groups, _| (groups.is_subscribed(&group, &name), Vec::new()));
        let one = |wanted: kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestPartition| {
            let index = wanted.partition_index;
            let code = match partition(context, &name, index) {
                _ if is_subscribed => errors::of_group(Denied::SubscribedToTopic).code(),
                None => ResponseError::UnknownTopicOrPartition.code(),
                Some(partition) => {
                    gone.push(partition);
                    NONE
                }
            };
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
        };
        let partitions = topic.partitions.into_iter().map(one).collect();
        topics.push(OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions));
    }
    let code = context.log.forget_offsets(&group, &gone).map_or_else(|error| errors::of_log(&error).code(), |()| NONE);
    OffsetDeleteResponse::default().with_error_code(code).with_topics(topics)
}
