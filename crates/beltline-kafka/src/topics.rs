//! Topics: which there are, making them, and what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beltline_types::{
    Cleanup, Error, ErrorKind, Offset, OffsetRange, Result, TimestampType, TopicInfo, TopicPartition, TopicSpec,
};

use crate::context::Context;
use crate::errors::kind_of;
use crate::health::Deadline;
use crate::raw::admin::{NewTopic, Outcome, Scope, TopicMetadata};
use crate::raw::client::Client;
use crate::raw::code::{Code, Fault};
use crate::raw::list::{BEGINNING, END, PartitionList};

/// Topics of Kafka's own, which are nobody's business here.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// What brokers answer for a moment after a partition got a new leader.
const AFTER_FAILOVER: [Code; 5] = [
    Code::OFFSET_NOT_AVAILABLE,
    Code::LEADER_NOT_AVAILABLE,
    Code::NOT_LEADER,
    Code::FENCED_LEADER_EPOCH,
    Code::UNKNOWN_LEADER_EPOCH,
];

/// Between two of these questions.
const FAILOVER_PAUSE: Duration = Duration::from_millis(100);

fn info(topic: &TopicMetadata) -> TopicInfo {
    TopicSpec::new(topic.name.clone(), topic.partitions)
}

/// All topics, by name. Only names and partition counts are asked for.
pub(crate) fn list(context: &Context, client: &Arc<Client>) -> Result<Vec<TopicInfo>> {
    let deadline = context.question();
    let found = client
        .metadata(Scope::Everything, deadline.remaining_ms())
        .map_err(|fault| context.error("listing the topics", &deadline, &fault))?;
    context.health.well();
    let mut topics: Vec<TopicInfo> =
        found.iter().filter(|topic| topic.code == Code::NONE && !INTERNAL.contains(&&*topic.name)).map(info).collect();
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(topics)
}

/// How long brokers may not know a topic that another broker has shown. Each hears of a new topic at a time of its own,
/// and whom a question reaches is chance.
const HEARSAY: Duration = Duration::from_secs(5);

/// One topic, if it exists.
pub(crate) fn find(context: &Context, client: &Arc<Client>, name: &str) -> Result<Option<TopicInfo>> {
    look(context, client, name, HEARSAY)
}

/// One topic, if the broker that is asked knows it now.
pub(crate) fn find_at_once(context: &Context, client: &Arc<Client>, name: &str) -> Result<Option<TopicInfo>> {
    look(context, client, name, Duration::ZERO)
}

fn look(context: &Context, client: &Arc<Client>, name: &str, hearsay: Duration) -> Result<Option<TopicInfo>> {
    let deadline = context.question();
    let disbelief = context.disbelief(name, hearsay);
    let doing = || format!("looking for the topic {name}");
    loop {
        let found = client
            .metadata(Scope::Topic(name), deadline.remaining_ms())
            .map_err(|fault| context.error(&doing(), &deadline, &fault))?;
        context.health.well();
        let Some(topic) = found.first() else { return Ok(None) };
        match topic.code {
            Code::NONE if topic.partitions > 0 => {
                context.saw(name);
                return Ok(Some(info(topic)));
            }
            Code::NONE | Code::UNKNOWN_TOPIC_OR_PARTITION | Code::UNKNOWN_TOPIC_HERE
                if !deadline.is_over() && !disbelief.is_over() =>
            {
                context.signal.wait_quietly(FAILOVER_PAUSE);
            }
            Code::NONE | Code::UNKNOWN_TOPIC_OR_PARTITION | Code::UNKNOWN_TOPIC_HERE | Code::INVALID_TOPIC => {
                context.misses(name);
                return Ok(None);
            }
            // A topic that was made just now.
            Code::LEADER_NOT_AVAILABLE if !deadline.is_over() => {
                context.signal.wait_quietly(Duration::from_millis(50));
            }
            code => return Err(context.error(&doing(), &deadline, &Fault::of(code))),
        }
    }
}

/// An error unless the partition exists.
pub(crate) fn require(context: &Context, client: &Arc<Client>, partition: &TopicPartition) -> Result<()> {
    match find(context, client, &partition.topic)? {
        Some(topic) if partition.partition < topic.partitions => Ok(()),
        Some(topic) => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no {partition}: the topic has {} partitions", topic.partitions),
        )),
        None => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no topic {}; create it, or correct its name", partition.topic),
        )),
    }
}

