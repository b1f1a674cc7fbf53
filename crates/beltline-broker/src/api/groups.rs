//! Groups: the requests of members, and of those who look at them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::sync_group_response::SyncGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::NODE;
use super::errors::{self, NONE};
use crate::context::{Client, Context, text};
use crate::group::{Answer, Denied, Description, JoinRequest, Joined, Membership, Synced};

/// What a client learns that asks for the operations it is allowed: that nobody says.
const UNKNOWN_OPERATIONS: i32 = i32::MIN;

/// From this version on a newcomer is given an id first.
const JOIN_WITH_KNOWN_ID: i16 = 4;

/// From this version on a description says that there is no such group; before, such a group is dead.
const WITH_MISSED_GROUPS: i16 = 6;

/// From this version on a leader can be told that the assignment stands.
const JOIN_SKIPS_ASSIGNMENT: i16 = 9;

fn shared(text: &StrBytes) -> Arc<str> {
    Arc::from(&**text)
}

fn shared_option(text: &Option<StrBytes>) -> Option<Arc<str>> {
    text.as_ref().map(shared)
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

pub(super) fn code(result: Result<(), Denied>) -> i16 {
    result.map_or_else(|denied| errors::of_group(denied).code(), |()| NONE)
}

pub(super) fn find_coordinator(
    client: &Client,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let host = text(&client.node.0);
    let port = i32::from(client.node.1);
    // 0 is a group, 1 a transaction.
    let is_known = (0..=1).contains(&request.key_type);
    let code = if is_known { NONE } else { ResponseError::InvalidRequest.code() };
    if version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_node_id(NODE.into())
            .with_host(host)
            .with_port(port);
    }
    let one = |key: StrBytes| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code)
            .with_node_id(NODE.into())
            .with_host(host.clone())
            .with_port(port)
    };
    FindCoordinatorResponse::default().with_coordinators(request.coordinator_keys.into_iter().map(one).collect())
}

pub(super) fn join(
    context: &Context,
    client: &Client,
    request: JoinGroupRequest,
    version: i16,
) -> Option<JoinGroupResponse> {
    let session_timeout = millis(request.session_timeout_ms);
    let fresh = match &request.group_instance_id {
        Some(instance) => format!("{}-{:016x}{:016x}", &**instance, context.draw(), context.draw()),
        None => format!("{}-{:016x}{:016x}", client.id, context.draw(), context.draw()),
    };
    let join = JoinRequest {
        group: shared(&request.group_id),
        member_id: shared(&request.member_id),
        instance_id: shared_option(&request.group_instance_id),
        client_id: Arc::from(&*client.id),
        client_host: Arc::from(&*client.host),
        session_timeout,
        // The first version has one timeout for both.
        rebalance_timeout: if version == 0 { session_timeout } else { millis(request.rebalance_timeout_ms) },
        protocol_type: shared(&request.protocol_type),
        // Copied, so that a member does not keep the whole request's memory.
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (shared(&protocol.name), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        requires_known_member: version >= JOIN_WITH_KNOWN_ID,
        can_skip_assignment: version >= JOIN_SKIPS_ASSIGNMENT,
        gathers: true,
        fresh_member_id: Arc::from(fresh),
    };
    let answer = context.await_group(client, |groups, ticket, now| groups.join(&join, ticket, now))?;
    let Answer::Join(joined) = answer else { return None };
    Some(join_answer(joined, version))
}

fn join_answer(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |(id, instance, metadata): (Arc<str>, Option<Arc<str>>, Bytes)| {
        JoinGroupResponseMember::default()
            .with_member_id(text(&id))
            .with_group_instance_id(instance.as_deref().map(text))
            .with_metadata(metadata)
    };
    // Before version 7 a protocol's name must not be null.
    let protocol = match joined.protocol {
        Some(name) => Some(text(&name)),
        None if version < 7 => Some(StrBytes::default()),
        None => None,
    };
    JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(NONE, |denied| errors::of_group(denied).code()))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.as_deref().map(text))
        .with_protocol_name(protocol)
        .with_leader(text(&joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(&joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect())
}

pub(super) fn sync(context: &Context, client: &Client, request: SyncGroupRequest) -> Option<SyncGroupResponse> {
    let membership = Membership {
        group: shared(&request.group_id),
        member_id: shared(&request.member_id),
        instance_id: shared_option(&request.group_instance_id),
        generation: request.generation_id,
    };
    let copied = |assignment: &kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment| {
        (shared(&assignment.member_id), Bytes::copy_from_slice(&assignment.assignment))
    };
    let assignments: BTreeMap<Arc<str>, Bytes> = request.assignments.iter().map(copied).collect();
    let protocol = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
    let answer = context
        .await_group(client, |groups, ticket, now| groups.sync(&membership, protocol, assignments, ticket, now))?;
    let Answer::Sync(Synced { error, protocol_type, protocol, assignment }) = answer else { return None };
    Some(
        SyncGroupResponse::default()
            .with_error_code(error.map_or(NONE, |denied| errors::of_group(denied).code()))
            .with_protocol_type(protocol_type.as_deref().map(text))
            .with_protocol_name(protocol.as_deref().map(text))
            .with_assignment(assignment),
    )
}

pub(super) fn heartbeat(context: &Context, request: HeartbeatRequest) -> HeartbeatResponse {
    let membership = Membership {
        group: shared(&request.group_id),
        member_id: shared(&request.member_id),
        instance_id: shared_option(&request.group_instance_id),
        generation: request.generation_id,
    };
    let result = context.groups(|groups, now| groups.heartbeat(&membership, now));
    HeartbeatResponse::default().with_error_code(code(result))
}

pub(super) fn leave(context: &Context, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let group = request.group_id;
    let leave_one = |member_id: &StrBytes, instance: Option<&str>| {
        context.groups(|groups, now| groups.leave(&group, &shared(member_id), instance, now))
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(code(leave_one(&request.member_id, None)));
    }
    let one = |member: MemberIdentity| {
        let result = leave_one(&member.member_id, member.group_instance_id.as_deref());
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(result))
    };
    LeaveGroupResponse::default().with_members(request.members.into_iter().map(one).collect())
}

