//! Settings of topics, as far as the log has them.

use beltline_types::{Cleanup, TimestampType, TopicSpec};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};

use super::NODE;
use super::errors::{self, NONE};
use crate::context::{Context, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from: set for the topic, or a default.
const FROM_TOPIC: i8 = 1;
const FROM_DEFAULT: i8 = 5;

/// Settings that Kafka knows and that make no difference here; they are taken and not kept.
const IGNORED: &[&str] = &[
    "compression.type",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "index.interval.bytes",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.difference.max.ms",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.storage.enable",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Takes a setting over.
///
/// # Errors
/// A sentence when the setting is unknown or its value makes no sense.
pub(super) fn apply(spec: &mut TopicSpec, name: &str, value: Option<&str>) -> Result<(), String> {
    let Some(value) = value else { return Err(format!("setting {name} has no value")) };
    let bad = || format!("Invalid value {value} for configuration {name}");
    match name {
        "cleanup.policy" => {
            spec.cleanup = match value {
                "delete" => Cleanup::Delete,
                "compact" => Cleanup::Compact,
                _ => return Err(format!("{}: the local log deletes or compacts, not both", bad())),
            }
        }
        "retention.ms" => {
            let time: i64 = value.parse().map_err(|_| bad())?;
            spec.retention_ms = Some(time).filter(|time| *time >= 0);
        }
        "retention.bytes" => {
            let bytes: i64 = value.parse().map_err(|_| bad())?;
            spec.retention_bytes = u64::try_from(bytes).ok();
        }
        "message.timestamp.type" => {
            spec.timestamps = match value {
                "CreateTime" => TimestampType::CreateTime,
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => return Err(bad()),
            }
        }
        _ if IGNORED.contains(&name) => {}
        _ => return Err(format!("Unknown topic config name: {name}")),
    }
    Ok(())
}

/// The settings of a topic.
pub(super) fn of_topic(spec: &TopicSpec) -> Vec<(&'static str, String)> {
    let timestamps = match spec.timestamps {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let or_minus_one = |number: Option<i64>| number.unwrap_or(-1).to_string();
    vec![
        ("cleanup.policy", if spec.cleanup == Cleanup::Compact { "compact" } else { "delete" }.to_owned()),
        ("compression.type", "uncompressed".to_owned()),
        ("message.timestamp.type", timestamps.to_owned()),
        ("min.insync.replicas", "1".to_owned()),
        ("retention.bytes", or_minus_one(spec.retention_bytes.and_then(|bytes| i64::try_from(bytes).ok()))),
        ("retention.ms", or_minus_one(spec.retention_ms)),
    ]
}

pub(super) fn describe(context: &Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| describe_one(context, resource)).collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe_one(context: &Context, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let found = match resource.resource_type {
        TOPIC => match context.log.topic(&resource.resource_name) {
            Ok(Some(info)) => {
                let is_set = |name: &str| match name {
                    "cleanup.policy" => info.cleanup == Cleanup::Compact,
                    "message.timestamp.type" => info.timestamps == TimestampType::LogAppendTime,
                    "retention.ms" => info.retention_ms.is_some(),
                    "retention.bytes" => info.retention_bytes.is_some(),
                    _ => false,
                };
                let source = |name: &str| if is_set(name) { FROM_TOPIC } else { FROM_DEFAULT };
                Ok(of_topic(&info).into_iter().map(|(name, value)| (name, value, source(name))).collect())
            }
            Ok(None) => Err(ResponseError::UnknownTopicOrPartition),
            Err(error) => Err(errors::of_log(&error)),
        },
        BROKER if *resource.resource_name == *NODE.to_string() => Ok(of_node(context)),
        _ => Err(ResponseError::InvalidRequest),
    };
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name);
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    match found {
        Err(error) => result.with_error_code(error.code()).with_error_message(Some(text(&error.to_string()))),
        Ok(settings) => {
            let is_wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| &**key == name));
            let settings: Vec<(&str, String, i8)> = settings;
            let configs = settings.into_iter().filter(|(name, ..)| is_wanted(name)).map(|(name, value, source)| {
                DescribeConfigsResourceResult::default()
                    .with_name(text(name))
                    .with_value(Some(text(&value)))
                    .with_config_source(source)
                    .with_read_only(source == FROM_DEFAULT)
            });
            result.with_error_code(NONE).with_configs(configs.collect())
        }
    }
}

fn of_node(context: &Context) -> Vec<(&'static str, String, i8)> {
    let options = &context.options;
    let settings = [
        ("auto.create.topics.enable", options.auto_create_topics.to_string()),
        ("default.replication.factor", "1".to_owned()),
        ("message.max.bytes", options.limits.max_batch_bytes.to_string()),
        ("num.partitions", options.default_partitions.to_string()),
    ];
    settings.into_iter().map(|(name, value)| (name, value, FROM_DEFAULT)).collect()
}
