//! Commits at least once: records first, then the positions, which a member sends by way of `positions`.

use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Append, Appended, Error, ErrorKind, Offset, Result, TopicPartition};

use crate::context::Context;
use crate::errors::{is_rebalance, is_transient};
use crate::health::Deadline;
use crate::producer::Producer;
use crate::raw::client::Client;
use crate::raw::code::{Code, Fault};
use crate::raw::list::PartitionList;
use crate::raw::queue::{Event, Queue};

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

/// Commits positions of a group that has no members.
pub(crate) fn commit_outside(
    context: &Context,
    client: &Arc<Client>,
    offsets: &[(TopicPartition, Offset)],
    deadline: &Deadline,
) -> Result<()> {
    loop {
        let Err(fault) = commit_once(client, offsets, deadline) else {
            context.health.well();
            return Ok(());
        };
        if is_rebalance(fault.code) {
            let sentence = "the group has members, so its positions can only be moved by them; stop its workers first";
            return Err(Error::new(ErrorKind::Aborted, sentence));
        }
        if !is_transient(fault.code) || deadline.is_over() {
            return Err(context.error("committing positions", deadline, &fault));
        }
        context.signal.wait_quietly(PAUSE.min(deadline.remaining()));
    }
}

fn commit_once(
    client: &Arc<Client>,
    offsets: &[(TopicPartition, Offset)],
    deadline: &Deadline,
) -> std::result::Result<(), Fault> {
    let answers = Queue::new(client)?;
    let list = PartitionList::with_offsets(offsets.iter().map(|(partition, offset)| (partition, *offset)))?;
    client.commit_offsets(&list, &answers)?;
    answers.poll(deadline.remaining_ms()).map_or(Err(Fault::of(Code::TIMED_OUT)), |event| answer(&event))
}

/// What the brokers say to positions that were sent.
pub(crate) fn answer(event: &Event) -> std::result::Result<(), Fault> {
    let fault = event.fault();
    if fault.code.is_error() && fault.code != Code::NO_OFFSET {
        return Err(fault);
    }
    match event.partitions().into_iter().find(|entry| entry.code.is_error()) {
        Some(entry) => Err(Fault::of(entry.code)),
        None => Ok(()),
    }
}
