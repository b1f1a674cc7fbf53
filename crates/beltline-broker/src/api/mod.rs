//! What each request does. Everything here blocks at most as long as the request itself says.

mod configs;
mod errors;
mod fetch;
mod group_offsets;
mod groups;
mod list_offsets;
mod produce;
pub(crate) mod sasl;
mod settings;
mod topic_changes;
mod topics;
mod transactions;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::connection::{Hangup, Header};
use crate::context::{Client, Context};

/// Number of the one node there is.
const NODE: i32 = 1;

/// Answers a request; `None` where the client wants no answer.
pub(crate) fn answer(
    context: &Context,
    client: &Client,
    header: &Header,
    request: RequestKind,
) -> Result<Option<ResponseKind>, Hangup> {
    let version = header.version;
    Ok(Some(match request {
        RequestKind::Produce(request) => {
            let wants_answer = request.acks != 0;
            let answer = produce::produce(context, client, request, version);
            return Ok(wants_answer.then_some(ResponseKind::Produce(answer)));
        }
        RequestKind::Fetch(request) => ResponseKind::Fetch(fetch::fetch(context, client, request).ok_or(Hangup)?),
        RequestKind::ListOffsets(request) => {
            ResponseKind::ListOffsets(list_offsets::list_offsets(context, client, request, version))
        }
        RequestKind::Metadata(request) => ResponseKind::Metadata(topics::metadata(context, client, request, version)),
        RequestKind::CreateTopics(request) => ResponseKind::CreateTopics(topics::create(context, request)),
        RequestKind::DeleteTopics(request) => ResponseKind::DeleteTopics(topics::delete(context, request, version)),
        RequestKind::DescribeConfigs(request) => ResponseKind::DescribeConfigs(configs::describe(context, request)),
        RequestKind::IncrementalAlterConfigs(request) => {
            ResponseKind::IncrementalAlterConfigs(configs::alter(context, request))
        }
        RequestKind::CreatePartitions(request) => {
            ResponseKind::CreatePartitions(topic_changes::create_partitions(context, request))
        }
        RequestKind::DeleteRecords(request) => {
            ResponseKind::DeleteRecords(topic_changes::delete_records(context, request))
        }
        RequestKind::DescribeCluster(_) => ResponseKind::DescribeCluster(topics::cluster(context, client)),
        RequestKind::FindCoordinator(request) => {
            ResponseKind::FindCoordinator(groups::find_coordinator(client, request, version))
        }
        RequestKind::JoinGroup(request) => {
            ResponseKind::JoinGroup(groups::join(context, client, request, version).ok_or(Hangup)?)
        }
        RequestKind::SyncGroup(request) => {
            ResponseKind::SyncGroup(groups::sync(context, client, request).ok_or(Hangup)?)
        }
        RequestKind::Heartbeat(request) => ResponseKind::Heartbeat(groups::heartbeat(context, request)),
        RequestKind::LeaveGroup(request) => ResponseKind::LeaveGroup(groups::leave(context, request, version)),
        RequestKind::DescribeGroups(request) => {
            ResponseKind::DescribeGroups(groups::describe(context, request, version))
        }
        RequestKind::ListGroups(request) => ResponseKind::ListGroups(groups::list(context, request)),
        RequestKind::DeleteGroups(request) => ResponseKind::DeleteGroups(groups::delete(context, request)),
        RequestKind::OffsetCommit(request) => ResponseKind::OffsetCommit(group_offsets::commit(context, request)),
        RequestKind::OffsetFetch(request) => ResponseKind::OffsetFetch(group_offsets::fetch(context, request, version)),
        RequestKind::OffsetDelete(request) => ResponseKind::OffsetDelete(group_offsets::delete(context, request)),
        RequestKind::InitProducerId(request) => {
            ResponseKind::InitProducerId(transactions::initialise(context, request, version))
        }
        RequestKind::AddPartitionsToTxn(request) => {
            ResponseKind::AddPartitionsToTxn(transactions::add_partitions(context, request, version))
        }
        RequestKind::AddOffsetsToTxn(request) => {
            ResponseKind::AddOffsetsToTxn(transactions::add_offsets(context, request, version))
        }
        RequestKind::TxnOffsetCommit(request) => {
            ResponseKind::TxnOffsetCommit(transactions::commit_offsets(context, request))
        }
        RequestKind::EndTxn(request) => ResponseKind::EndTxn(transactions::end(context, request, version)),
        _ => return Err(Hangup),
    }))
}
