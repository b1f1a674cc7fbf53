//! A request of each kind with something in its lists, as far as the version has them.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

pub(super) fn request(key: ApiKey, version: i16) -> RequestKind {
    let found = connections(key)
        .or_else(|| records(key))
        .or_else(|| groups(key, version))
        .or_else(|| topics(key, version))
        .or_else(|| transactions(key));
    found.unwrap_or_else(|| unreachable!("{key:?} is not spoken"))
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("t"))
}

fn group() -> GroupId {
    GroupId(text("g"))
}

/// What a client asks before anything else.
fn connections(key: ApiKey) -> Option<RequestKind> {
    Some(match key {
        ApiKey::SaslHandshake => RequestKind::SaslHandshake(SaslHandshakeRequest::default()),
        ApiKey::SaslAuthenticate => RequestKind::SaslAuthenticate(SaslAuthenticateRequest::default()),
        ApiKey::ApiVersions => RequestKind::ApiVersions(ApiVersionsRequest::default()),
        ApiKey::DescribeCluster => RequestKind::DescribeCluster(DescribeClusterRequest::default()),
        _ => return None,
    })
}

/// What reads and writes records.
fn records(key: ApiKey) -> Option<RequestKind> {
    Some(match key {
        ApiKey::Produce => {
            let data = produce_request::PartitionProduceData::default().with_records(Some(Bytes::from_static(b"x")));
            let data = produce_request::TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
            RequestKind::Produce(ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]))
        }
        ApiKey::Fetch => {
            let partition = fetch_request::FetchPartition::default().with_partition_max_bytes(100);
            let wanted = fetch_request::FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
            RequestKind::Fetch(FetchRequest::default().with_max_bytes(100).with_topics(vec![wanted]))
        }
        ApiKey::ListOffsets => {
            let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
            let wanted =
                list_offsets_request::ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
            RequestKind::ListOffsets(ListOffsetsRequest::default().with_topics(vec![wanted]))
        }
        ApiKey::Metadata => {
            let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
            RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![wanted])))
        }
        ApiKey::DeleteRecords => {
            let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
            let wanted = delete_records_request::DeleteRecordsTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            RequestKind::DeleteRecords(DeleteRecordsRequest::default().with_topics(vec![wanted]))
        }
        _ => return None,
    })
}

/// What members of groups ask, and those who look at them.
fn groups(key: ApiKey, version: i16) -> Option<RequestKind> {
    Some(match key {
        ApiKey::OffsetCommit => {
            let partition = offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(3);
            let wanted = offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![wanted]);
            RequestKind::OffsetCommit(request.with_generation_id_or_member_epoch(-1))
        }
        ApiKey::OffsetFetch if version >= 8 => {
            let wanted = offset_fetch_request::OffsetFetchRequestTopics::default()
                .with_name(topic())
                .with_partition_indexes(vec![0, 1]);
            let of_group = offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(group())
                .with_topics(Some(vec![wanted]));
            RequestKind::OffsetFetch(OffsetFetchRequest::default().with_groups(vec![of_group]))
        }
        ApiKey::OffsetFetch => {
            let wanted = offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic())
                .with_partition_indexes(vec![0, 1]);
            let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![wanted]));
            RequestKind::OffsetFetch(request)
        }
        ApiKey::FindCoordinator if version >= 4 => {
            RequestKind::FindCoordinator(FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]))
        }
        ApiKey::FindCoordinator => RequestKind::FindCoordinator(FindCoordinatorRequest::default().with_key(text("g"))),
        ApiKey::JoinGroup => {
            let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
            // Refused at once: a session of no time.
            RequestKind::JoinGroup(JoinGroupRequest::default().with_group_id(group()).with_protocols(vec![protocol]))
        }
        ApiKey::SyncGroup => {
            let assignment = sync_group_request::SyncGroupRequestAssignment::default().with_member_id(text("m"));
            RequestKind::SyncGroup(
                SyncGroupRequest::default().with_group_id(group()).with_assignments(vec![assignment]),
            )
        }
        ApiKey::Heartbeat => RequestKind::Heartbeat(HeartbeatRequest::default().with_group_id(group())),
        ApiKey::LeaveGroup if version >= 3 => {
            let member = leave_group_request::MemberIdentity::default().with_member_id(text("m"));
            RequestKind::LeaveGroup(LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member]))
        }
        ApiKey::LeaveGroup => RequestKind::LeaveGroup(LeaveGroupRequest::default().with_group_id(group())),
        ApiKey::DescribeGroups => {
            RequestKind::DescribeGroups(DescribeGroupsRequest::default().with_groups(vec![group()]))
        }
        ApiKey::ListGroups => RequestKind::ListGroups(ListGroupsRequest::default()),
        ApiKey::DeleteGroups => {
            RequestKind::DeleteGroups(DeleteGroupsRequest::default().with_groups_names(vec![group()]))
        }
        ApiKey::OffsetDelete => {
            let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
            let wanted = offset_delete_request::OffsetDeleteRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            RequestKind::OffsetDelete(OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![wanted]))
        }
        _ => return None,
    })
}

