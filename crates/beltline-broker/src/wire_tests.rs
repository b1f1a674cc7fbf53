//! Frames: every version of every request has an answer, and no bytes do harm.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use beltline_env::ManualClock;
use beltline_log::{EmbeddedLog, Log};
use beltline_types::TopicSpec;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use crate::BrokerOptions;
use crate::connection::answer_frame;
use crate::context::Context;
use crate::schema::{APIS, Api};

fn context() -> Context {
    let clock = Arc::new(ManualClock::default());
    let log = EmbeddedLog::in_memory(clock.clone()).unwrap();
    log.create_topics(&[TopicSpec::new("t", 2)]).unwrap();
    Context::new(Arc::new(log), clock, BrokerOptions::default()).unwrap()
}

fn stream() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// A request of each kind with something in its lists, as far as the version has them.
#[expect(clippy::too_many_lines, reason = "one arm per request")]
fn request(key: ApiKey, version: i16) -> RequestKind {
    let topic = || TopicName(text("t"));
    let group = || GroupId(text("g"));
    let id = || TransactionalId(text("id"));
    match key {
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
        ApiKey::SaslHandshake => RequestKind::SaslHandshake(SaslHandshakeRequest::default()),
        ApiKey::SaslAuthenticate => RequestKind::SaslAuthenticate(SaslAuthenticateRequest::default()),
        ApiKey::ApiVersions => RequestKind::ApiVersions(ApiVersionsRequest::default()),
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
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default().with_transactional_id(Some(id()));
            RequestKind::InitProducerId(request.with_transaction_timeout_ms(1000))
        }
        ApiKey::AddPartitionsToTxn => {
            let wanted = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic())
                .with_partitions(vec![0, 7]);
            RequestKind::AddPartitionsToTxn(
                AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(id())
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
        ApiKey::DeleteRecords => {
            let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
            let wanted = delete_records_request::DeleteRecordsTopic::default()
                .with_name(topic())
                .with_partitions(vec![partition]);
            RequestKind::DeleteRecords(DeleteRecordsRequest::default().with_topics(vec![wanted]))
        }
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
        ApiKey::DescribeCluster => RequestKind::DescribeCluster(DescribeClusterRequest::default()),
        _ => unreachable!("not spoken"),
    }
}

fn header(api: &Api, version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api.key as i16);
    frame.put_i16(version);
    frame.put_i32(77);
    frame.put_i16(2);
    frame.put_slice(b"me");
    if api.key.request_header_version(version) >= 2 {
        frame.put_u8(0);
    }
    frame
}

#[test]
fn every_version_of_every_request_is_answered() {
    let context = context();
    for api in APIS {
        for version in api.min..=api.max {
            let mut frame = header(api, version);
            let start = frame.len();
            request(api.key, version).encode(&mut frame, version).unwrap();
            assert!(api.fits(&frame[start..], version), "{:?} v{version} is walked as it is laid out", api.key);
            for cut in start..frame.len() {
                assert!(!api.fits(&frame[start..cut], version), "{:?} v{version} cut at {cut}", api.key);
            }
            let answer = answer_frame(&context, frame.freeze(), stream());
            let answer = answer.unwrap_or_else(|_| panic!("{:?} v{version} has no answer", api.key)).unwrap();
            assert_eq!(answer[4..8], 77i32.to_be_bytes(), "{:?} v{version}", api.key);
            let mut body = answer.freeze().slice(8..);
            if api.key.response_header_version(version) >= 1 {
                body = body.slice(1..);
            }
            ResponseKind::decode(api.key, &mut body, version)
                .unwrap_or_else(|error| panic!("{:?} v{version}: {error}", api.key));
            assert!(body.is_empty(), "{:?} v{version} leaves {} bytes", api.key, body.len());
        }
    }
}

#[test]
fn unknown_requests_end_the_connection_and_unknown_version_questions_do_not() {
    let context = context();
    let versions = APIS.iter().find(|api| api.key == ApiKey::ApiVersions).unwrap();
    let answer = answer_frame(&context, header(versions, 99).freeze(), stream()).unwrap().unwrap();
    assert_eq!(answer[8..10], 35i16.to_be_bytes(), "UNSUPPORTED_VERSION, in the oldest form");
    let produce = APIS.iter().find(|api| api.key == ApiKey::Produce).unwrap();
    assert!(answer_frame(&context, header(produce, 2).freeze(), stream()).is_err());
    let mut unknown = header(produce, 3);
    unknown[0..2].copy_from_slice(&999i16.to_be_bytes());
    assert!(answer_frame(&context, unknown.freeze(), stream()).is_err());
}

#[test]
fn a_list_that_claims_to_be_endless_takes_no_memory() {
    let context = context();
    for api in APIS {
        for version in api.min..=api.max {
            for filler in [0xff, 0x7f, 0x80, 0x01] {
                let mut frame = header(api, version);
                frame.put_bytes(filler, 64);
                // Refused or answered; but at once, and by a process that is still there.
                let _ = answer_frame(&context, frame.freeze(), stream());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn changed_requests_do_no_harm(
        which in any::<prop::sample::Index>(),
        version in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let api = &APIS[which.index(APIS.len())];
        let version = api.min + version.index((api.max - api.min + 1) as usize) as i16;
        // Joins may wait, by design; they are refused here by their session timeout, which a change could mend.
        prop_assume!(!matches!(api.key, ApiKey::JoinGroup | ApiKey::Fetch));
        let mut frame = header(api, version);
        let start = frame.len();
        request(api.key, version).encode(&mut frame, version).unwrap();
        for (at, value) in changes {
            let at = start + at.index((frame.len() - start).max(1));
            if at < frame.len() {
                frame[at] = value;
            }
        }
        frame.put_slice(&noise);
        let _ = answer_frame(&context(), frame.freeze(), stream());
    }
}
