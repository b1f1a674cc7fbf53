//! Commits exactly once: records and positions in one transaction.

use std::sync::Arc;
use std::time::Duration;

use beltline_types::{Appended, CommitRequest, Error, ErrorKind, Result};

use crate::context::Context;
use crate::errors::kind_of;
use crate::health::Deadline;
use crate::member::Member;
use crate::producer::Producer;
use crate::raw::client::Client;
use crate::raw::code::{Code, Fault};
use crate::raw::list::PartitionList;

/// How long an abort may take, beyond the commit's own deadline: without it nothing can be said of the transaction.
const ABORTING: Duration = Duration::from_secs(5);

/// How long positions wait for the records before them.
const FLUSHING_MS: i32 = 1000;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// How a transaction ended that was not committed.
enum Ending {
    /// Rolled back; the producer can be used again.
    Aborted(Error),
    /// The producer is of no use any more.
    Broken(Error),
}

/// Where it went wrong.
enum Failure {
    /// Before the commit was asked for: it surely did not happen.
    Before(Error, Option<Fault>),
    /// While the commit was asked for.
    Committing(Fault),
}

/// A producer whose transactions can begin. One that had this id before is fenced by it, and its open transaction aborted.
pub(crate) fn producer(context: &Arc<Context>, asking: &Arc<Client>, deadline: &Deadline) -> Result<Producer> {
    let producer = Producer::new(context, asking)?;
    let doing = || {
        let id = context.options.transactional_id.as_deref().unwrap_or("");
        format!("starting transactions as {id}")
    };
    repeat(context, deadline, || producer.client.init_transactions(deadline.remaining_ms())).map_err(|fault| {
        let fault = producer.client.fatal_error().unwrap_or(fault);
        context.error(&doing(), deadline, &fault)
    })?;
    Ok(producer)
}

/// Commits a unit. `None` is left in `slot` when the producer is of no use any more.
pub(crate) fn commit(
    context: &Arc<Context>,
    slot: &mut Option<Producer>,
    member: Option<&Arc<Member>>,
    is_outdated: impl Fn() -> bool,
    request: &CommitRequest,
    deadline: &Deadline,
) -> Result<Vec<Appended>> {
    let Some(producer) = slot else { return Ok(Vec::new()) };
    let failure = match attempt(context, producer, member, is_outdated, request, deadline) {
        Ok(appended) => return Ok(appended),
        Err(failure) => failure,
    };
    match end(context, producer, request, deadline, failure) {
        Ending::Aborted(error) => Err(error),
        Ending::Broken(error) => {
            *slot = None;
            Err(error)
        }
    }
}

fn attempt(
    context: &Context,
    producer: &mut Producer,
    member: Option<&Arc<Member>>,
    is_outdated: impl Fn() -> bool,
    request: &CommitRequest,
    deadline: &Deadline,
) -> std::result::Result<Vec<Appended>, Failure> {
    let before = |doing: &str| {
        let doing = doing.to_owned();
        move |fault: Fault| Failure::Before(context.error(&doing, deadline, &fault), Some(fault))
    };
    repeat(context, deadline, || producer.client.begin_transaction()).map_err(before("beginning a transaction"))?;
    producer.enqueue(&request.appends, deadline).map_err(|error| Failure::Before(error, None))?;
    if !request.offsets.is_empty() {
        if !request.appends.is_empty() {
            // Sending positions into a transaction that the brokers do not know of yet, while they still finish the one
            // before, costs librdkafka a pause of 100 ms; behind the records it does not. A failure shows in the next
            // call, and the limit is there because after an abortable error a flush does not end.
            let _ = producer.client.flush(deadline.remaining_ms().min(FLUSHING_MS));
        }
        let doing = format!("committing positions of the group {}", request.group);
        let offsets = request.offsets.iter().map(|(partition, offset)| (partition, *offset));
        let list = PartitionList::with_offsets(offsets).map_err(before(&doing))?;
        // Taken anew each time: a rebalance may raise the generation without moving any partition.
        let partitions = request.offsets.iter().map(|(partition, _)| partition);
        let place = match member.map(|member| member.place(partitions)) {
            Some(Ok(place)) => place,
            Some(Err(reason)) => return Err(Failure::Before(aborted(&reason), None)),
            None => {
                let reason = format!("{doing} exactly once takes a member; join the group first");
                return Err(Failure::Before(Error::new(ErrorKind::Usage, reason), None));
            }
        };
        // Behind the question for the place: a place of a later membership is then known to be one.
        if is_outdated() {
            return Err(Failure::Before(aborted("partitions were lost since the unit was made"), None));
        }
        repeat(context, deadline, || producer.client.send_offsets(&list, &place, deadline.remaining_ms()))
            .map_err(before(&doing))?;
    }
    if is_outdated() {
        return Err(Failure::Before(aborted("partitions were lost since the unit was made"), None));
    }
    // Flushes first, without lingering.
    repeat(context, deadline, || producer.client.commit_transaction(deadline.remaining_ms()))
        .map_err(Failure::Committing)?;
    context.health.well();
    let missing = || Failure::Committing(Fault::new(Code::TIMED_OUT, "some records were not answered"));
    producer.appended().ok_or_else(missing)
}

