//! Topics and the cluster of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use beltline_log::check_topic;
use beltline_types::{ErrorKind, TopicInfo, TopicSpec};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::errors::{self, NONE};
use super::{NODE, configs};
use crate::context::{Client, Context, lock, text};
use crate::journal;

/// What a client learns that asks for the operations it is allowed: that nobody says.
const UNKNOWN_OPERATIONS: i32 = i32::MIN;

/// As many as the log takes.
pub(super) const MAX_PARTITIONS: i64 = 10_000;

pub(super) fn is_internal(topic: &str) -> bool {
    topic == journal::TOPIC
}

pub(super) fn metadata(context: &Context, client: &Client, request: MetadataRequest, version: i16) -> MetadataResponse {
    let asks_for_all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let topics = if asks_for_all {
        context.log.topics().unwrap_or_default().iter().map(described).collect()
    } else {
        let wanted = request.topics.unwrap_or_default();
        let may_create = request.allow_auto_topic_creation && context.options.auto_create_topics;
        wanted.into_iter().map(|topic| look_up(context, topic.name, may_create)).collect()
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE.into())
        .with_host(text(&client.node.0))
        .with_port(i32::from(client.node.1));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(&context.cluster_id)))
        .with_controller_id(NODE.into())
        .with_topics(topics)
        .with_cluster_authorized_operations(UNKNOWN_OPERATIONS)
}

fn look_up(context: &Context, name: Option<TopicName>, may_create: bool) -> MetadataResponseTopic {
    let Some(name) = name else {
        // Only by its id, which no topic has here.
        return MetadataResponseTopic::default().with_error_code(ResponseError::UnknownTopicId.code());
    };
    let failed = |name: TopicName, error: ResponseError| {
        MetadataResponseTopic::default()
            .with_name(Some(name))
            .with_error_code(error.code())
            .with_topic_authorized_operations(UNKNOWN_OPERATIONS)
    };
    match context.log.topic(&name) {
        Ok(Some(info)) => return described(&info),
        Ok(None) if !may_create => return failed(name, ResponseError::UnknownTopicOrPartition),
        Ok(None) => {}
        Err(error) => return failed(name, errors::of_log(&error)),
    }
    let spec = TopicSpec::new(&**name, context.options.default_partitions);
    match context.log.create_topics(&[spec]) {
        Ok(()) => match context.log.topic(&name) {
            Ok(Some(info)) => described(&info),
            _ => failed(name, ResponseError::UnknownTopicOrPartition),
        },
        Err(error) if error.kind() == ErrorKind::Usage => failed(name, ResponseError::InvalidTopicException),
        Err(error) => failed(name, errors::of_log(&error)),
    }
}

fn described(info: &TopicInfo) -> MetadataResponseTopic {
    let partition = |number: u32| {
        MetadataResponsePartition::default()
            .with_partition_index(number as i32)
            .with_leader_id(NODE.into())
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE.into()])
            .with_isr_nodes(vec![NODE.into()])
    };
    MetadataResponseTopic::default()
        .with_name(Some(text(&info.name).into()))
        .with_is_internal(is_internal(&info.name))
        .with_partitions((0..info.partitions).map(partition).collect())
        .with_topic_authorized_operations(UNKNOWN_OPERATIONS)
}

pub(super) fn cluster(context: &Context, client: &Client) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE.into())
        .with_host(text(&client.node.0))
        .with_port(i32::from(client.node.1));
    DescribeClusterResponse::default()
        .with_endpoint_type(1)
        .with_cluster_id(text(&context.cluster_id))
        .with_controller_id(NODE.into())
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(UNKNOWN_OPERATIONS)
}