/// What makes and changes topics.
fn topics(key: ApiKey, version: i16) -> Option<RequestKind> {
    Some(match key {
        ApiKey::CreateTopics => {
            let config = create_topics_request::CreatableTopicConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("5")));
            let wanted = create_topics_request::CreatableTopic::default()
                .with_name(TopicName(text("fresh")))
                .with_num_partitions(1)
                .with_replication_factor(1)
                .with_configs(vec![config]);
            RequestKind::CreateTopics(CreateTopicsRequest::default().with_topics(vec![wanted]))
        }
        ApiKey::DeleteTopics if version >= 6 => {
            let state = delete_topics_request::DeleteTopicState::default().with_name(Some(TopicName(text("none"))));
            RequestKind::DeleteTopics(DeleteTopicsRequest::default().with_topics(vec![state]))
        }
        ApiKey::DeleteTopics => {
            let names = vec![TopicName(text("none"))];
            RequestKind::DeleteTopics(DeleteTopicsRequest::default().with_topic_names(names))
        }
        ApiKey::DescribeConfigs => {
            let resource = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("t"))
                .with_configuration_keys(Some(vec![text("retention.ms")]));
            RequestKind::DescribeConfigs(DescribeConfigsRequest::default().with_resources(vec![resource]))
        }
        ApiKey::IncrementalAlterConfigs => {
            let config = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("5")));
            let resource = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text("t"))
                .with_configs(vec![config]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            RequestKind::IncrementalAlterConfigs(request)
        }
        ApiKey::CreatePartitions => {
            let assignment =
                create_partitions_request::CreatePartitionsAssignment::default().with_broker_ids(vec![1.into()]);
            let wanted = create_partitions_request::CreatePartitionsTopic::default()
                .with_name(topic())
                .with_count(3)
                .with_assignments(Some(vec![assignment]));
            RequestKind::CreatePartitions(CreatePartitionsRequest::default().with_topics(vec![wanted]))
        }
        _ => return None,
    })
}

/// What producers with a transactional id ask.
fn transactions(key: ApiKey) -> Option<RequestKind> {
    Some(match key {
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default().with_transactional_id(Some(TransactionalId(text("id"))));
            RequestKind::InitProducerId(request.with_transaction_timeout_ms(1000))
        }
        ApiKey::AddPartitionsToTxn => {
            let wanted = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic())
                .with_partitions(vec![0, 7]);
            RequestKind::AddPartitionsToTxn(
                AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(TransactionalId(text("id")))
                    .with_v3_and_below_topics(vec![wanted]),
            )
        }
        ApiKey::AddOffsetsToTxn => RequestKind::AddOffsetsToTxn(AddOffsetsToTxnRequest::default()),
        ApiKey::EndTxn => RequestKind::EndTxn(EndTxnRequest::default()),
        ApiKey::TxnOffsetCommit => {
            let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default();
            let wanted = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            RequestKind::TxnOffsetCommit(TxnOffsetCommitRequest::default().with_topics(vec![wanted]))
        }
        _ => return None,
    })
}
