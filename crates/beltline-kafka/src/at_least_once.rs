//! Commits at least once: records first, then the positions.

use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Append, Appended, Error, ErrorKind, Offset, Result, TopicPartition};

use crate::context::Context;
use crate::errors::{is_rebalance, is_transient};
use crate::health::Deadline;
use crate::member::Member;
use crate::producer::Producer;
use crate::raw::client::Client;
use crate::raw::code::{Code, Fault};
use crate::raw::list::PartitionList;
use crate::raw::queue::Queue;

/// How long positions wait for a rebalance to end. Records are written already; positions that are not will be with the
/// next unit, or their records are read once more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes records; after an error the producer is not to be used again, as some may still be under way.
pub(crate) fn append(producer: &mut Producer, appends: &[Append], deadline: &Deadline) -> Result<Vec<Appended>> {
    producer.enqueue(appends, deadline)?;
    // librdkafka itself, not the binding's flush: that one sleeps in steps of 100 ms.
    let flushed = producer.client.flush(deadline.remaining_ms());
    if let Some(refusal) = producer.first_refusal(appends, deadline) {
        return Err(refusal);
    }
    let what = || {
        let targets: Vec<String> = appends.iter().take(3).map(|append| append.target.to_string()).collect();
        format!("writing to {}{}", targets.join(", "), if appends.len() > 3 { " and others" } else { "" })
    };
    flushed.map_err(|fault| unanswered(producer, &what(), deadline, &fault))?;
    producer.appended().ok_or_else(|| unanswered(producer, &what(), deadline, &Fault::of(Code::TIMED_OUT)))
}

fn unanswered(producer: &Producer, doing: &str, deadline: &Deadline, fault: &Fault) -> Error {
    // The handle may know more than the call that failed.
    let fatal = producer.client.fatal_error();
    producer.context().error(doing, deadline, fatal.as_ref().unwrap_or(fault))
}

/// Commits positions as a member of the group, or for a group without members.
pub(crate) fn commit_offsets(
    context: &Context,
    member: Option<&Arc<Member>>,
    outside: impl FnOnce() -> Result<Arc<Client>>,
    is_outdated: impl Fn() -> bool,
    offsets: &[(TopicPartition, Offset)],
    deadline: &Deadline,
) -> Result<()> {
    let client = match member {
        Some(member) => member.client().clone(),
        None => outside()?,
    };
    let patience = context.deadline(PATIENCE.min(deadline.remaining()));
    loop {
        // What others read by now is theirs to commit.
        let mine = |partition: &TopicPartition| member.is_none_or(|member| member.owns(partition));
        let list: Vec<(&TopicPartition, Offset)> = offsets
            .iter()
            .filter(|(partition, _)| mine(partition))
            .map(|(partition, offset)| (partition, *offset))
            .collect();
        // Records are written already, so what was lost meanwhile is only left out.
        if list.is_empty() || is_outdated() {
            return Ok(());
        }
        let Err(fault) = commit_once(&client, list, deadline) else {
            context.health.well();
            return Ok(());
        };
        if is_rebalance(fault.code) && member.is_some() {
            if patience.is_over() {
                return Ok(());
            }
        } else if is_rebalance(fault.code) {
            let sentence = "the group has members, so its positions can only be moved by them; stop its workers first";
            return Err(Error::new(ErrorKind::Aborted, sentence));
        } else if !is_transient(fault.code) || deadline.is_over() {
            return Err(context.error("committing positions", deadline, &fault));
        }
        context.signal.wait_quietly(PAUSE.min(deadline.remaining()));
    }
}

fn commit_once(
    client: &Arc<Client>,
    offsets: Vec<(&TopicPartition, Offset)>,
    deadline: &Deadline,
) -> std::result::Result<(), Fault> {
    let answers = Queue::new(client)?;
    let list = PartitionList::with_offsets(offsets)?;
    client.commit_offsets(&list, &answers)?;
    let Some(event) = answers.poll(deadline.remaining_ms()) else { return Err(Fault::of(Code::TIMED_OUT)) };
    let fault = event.fault();
    if fault.code.is_error() && fault.code != Code::NO_OFFSET {
        return Err(fault);
    }
    match event.partitions().into_iter().find(|entry| entry.code.is_error()) {
        Some(entry) => Err(Fault::of(entry.code)),
        None => Ok(()),
    }
}