/// A group as it stands; one that has offsets and no members is empty, as Kafka says it.
fn description(context: &Context, group: &str) -> Option<Description> {
    let known = context.groups(|groups, now| {
        let replies = groups.tick(now);
        (groups.describe(group), replies)
    });
    known.or_else(|| {
        let has_offsets = context.log.groups().is_ok_and(|names| names.iter().any(|name| **name == *group));
        has_offsets.then(|| Description {
            state: "Empty",
            protocol_type: Arc::from("consumer"),
            ..Description::default()
        })
    })
}

pub(super) fn describe(context: &Context, request: DescribeGroupsRequest, version: i16) -> DescribeGroupsResponse {
    let one = |group: kafka_protocol::messages::GroupId| {
        let found = description(context, &group);
        let is_missed = found.is_none() && version >= WITH_MISSED_GROUPS;
        let known = found.unwrap_or(Description { state: "Dead", ..Description::default() });
        let (code, message) = if is_missed {
            let message = format!("Group {} not found.", group.0);
            (errors::of_group(Denied::GroupNotFound).code(), Some(text(&message)))
        } else {
            (NONE, None)
        };
        let member = |member: crate::group::DescribedMember| {
            DescribedGroupMember::default()
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_client_id(text(&member.client_id))
                .with_client_host(text(&member.client_host))
                .with_member_metadata(member.metadata)
                .with_member_assignment(member.assignment)
        };
        DescribedGroup::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_group_id(group)
            .with_group_state(text(known.state))
            .with_protocol_type(text(&known.protocol_type))
            .with_protocol_data(text(&known.protocol))
            .with_members(known.members.into_iter().map(member).collect())
            .with_authorized_operations(UNKNOWN_OPERATIONS)
    };
    DescribeGroupsResponse::default().with_groups(request.groups.into_iter().map(one).collect())
}

pub(super) fn list(context: &Context, request: ListGroupsRequest) -> ListGroupsResponse {
    let mut names = context.groups(|groups, now| {
        let replies = groups.tick(now);
        (groups.names(), replies)
    });
    names.extend(context.log.groups().unwrap_or_default());
    names.sort();
    names.dedup();
    let is_wanted = |wanted: &[StrBytes], value: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let listed = names.into_iter().filter_map(|name| {
        let known = description(context, &name)?;
        let shown = is_wanted(&request.states_filter, known.state) && is_wanted(&request.types_filter, "classic");
        shown.then(|| {
            ListedGroup::default()
                .with_group_id(text(&name).into())
                .with_protocol_type(text(&known.protocol_type))
                .with_group_state(text(known.state))
                .with_group_type(text("classic"))
        })
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}

pub(super) fn delete(context: &Context, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let one = |group: kafka_protocol::messages::GroupId| {
        let known = description(context, &group).is_some();
        let result = context.groups(|groups, now| groups.delete(&group, now));
        let code = match result {
            Err(Denied::NonEmptyGroup) => errors::of_group(Denied::NonEmptyGroup).code(),
            _ if !known => errors::of_group(Denied::GroupNotFound).code(),
            _ => context.log.reset_group(&group).map_or_else(|error| errors::of_log(&error).code(), |()| NONE),
        };
        DeletableGroupResult::default().with_group_id(group).with_error_code(code)
    };
    DeleteGroupsResponse::default().with_results(request.groups_names.into_iter().map(one).collect())
}
