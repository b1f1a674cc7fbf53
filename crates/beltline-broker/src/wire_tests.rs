//! Frames: every version of every request has an answer, and no bytes do harm.

mod requests;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use beltline_env::ManualClock;
use beltline_log::{EmbeddedLog, Log};
use beltline_types::TopicSpec;
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseKind};
use proptest::prelude::*;

use self::requests::request;
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