pub(super) fn create(context: &Context, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    request.topics.iter().for_each(|topic| *counts.entry(topic.name.to_string()).or_default() += 1);
    let one = |topic: CreatableTopic| {
        let name = topic.name.clone();
        let is_named_twice = counts.get(&name.to_string()).is_some_and(|count| *count > 1);
        let made = if is_named_twice {
            Err((ResponseError::InvalidRequest, format!("topic {} is named more than once", &*name)))
        } else {
            create_one(context, &topic, request.validate_only)
        };
        let result = CreatableTopicResult::default().with_name(name);
        match made {
            Ok(spec) => result
                .with_num_partitions(spec.partitions as i32)
                .with_replication_factor(1)
                .with_configs(Some(created_configs(&spec))),
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(Some(text(&message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    };
    CreateTopicsResponse::default().with_topics(request.topics.into_iter().map(one).collect())
}

fn created_configs(spec: &TopicSpec) -> Vec<CreatableTopicConfigs> {
    let config = |told: configs::Told| {
        CreatableTopicConfigs::default()
            .with_name(text(told.name))
            .with_value(Some(text(&told.value)))
            .with_config_source(told.source)
    };
    configs::of_topic(spec).into_iter().map(config).collect()
}

fn create_one(
    context: &Context,
    topic: &CreatableTopic,
    is_only_checked: bool,
) -> Result<TopicSpec, (ResponseError, String)> {
    let name: Arc<str> = Arc::from(&**topic.name);
    let _creating = lock(&context.creating);
    if context.log.topic(&name).map_err(|error| (errors::of_log(&error), error.to_string()))?.is_some() {
        return Err((ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    let partitions = partitions_of(context, topic)?;
    let mut spec = TopicSpec::new(name, partitions);
    for config in &topic.configs {
        configs::apply(&mut spec, &config.name, config.value.as_deref())
            .map_err(|message| (ResponseError::InvalidConfig, message))?;
    }
    let made = match is_only_checked {
        true => check_topic(&spec),
        false => context.log.create_topics(std::slice::from_ref(&spec)),
    };
    made.map_err(|error| {
        let code = match error.kind() {
            ErrorKind::Usage => ResponseError::InvalidTopicException,
            _ => errors::of_log(&error),
        };
        (code, error.to_string())
    })?;
    Ok(spec)
}

fn partitions_of(context: &Context, topic: &CreatableTopic) -> Result<u32, (ResponseError, String)> {
    if !topic.assignments.is_empty() {
        let ours = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.len() == 1 && nodes[0] == NODE;
        if !topic.assignments.iter().all(|assignment| ours(&assignment.broker_ids)) {
            let message = format!("there is one node here, number {NODE}");
            return Err((ResponseError::InvalidReplicaAssignment, message));
        }
        return Ok(topic.assignments.len() as u32);
    }
    if topic.replication_factor != -1 && topic.replication_factor != 1 {
        let message = format!(
            "Replication factor {} is larger than available brokers: 1. The local endpoint does not replicate.",
            topic.replication_factor
        );
        return Err((ResponseError::InvalidReplicationFactor, message));
    }
    match topic.num_partitions {
        -1 => Ok(context.options.default_partitions),
        count if count > 0 && i64::from(count) <= MAX_PARTITIONS => Ok(count as u32),
        count => Err((ResponseError::InvalidPartitions, format!("a topic cannot have {count} partitions here"))),
    }
}

pub(super) fn delete(context: &Context, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let names: Vec<Option<TopicName>> = if version >= 6 {
        request.topics.into_iter().map(|topic| topic.name).collect()
    } else {
        request.topic_names.into_iter().map(Some).collect()
    };
    let one = |name: Option<TopicName>| {
        let code = match &name {
            None => ResponseError::UnknownTopicId.code(),
            Some(name) if is_internal(name) => ResponseError::InvalidTopicException.code(),
            Some(name) => match context.log.topic(name) {
                Ok(None) => ResponseError::UnknownTopicOrPartition.code(),
                Ok(Some(_)) => {
                    context.log.delete_topic(name).map_or_else(|error| errors::of_log(&error).code(), |()| NONE)
                }
                Err(error) => errors::of_log(&error).code(),
            },
        };
        DeletableTopicResult::default().with_name(name).with_error_code(code)
    };
    DeleteTopicsResponse::default().with_responses(names.into_iter().map(one).collect())
}

/// Whether the log could keep the records of a topic with this cleanup apart: a compacted one needs keys.
pub(super) fn needs_keys(info: &TopicInfo) -> bool {
    info.cleanup.compacts()
}
