//! The little that the command line does through another process's endpoint: topics, a record in, records out.
//!
//! Whoever does more than that (a worker, a consumer in a group) takes a Kafka client.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use beltline_types::{Batch, BatchBuilder, Error, ErrorKind, Offset, Result, TimestampType, TopicPartition};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, MetadataRequest, ProduceRequest, RequestHeader, RequestKind, ResponseKind,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::Encodable;

use crate::context::text;
use crate::{Endpoint, records};

/// The longest one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest a connection may take to be made: the other end is this machine.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of one answer.
const MAX_ANSWER: usize = 64 << 20;

/// Records read at a time.
const READ_BYTES: i32 = 8 << 20;

/// A connection to the process that holds a data directory.
pub struct Visitor {
    stream: TcpStream,
    asked: i32,
}

impl Visitor {
    /// Connects.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers there.
    pub fn connect(endpoint: &Endpoint) -> Result<Visitor> {
        let connected = TcpStream::connect_timeout(&endpoint.address, CONNECT_PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| {
            let message = format!(
                "process {} holds the data directory and does not answer at {}; if it hangs, end it and try again",
                endpoint.pid, endpoint.address
            );
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        })?;
        let mut visitor = Visitor { stream, asked: 0 };
        visitor.say_token(&endpoint.token)?;
        Ok(visitor)
    }

    /// Also where nobody asks for it: from here the two cannot be told apart.
    fn say_token(&mut self, token: &str) -> Result<()> {
        let request = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
        self.ask(ApiKey::SaslHandshake, 1, &RequestKind::SaslHandshake(request))?;
        let said = Bytes::from(format!("\0beltline\0{token}"));
        let request = SaslAuthenticateRequest::default().with_auth_bytes(said);
        let answer = self.ask(ApiKey::SaslAuthenticate, 0, &RequestKind::SaslAuthenticate(request))?;
        let ResponseKind::SaslAuthenticate(answer) = answer else { return Err(unexpected()) };
        if answer.error_code == 0 {
            return Ok(());
        }
        let message = "the process that holds the data directory has another token by now; try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Names of all topics with their partitions, internal ones left out.
    ///
    /// # Errors
    /// `Unavailable` when the other process has gone.
    pub fn topics(&mut self) -> Result<Vec<(String, u32)>> {
        self.metadata(MetadataRequest::default().with_topics(None))
    }

    /// Makes a topic with the other process's number of partitions unless there is one, and gives its partitions.
    ///
    /// # Errors
    /// `Usage` for a name that cannot be, `Unavailable` when the other process has gone.
    pub fn make_topic(&mut self, name: &str) -> Result<u32> {
        let wanted = MetadataRequestTopic::default().with_name(Some(text(name).into()));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        let found = self.metadata(request.with_allow_auto_topic_creation(true))?;
        found.first().map(|(_, partitions)| *partitions).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("topic {name:?} cannot be made; letters, digits, '.', '_' and '-'"))
        })
    }

    fn metadata(&mut self, request: MetadataRequest) -> Result<Vec<(String, u32)>> {
        let ResponseKind::Metadata(answer) = self.ask(ApiKey::Metadata, 4, &RequestKind::Metadata(request))? else {
            return Err(unexpected());
        };
        let known = answer.topics.into_iter().filter(|topic| topic.error_code == 0 && !topic.is_internal);
        Ok(known.filter_map(|topic| Some((topic.name?.to_string(), topic.partitions.len() as u32))).collect())
    }

    /// Appends records to a partition; gives the offset of the first.
    ///
    /// # Errors
    /// What the other process says, as Kafka names it; `Unavailable` when it has gone: the records may be stored then.
    pub fn append(&mut self, partition: &TopicPartition, records: &BatchBuilder) -> Result<Offset> {
        let batch = records.build(0)?;
        let mut bytes = Vec::new();
        let offsets = 0..Offset::from(records.len());
        records::write_batches(&mut bytes, &[batch], offsets, usize::MAX, TimestampType::CreateTime);
        let data = PartitionProduceData::default()
            .with_index(partition.partition as i32)
            .with_records(Some(Bytes::from(bytes)));
        let data = TopicProduceData::default().with_name(text(&partition.topic).into()).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
        let ResponseKind::Produce(answer) = self.ask(ApiKey::Produce, 8, &RequestKind::Produce(request))? else {
            return Err(unexpected());
        };
        let answer = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let answer = answer.ok_or_else(unexpected)?;
        check(partition, answer.error_code)?;
        Ok(answer.base_offset)
    }

    /// Reads records from `offset` on: those that are there now, some at a time. Gives them and the offset to read on
    /// from, which is `offset` at the end.
    ///
    /// # Errors
    /// `NotFound`, `OffsetOutOfRange`; `Unavailable` when the other process has gone.
    pub fn read(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(Batch, Offset)> {
        let wanted = FetchPartition::default()
            .with_partition(partition.partition as i32)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(READ_BYTES);
        let wanted = FetchTopic::default().with_topic(text(&partition.topic).into()).with_partitions(vec![wanted]);
        let request = FetchRequest::default().with_max_bytes(READ_BYTES).with_topics(vec![wanted]);
        let ResponseKind::Fetch(answer) = self.ask(ApiKey::Fetch, 11, &RequestKind::Fetch(request))? else {
            return Err(unexpected());
        };
        let data = answer.responses.first().and_then(|topic| topic.partitions.first()).ok_or_else(unexpected)?;
        check(partition, data.error_code)?;
        let bytes = data.records.as_deref().unwrap_or_default();
        let (records, next) = records::read_stored(bytes, offset).map_err(|_| unexpected())?;
        Ok((records.build(offset)?, next))
    }

    fn ask(&mut self, key: ApiKey, version: i16, request: &RequestKind) -> Result<ResponseKind> {
        let gone = |error: io::Error| {
            let message = "the process that holds the data directory has gone; try again";
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        };
        self.asked += 1;
        let mut frame = BytesMut::from(&[0; 4][..]);
        RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.asked)
            .with_client_id(Some(text("beltline")))
            .encode(&mut frame, key.request_header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| Error::new(ErrorKind::Internal, "a request cannot be written").with_source(error))?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).map_err(gone)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(gone)?;
        let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= MAX_ANSWER);
        let mut answer = vec![0; length.ok_or_else(unexpected)?];
        self.stream.read_exact(&mut answer).map_err(gone)?;
        if answer.get(..4) != Some(&self.asked.to_be_bytes()) {
            return Err(unexpected());
        }
        // The versions asked for have the header that is the correlation id alone.
        let mut body = Bytes::from(answer).slice(4..);
        ResponseKind::decode(key, &mut body, version).map_err(|_| unexpected())
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Visitor").field("asked", &self.asked).finish_non_exhaustive()
    }
}

fn check(partition: &TopicPartition, code: i16) -> Result<()> {
    let Some(error) = ResponseError::try_from_code(code) else { return Ok(()) };
    let kind = match error {
        ResponseError::UnknownTopicOrPartition => ErrorKind::NotFound,
        ResponseError::OffsetOutOfRange => ErrorKind::OffsetOutOfRange,
        ResponseError::CorruptMessage => ErrorKind::Corrupt,
        ResponseError::KafkaStorageError => ErrorKind::Storage,
        _ => ErrorKind::Usage,
    };
    Err(Error::new(kind, format!("{partition}: the process that holds the data directory refuses: {error}")))
}

#[cold]
fn unexpected() -> Error {
    Error::new(ErrorKind::Unavailable, "whoever answers at the endpoint does not speak as one; start the worker again")
}
