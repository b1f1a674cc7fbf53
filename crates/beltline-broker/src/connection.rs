//! One connection: requests in, answers out, in order.

use std::io;
use std::net::{SocketAddr, TcpStream};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::Encodable;

use crate::api;
use crate::context::{Client, Context};
use crate::schema::{self, Api};
use crate::server::Listener;
use crate::transport::Transport;

/// Bytes read at a time; memory for a request grows as its bytes come, not as its length claims.
const CHUNK: usize = 64 << 10;

/// Key, version, correlation id, length of the client's name.
const MIN_HEADER: usize = 10;

/// Why a connection ends. Nobody is told: as with Kafka, the other end sees it closed.
#[derive(Debug)]
pub(crate) struct Hangup;

impl From<io::Error> for Hangup {
    fn from(_: io::Error) -> Hangup {
        Hangup
    }
}

/// What a request's header says.
pub(crate) struct Header {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    correlation_id: i32,
}

/// Serves a connection until it ends, is idle for too long, sends nonsense, or the broker stops.
pub(crate) fn serve(context: &Context, listener: &Listener, stream: TcpStream, peer: SocketAddr) {
    let client = Client {
        id: String::new(),
        host: format!("/{}", peer.ip()),
        software: String::new(),
        node: listener.node(&stream),
        stream: stream.try_clone().ok(),
    };
    let deadline = context.now() + context.options.limits.transfer_timeout;
    let Ok(transport) = Transport::begin(stream, listener.tls.as_ref(), &context.clock, deadline) else { return };
    let mut connection = Connection { context, transport, client, is_authenticated: !context.options.require_token };
    while !context.is_stopped() && connection.serve_one().is_ok() {}
}

struct Connection<'a> {
    context: &'a Context,
    transport: Transport,
    client: Client,
    is_authenticated: bool,
}

impl Connection<'_> {
    fn serve_one(&mut self) -> Result<(), Hangup> {
        let limits = &self.context.options.limits;
        let mut length = [0; 4];
        self.transport.read_all(&mut length, self.context.now() + limits.idle_timeout)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| Hangup)?;
        if length < MIN_HEADER || length > limits.max_request_bytes {
            return Err(Hangup);
        }
        let share = self.context.requests.take(length, limits.transfer_timeout).ok_or(Hangup)?;
        let deadline = self.context.now() + limits.transfer_timeout;
        let mut frame = Vec::new();
        while frame.len() < length {
            let start = frame.len();
            frame.resize((start + CHUNK).min(length), 0);
            let (_, part) = frame.split_at_mut(start);
            self.transport.read_all(part, deadline)?;
        }
        let answer = self.answer(Bytes::from(frame))?;
        drop(share);
        if let Some(answer) = answer {
            self.transport.write_all(&answer, self.context.now() + limits.transfer_timeout)?;
        }
        Ok(())
    }

    /// The frame that answers a frame; `None` where nothing is to be answered.
    fn answer(&mut self, frame: Bytes) -> Result<Option<BytesMut>, Hangup> {
        let (header, body) = match self.header(&frame)? {
            Ok(found) => found,
            Err(answer) => return Ok(Some(answer)),
        };
        if !header.api.fits(&body, header.version) {
            return Err(Hangup);
        }
        let request = RequestKind::decode(header.api.key, &mut body.clone(), header.version).map_err(|_| Hangup)?;
        let may_ask = matches!(header.api.key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
        if !self.is_authenticated && !may_ask {
            return Err(Hangup);
        }
        let answer = match request {
            RequestKind::ApiVersions(request) => {
                self.client.software = request.client_software_name.to_string();
                Some(ResponseKind::ApiVersions(supported()))
            }
            RequestKind::SaslHandshake(request) => Some(api::sasl::handshake(&request)),
            RequestKind::SaslAuthenticate(request) => {
                let (answer, is_right) = api::sasl::authenticate(self.context, &request);
                self.is_authenticated |= is_right;
                Some(answer)
            }
            request => api::answer(self.context, &self.client, &header, request)?,
        };
        answer.map(|answer| encode(&header, &answer)).transpose()
    }

    /// The header and what lies behind it, or the answer to a question for versions that we do not know.
    fn header(&mut self, frame: &Bytes) -> Result<Result<(Header, Bytes), BytesMut>, Hangup> {
        let mut rest = &frame[..];
        let (key, version, correlation_id) = (rest.get_i16(), rest.get_i16(), rest.get_i32());
        let api = schema::find(key).ok_or(Hangup)?;
        if version < api.min || version > api.max {
            if api.key == ApiKey::ApiVersions {
                let header = Header { api, version: 0, correlation_id };
                let mut answer = supported();
                answer.error_code = ResponseError::UnsupportedVersion.code();
                return Ok(Err(encode(&header, &ResponseKind::ApiVersions(answer))?));
            }
            return Err(Hangup);
        }
        let name_length = rest.get_i16();
        if let Ok(length) = usize::try_from(name_length) {
            let name = rest.get(..length).ok_or(Hangup)?;
            if self.client.id.as_bytes() != name {
                self.client.id = std::str::from_utf8(name).map_err(|_| Hangup)?.to_owned();
            }
            rest.advance(length);
        }
        if api.key.request_header_version(version) >= 2 {
            schema::skip_tags(&mut rest).ok_or(Hangup)?;
        }
        let body = frame.slice(frame.len() - rest.len()..);
        Ok(Ok((Header { api, version, correlation_id }, body)))
    }
}

fn encode(header: &Header, answer: &ResponseKind) -> Result<BytesMut, Hangup> {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&[0; 4]);
    let header_version = header.api.key.response_header_version(header.version);
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut frame, header_version)
        .map_err(|_| Hangup)?;
    answer.encode(&mut frame, header.version).map_err(|_| Hangup)?;
    let length = i32::try_from(frame.len() - 4).map_err(|_| Hangup)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn supported() -> ApiVersionsResponse {
    let spoken = schema::APIS.iter().map(|api| {
        // Kafka 4 says the same of Produce: older librdkafka takes a minimum above 0 for a broker that is too old, and
        // never uses those versions.
        let min = if api.key == ApiKey::Produce { 0 } else { api.min };
        ApiVersion::default().with_api_key(api.key as i16).with_min_version(min).with_max_version(api.max)
    });
    ApiVersionsResponse::default().with_api_keys(spoken.collect())
}

/// For tests of what requests do.
#[cfg(test)]
pub(crate) fn answer_request(context: &Context, key: ApiKey, request: RequestKind) -> Option<ResponseKind> {
    let api = schema::find(key as i16)?;
    let header = Header { api, version: api.max, correlation_id: 0 };
    let (id, host, software) = Default::default();
    let client = Client { id, host, software, node: ("127.0.0.1".to_owned(), 1), stream: None };
    api::answer(context, &client, &header, request).ok()?
}

/// For tests of single frames.
#[cfg(test)]
pub(crate) fn answer_frame(context: &Context, frame: Bytes, stream: TcpStream) -> Result<Option<BytesMut>, Hangup> {
    let (id, host, software) = Default::default();
    let client = Client { id, host, software, node: ("127.0.0.1".to_owned(), 1), stream: None };
    let transport = Transport::begin(stream, None, &context.clock, context.now())?;
    let mut connection = Connection { context, transport, client, is_authenticated: true };
    connection.answer(frame)
}