/// The offsets a partition holds, up to its high watermark: what open transactions have written counts.
pub(crate) fn range(context: &Context, client: &Arc<Client>, partition: &TopicPartition) -> Result<OffsetRange> {
    let deadline = context.question();
    let ask = |which| client.list_offset(partition, which, deadline.remaining_ms());
    loop {
        match ask(BEGINNING).and_then(|start| Ok(OffsetRange { start, end: ask(END)? })) {
            Ok(range) => {
                context.health.well();
                return Ok(range);
            }
            // A new leader: it knows in a moment.
            Err(fault) if AFTER_FAILOVER.contains(&fault.code) && !deadline.is_over() => {
                context.signal.wait_quietly(FAILOVER_PAUSE);
            }
            Err(fault) => {
                return Err(context.error(&format!("asking what {partition} holds"), &deadline, &fault));
            }
        }
    }
}

/// Creates what is missing.
pub(crate) fn create(context: &Context, client: &Arc<Client>, wanted: &[TopicSpec]) -> Result<()> {
    for topic in wanted {
        if topic.partitions == 0 || topic.name.is_empty() || topic.name.len() > 249 {
            let name = &topic.name;
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "a topic named {name:?} cannot be made: Kafka wants 1 to 249 letters, digits, '.', '_' or '-', and one partition or more"
                ),
            ));
        }
    }
    // Those that exist are not asked for, so that a worker without the right to create runs on topics made by others.
    let mut missing = Vec::new();
    for topic in wanted {
        match find(context, client, &topic.name) {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(topic),
            // Brokers do not say whether it exists; if it does not, creating it is refused with the right words.
            Err(error) if error.kind() == ErrorKind::Unauthorized => missing.push(topic),
            Err(error) => return Err(error),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let deadline = context.question();
    let replication = context.options.replication_factor.unwrap_or(-1);
    let requests: Vec<NewTopic<'_>> = missing.iter().map(|topic| request(topic, replication)).collect();
    let outcomes = client.create_topics(&requests, deadline.remaining_ms()).map_err(|fault| {
        let names: Vec<&str> = missing.iter().map(|topic| &*topic.name).collect();
        context.error(&format!("creating the topics {}", names.join(", ")), &deadline, &fault)
    })?;
    let refused: Vec<&Outcome> = outcomes.iter().filter(|outcome| is_refusal(outcome)).collect();
    // Of a topic that was refused a broker is believed at once that it does not exist.
    let was_made = |topic: &&&TopicSpec| !refused.iter().any(|outcome| outcome.name == *topic.name);
    missing.iter().filter(was_made).for_each(|topic| context.has_made(&topic.name));
    match refused.first() {
        None => wait_for(context, client, &missing),
        Some(_) if refused.iter().all(|outcome| lacks_brokers(outcome, replication)) => {
            Err(too_few_brokers(client, &refused, replication, &deadline))
        }
        Some(first) => Err(cannot_create(context, &refused, first, &missing, replication)),
    }
}

/// Brokers answer that a topic is made before each of them knows it.
fn wait_for(context: &Context, client: &Arc<Client>, topics: &[&TopicSpec]) -> Result<()> {
    let deadline = context.question();
    for topic in topics {
        while find(context, client, &topic.name)?.is_none() {
            if deadline.is_over() {
                let doing = format!("waiting for the new topic {} to be known to the brokers", topic.name);
                return Err(context.error(&doing, &deadline, &Fault::of(Code::TIMED_OUT)));
            }
            context.signal.wait_quietly(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn is_refusal(outcome: &Outcome) -> bool {
    outcome.fault.as_ref().is_some_and(|fault| fault.code != Code::TOPIC_EXISTS)
}

/// Whether a topic would have more copies than there are brokers: of a cluster that comes up, some are there before others.
fn lacks_brokers(outcome: &Outcome, replication: i32) -> bool {
    let is_possible = replication == -1 || replication > 0;
    is_possible && outcome.fault.as_ref().is_some_and(|fault| fault.code == Code::INVALID_REPLICATION_FACTOR)
}

/// Says how many copies are wanted and how many brokers there are. Another try may find more of them.
fn too_few_brokers(client: &Arc<Client>, refused: &[&Outcome], replication: i32, deadline: &Deadline) -> Error {
    let names: Vec<&str> = refused.iter().map(|outcome| outcome.name.as_str()).collect();
    let copies = match replication {
        -1 => "as many copies as the brokers' default.replication.factor says".to_owned(),
        copies => format!("{copies} copies of each partition (topic_replication_factor)"),
    };
    let there = match client.brokers(deadline.remaining_ms()) {
        Ok(1) => "one broker".to_owned(),
        Ok(count) => format!("{count} brokers"),
        Err(_) => "fewer brokers".to_owned(),
    };
    let names = names.join(", ");
    let sentence = format!("the topics {names} are to have {copies}, but the cluster has {there} so far");
    Error::new(ErrorKind::Unavailable, sentence)
}

/// Options by Kafka's names; those given by name win.
fn settings(topic: &TopicSpec) -> Vec<(&str, String)> {
    let mut settings = BTreeMap::new();
    match topic.cleanup {
        Cleanup::Delete => {}
        Cleanup::Compact => drop(settings.insert("cleanup.policy", "compact".to_string())),
        Cleanup::CompactAndDelete => drop(settings.insert("cleanup.policy", "compact,delete".to_string())),
    }
    if let Some(time) = topic.retention_ms {
        settings.insert("retention.ms", time.to_string());
    }
    if let Some(bytes) = topic.retention_bytes {
        settings.insert("retention.bytes", bytes.to_string());
    }
    if topic.timestamps == TimestampType::LogAppendTime {
        settings.insert("message.timestamp.type", "LogAppendTime".to_string());
    }
    settings.extend(topic.config.iter().map(|(name, value)| (name.as_str(), value.clone())));
    settings.into_iter().collect()
}

fn request<'a>(topic: &'a TopicSpec, replication: i32) -> NewTopic<'a> {
    let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
    NewTopic { name: &topic.name, partitions, replication, settings: settings(topic) }
}

/// Names what is missing and the commands that would make it.
fn cannot_create(
    context: &Context,
    refused: &[&Outcome],
    first: &Outcome,
    missing: &[&TopicSpec],
    replication: i32,
) -> Error {
    let fault = first.fault.clone().unwrap_or_else(|| Fault::of(Code::NONE));
    let servers = &context.options.bootstrap_servers;
    let names: Vec<&str> = refused.iter().map(|outcome| outcome.name.as_str()).collect();
    let mut sentence = format!("the topics {} are not seen and cannot be created here: {fault}", names.join(", "));
    if kind_of(fault.code) != ErrorKind::Usage {
        sentence.push_str("; let somebody with the right run:");
        for topic in missing.iter().filter(|topic| names.contains(&&*topic.name)) {
            let (name, partitions) = (&topic.name, topic.partitions);
            sentence.push_str(&format!(
                "\n  kafka-topics.sh --bootstrap-server {servers} --create --topic {name} --partitions {partitions}"
            ));
            if replication > 0 {
                sentence.push_str(&format!(" --replication-factor {replication}"));
            }
            for (setting, value) in settings(topic) {
                sentence.push_str(&format!(" --config {setting}={value}"));
            }
        }
    }
    Error::new(kind_of(fault.code), sentence)
}

/// Deletes a topic; one that does not exist is no error.
pub(crate) fn delete(context: &Context, client: &Arc<Client>, name: &str) -> Result<()> {
    context.misses(name);
    let deadline = context.question();
    let doing = format!("deleting the topic {name}");
    let outcomes =
        client.delete_topic(name, deadline.remaining_ms()).map_err(|fault| context.error(&doing, &deadline, &fault))?;
    match outcomes.into_iter().find_map(|outcome| outcome.fault) {
        Some(fault) if kind_of(fault.code) != ErrorKind::NotFound => Err(context.error(&doing, &deadline, &fault)),
        _ => Ok(()),
    }
}

/// Forgets a group's positions.
pub(crate) fn forget_group(context: &Context, client: &Arc<Client>, group: &str) -> Result<()> {
    let deadline = context.question();
    let doing = format!("forgetting the positions of the group {group}");
    let outcomes = client
        .delete_group(group, deadline.remaining_ms())
        .map_err(|fault| context.error(&doing, &deadline, &fault))?;
    match outcomes.into_iter().find_map(|outcome| outcome.fault) {
        None => Ok(()),
        Some(fault) if fault.code == Code::GROUP_ID_NOT_FOUND => Ok(()),
        Some(fault) if fault.code == Code::NON_EMPTY_GROUP => {
            Err(Error::new(ErrorKind::Usage, format!("{doing}: the group has members; stop all its workers first")))
        }
        Some(fault) => Err(context.error(&doing, &deadline, &fault)),
    }
}

/// A group's committed offsets, as a handle of that group knows them. The brokers let offsets of a transaction under way
/// settle first.
pub(crate) fn committed(
    context: &Context,
    client: &Client,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<Offset>>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = context.question();
    let doing = "reading the group's positions";
    let asked = PartitionList::of(partitions).and_then(|list| {
        client.committed(&list, deadline.remaining_ms())?;
        Ok(list)
    });
    let list = asked.map_err(|fault| context.error(doing, &deadline, &fault))?;
    context.health.well();
    let entries = list.entries();
    partitions
        .iter()
        .map(|partition| {
            let Some(entry) = entries.iter().find(|entry| entry.partition == *partition) else { return Ok(None) };
            match entry.code {
                Code::NONE => Ok((entry.offset >= 0).then_some(entry.offset)),
                code if kind_of(code) == ErrorKind::NotFound => Ok(None),
                code => Err(context.error(&format!("{doing} in {partition}"), &deadline, &Fault::of(code))),
            }
        })
        .collect()
}
