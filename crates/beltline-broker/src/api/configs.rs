//! Settings of topics and of the node: describing and changing them.

use std::collections::BTreeMap;

use beltline_types::TopicSpec;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::NODE;
use super::errors::{self, NONE};
use super::settings::{self, Kind, SETTINGS, Setting};
use super::topics::is_internal;
use crate::context::{Context, lock, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from: set for the topic, or a default.
pub(super) const FROM_TOPIC: i8 = 1;
pub(super) const FROM_DEFAULT: i8 = 5;

/// What is to be done with a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// An error and its sentence.
type Refusal = (ResponseError, String);

/// Takes a setting over for a topic that is to be made.
///
/// # Errors
/// A sentence when the setting is unknown or its value makes no sense.
pub(super) fn apply(spec: &mut TopicSpec, name: &str, value: Option<&str>) -> Result<(), String> {
    let Some(value) = value else { return Err(format!("Null value not supported for topic configs: {name}")) };
    known(name)?.apply(spec, Some(value))
}

fn known(name: &str) -> Result<&'static Setting, String> {
    settings::find(name).ok_or_else(|| format!("Unknown topic config name: {name}"))
}

/// A setting as it is told: name, value, where the value comes from, Kafka's number of its kind.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
    kind: i8,
}

/// The settings of a topic.
pub(super) fn of_topic(spec: &TopicSpec) -> Vec<Told> {
    let told = |setting: &Setting| {
        let given = setting.given(spec);
        let source = if given.is_some() { FROM_TOPIC } else { FROM_DEFAULT };
        let value = given.unwrap_or_else(|| setting.default.to_owned());
        Told { name: setting.name, value, source, kind: setting.kind_number() }
    };
    SETTINGS.iter().map(told).collect()
}

pub(super) fn describe(context: &Context, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| describe_one(context, resource)).collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe_one(context: &Context, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let found = match resource.resource_type {
        TOPIC => match context.log.topic(&resource.resource_name) {
            Ok(Some(info)) => Ok(of_topic(&info)),
            Ok(None) => Err(ResponseError::UnknownTopicOrPartition),
            Err(error) => Err(errors::of_log(&error)),
        },
        BROKER if *resource.resource_name == *NODE.to_string() => Ok(of_node(context)),
        _ => Err(ResponseError::InvalidRequest),
    };
    let is_read_only = resource.resource_type == BROKER;
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name);
    let keys = resource.configuration_keys.filter(|keys| !keys.is_empty());
    match found {
        Err(error) => result.with_error_code(error.code()).with_error_message(Some(text(&error.to_string()))),
        Ok(settings) => {
            let is_wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.iter().any(|key| &**key == name));
            let configs = settings.into_iter().filter(|told| is_wanted(told.name)).map(|told| {
                DescribeConfigsResourceResult::default()
                    .with_name(text(told.name))
                    .with_value(Some(text(&told.value)))
                    .with_config_source(told.source)
                    .with_config_type(told.kind)
                    .with_read_only(is_read_only)
            });
            result.with_error_code(NONE).with_configs(configs.collect())
        }
    }
}

fn of_node(context: &Context) -> Vec<Told> {
    let options = &context.options;
    let settings = [
        ("auto.create.topics.enable", options.auto_create_topics.to_string(), 1),
        ("default.replication.factor", "1".to_owned(), 3),
        ("group.min.session.timeout.ms", options.min_session_timeout.as_millis().to_string(), 3),
        ("message.max.bytes", options.limits.max_batch_bytes.to_string(), 3),
        ("num.partitions", options.default_partitions.to_string(), 3),
    ];
    settings.into_iter().map(|(name, value, kind)| Told { name, value, source: FROM_DEFAULT, kind }).collect()
}

pub(super) fn alter(context: &Context, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let mut counts: BTreeMap<(i8, String), usize> = BTreeMap::new();
    for resource in &request.resources {
        *counts.entry((resource.resource_type, resource.resource_name.to_string())).or_default() += 1;
    }
    let one = |resource: AlterConfigsResource| {
        let count = counts.get(&(resource.resource_type, resource.resource_name.to_string()));
        let altered = if count.is_some_and(|count| *count > 1) {
            Err((ResponseError::InvalidRequest, "Each resource must appear at most once.".to_owned()))
        } else {
            alter_one(context, &resource, request.validate_only)
        };
        let answer = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match altered {
            Ok(()) => answer,
            Err((error, message)) => answer.with_error_code(error.code()).with_error_message(Some(text(&message))),
        }
    };
    IncrementalAlterConfigsResponse::default().with_responses(request.resources.into_iter().map(one).collect())
}

/// All changes of a resource, or none.
fn alter_one(context: &Context, resource: &AlterConfigsResource, is_only_checked: bool) -> Result<(), Refusal> {
    let name = &*resource.resource_name;
    if resource.resource_type != TOPIC || is_internal(name) {
        let message = "the local endpoint changes settings of topics only; those of the node are settings of the app";
        return Err((ResponseError::InvalidRequest, message.to_owned()));
    }
    let mut names: Vec<&str> = resource.configs.iter().map(|config| &*config.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err((ResponseError::InvalidRequest, "Error due to duplicate config keys".to_owned()));
    }
    let _changing = lock(&context.creating);
    let failed = |error: beltline_types::Error| (errors::of_log(&error), error.to_string());
    let Some(mut spec) = context.log.topic(name).map_err(failed)? else {
        return Err((ResponseError::UnknownTopicOrPartition, format!("The topic '{name}' does not exist.")));
    };
    for config in &resource.configs {
        change(&mut spec, config)?;
    }
    if is_only_checked { Ok(()) } else { context.log.change_topic(&spec).map_err(failed) }
}

fn change(spec: &mut TopicSpec, config: &AlterableConfig) -> Result<(), Refusal> {
    let invalid = |message: String| (ResponseError::InvalidConfig, message);
    let (name, value) = (&*config.name, config.value.as_deref());
    if config.config_operation == DELETE {
        // As with Kafka, there is no harm in taking away what nobody can set.
        return settings::find(name).map_or(Ok(()), |setting| setting.apply(spec, None)).map_err(invalid);
    }
    let Some(value) = value else {
        return Err((ResponseError::InvalidRequest, format!("Null value not supported for : {name}")));
    };
    let setting = known(name).map_err(invalid)?;
    match (config.config_operation, setting.kind) {
        (SET, _) => setting.apply(spec, Some(value)).map_err(invalid),
        (APPEND | SUBTRACT, Kind::List(_)) => {
            let old = setting.given(spec).unwrap_or_else(|| setting.default.to_owned());
            let mut parts: Vec<&str> =
                Setting::parts(&old).filter(|old| !Setting::parts(value).any(|new| new == *old)).collect();
            if config.config_operation == APPEND {
                parts.extend(Setting::parts(value));
            }
            setting.apply(spec, Some(&parts.join(","))).map_err(invalid)
        }
        (APPEND | SUBTRACT, _) => {
            let verb = if config.config_operation == APPEND { "append to" } else { "subtract from" };
            Err(invalid(format!("Can't {verb} config key {name} because its type is not LIST.")))
        }
        _ => Err((ResponseError::InvalidRequest, format!("there is no operation {}", config.config_operation))),
    }
}