fn aborted(reason: &str) -> Error {
    Error::new(ErrorKind::Aborted, format!("the commit was rolled back and can be repeated: {reason}"))
}

/// Repeats what librdkafka says may be repeated.
fn repeat(
    context: &Context,
    deadline: &Deadline,
    mut call: impl FnMut() -> std::result::Result<(), Fault>,
) -> std::result::Result<(), Fault> {
    loop {
        match call() {
            Err(fault) if fault.retriable && !fault.fatal && !fault.abortable && !deadline.is_over() => {
                context.signal.wait_quietly(PAUSE.min(deadline.remaining()));
            }
            answer => return answer,
        }
    }
}

fn end(
    context: &Context,
    producer: &Producer,
    request: &CommitRequest,
    deadline: &Deadline,
    failure: Failure,
) -> Ending {
    if let Some(fatal) = producer.client.fatal_error() {
        return Ending::Broken(fenced(context, deadline, &fatal));
    }
    let refusal = producer.first_refusal(&request.appends, deadline);
    let (error, unknown) = match failure {
        Failure::Before(error, fault) => match fault {
            Some(fault) if fault.fatal => return Ending::Broken(fenced(context, deadline, &fault)),
            Some(fault) if fault.abortable => (aborted(&fault.to_string()), false),
            _ => (error, false),
        },
        Failure::Committing(fault) if fault.fatal => return Ending::Broken(fenced(context, deadline, &fault)),
        Failure::Committing(fault) if fault.abortable => (aborted(&fault.to_string()), false),
        Failure::Committing(fault) => (context.error("committing a transaction", deadline, &fault), true),
    };
    if unknown {
        // Whoever asks for the committed positions next reads the truth from the log: that ends the transaction first.
        let sentence = format!("the outcome of a commit is not known: {error}");
        return Ending::Broken(Error::new(ErrorKind::Unavailable, sentence));
    }
    // Straight to the abort: after an error queued records are not sent any more, so a flush would not end.
    let limit = context.deadline(ABORTING.max(deadline.remaining().min(ABORTING * 2)));
    match repeat(context, &limit, || producer.client.abort_transaction(limit.remaining_ms())) {
        Ok(()) => Ending::Aborted(match (refusal, error.kind()) {
            // A record that can never be written says more than that its transaction was aborted.
            (Some(refusal), _) if refusal.kind() != ErrorKind::Unavailable => refusal,
            (_, ErrorKind::Unavailable) => aborted(&error.to_string()),
            _ => error,
        }),
        Err(fault) if fault.fatal => Ending::Broken(fenced(context, deadline, &fault)),
        // Not committed for sure; the next producer with this id aborts it.
        Err(_) => Ending::Broken(error),
    }
}

/// The error after which this producer can do nothing more.
fn fenced(context: &Context, deadline: &Deadline, fault: &Fault) -> Error {
    match kind_of(fault.code) {
        ErrorKind::Unauthorized => context.error("using transactions", deadline, fault),
        _ => {
            let id = context.options.transactional_id.as_deref().unwrap_or("");
            let sentence = format!(
                "another producer took over the transactional id {id}, or the brokers gave up on this one: {fault}; \
                 nothing of this commit is seen by anybody"
            );
            Error::new(ErrorKind::Fenced, sentence)
        }
    }
}
