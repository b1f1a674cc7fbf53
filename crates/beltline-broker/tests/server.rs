//! The port from outside: limits, slow and broken clients, the end, and the file that tells others of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod client;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use beltline_broker::{Broker, BrokerOptions, Endpoint, Limits, LoneEndpoint};
use beltline_env::{Clock, SystemClock};
use beltline_log::{DataDirectory, EmbeddedLog, Log, LogOptions};
use beltline_types::{ErrorKind, TopicSpec};
use client::{answer, connect, frame};

fn start(options: BrokerOptions) -> Broker {
    let clock = Arc::new(SystemClock::default());
    let log = EmbeddedLog::in_memory(clock.clone()).unwrap();
    log.create_topics(&[TopicSpec::new("t", 1)]).unwrap();
    Broker::start(Arc::new(log), clock, options).unwrap()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    // A reset says the same as an end.
    !matches!(stream.read(&mut [0; 16]), Ok(count) if count > 0)
}

/// A fetch of version 4 that waits for as long as it may.
fn long_fetch() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&60_000i32.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&1_000_000i32.to_be_bytes());
    body.push(0);
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(b"\0\x01t");
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&0i32.to_be_bytes());
    body.extend_from_slice(&0i64.to_be_bytes());
    body.extend_from_slice(&1_000_000i32.to_be_bytes());
    frame(1, 4, &body)
}

#[test]
fn requests_are_answered_in_order_even_when_sent_at_once() {
    let broker = start(BrokerOptions::default());
    let mut stream = connect(&broker);
    let mut both = frame(18, 0, &[]);
    both.extend(frame(3, 1, &(-1i32).to_be_bytes()));
    stream.write_all(&both).unwrap();
    let versions = answer(&mut stream).unwrap();
    assert_eq!(versions[..6], [0, 0, 0, 7, 0, 0]);
    assert!(String::from_utf8_lossy(&answer(&mut stream).unwrap()).contains("127.0.0.1"));
}

#[test]
fn nonsense_and_slowness_end_one_connection_and_no_other() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(1500),
        transfer_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let broker = start(BrokerOptions { limits, ..BrokerOptions::default() });
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 8], &[0, 0, 0, 3, 1, 2, 3], &[0x7f, 0xff, 0xff, 0xff]] {
        let mut stream = connect(&broker);
        stream.write_all(bytes).unwrap();
        assert!(is_closed(&mut stream), "{bytes:?}");
    }
    // Half a request, and nothing at all.
    let mut half = connect(&broker);
    half.write_all(&frame(18, 0, &[])[..9]).unwrap();
    let mut silent = connect(&broker);
    assert!(is_closed(&mut half) && is_closed(&mut silent));
    let mut stream = connect(&broker);
    stream.write_all(&frame(18, 0, &[])).unwrap();
    assert!(answer(&mut stream).is_ok(), "others are served");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let limits = Limits { transfer_timeout: Duration::from_millis(300), ..Limits::default() };
    let broker = start(BrokerOptions { limits, ..BrokerOptions::default() });
    let mut stream = connect(&broker);
    let request = frame(18, 0, &[]);
    // It asks and never reads, until neither side's buffers take any more.
    let written = (0..2_000_000).try_for_each(|_| stream.write_all(&request));
    assert!(written.is_err(), "the connection was closed");
}

#[test]
fn one_connection_too_many_is_closed_and_a_place_is_free_again() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let broker = start(BrokerOptions { limits, ..BrokerOptions::default() });
    let mut two: Vec<TcpStream> = (0..2).map(|_| connect(&broker)).collect();
    for stream in &mut two {
        stream.write_all(&frame(18, 0, &[])).unwrap();
        answer(stream).unwrap();
    }
    assert!(is_closed(&mut connect(&broker)));
    drop(two);
    let free = (0..200).any(|_| {
        let mut stream = connect(&broker);
        stream.write_all(&frame(18, 0, &[])).is_ok() && answer(&mut stream).is_ok()
    });
    assert!(free);
}

#[test]
fn the_end_does_not_wait_for_those_who_wait() {
    let mut broker = start(BrokerOptions::default());
    let mut streams: Vec<TcpStream> = (0..3).map(|_| connect(&broker)).collect();
    for stream in &mut streams {
        stream.write_all(&long_fetch()).unwrap();
    }
    let clock = SystemClock::default();
    let address = broker.address();
    broker.stop();
    broker.stop();
    assert!(clock.monotonic() < Duration::from_secs(10), "a fetch may wait for a minute");
    streams.iter_mut().for_each(|stream| assert!(is_closed(stream)));
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}

#[test]
fn a_taken_port_and_an_open_address_are_refused_with_the_cure() {
    let broker = start(BrokerOptions::default());
    let clock: Arc<SystemClock> = Arc::default();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory(clock.clone()).unwrap());
    let taken = BrokerOptions { address: broker.address(), ..BrokerOptions::default() };
    let error = Broker::start(log.clone(), clock.clone(), taken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("endpoint_port"), "{error}");
    let open = BrokerOptions { address: SocketAddr::from(([0, 0, 0, 0], 0)), ..BrokerOptions::default() };
    assert!(Broker::start(log, clock, open).unwrap_err().to_string().contains("token"));
}

#[test]
fn with_a_token_nothing_is_answered_before_it_is_said() {
    let broker = start(BrokerOptions { require_token: true, ..BrokerOptions::default() });
    let mut stream = connect(&broker);
    stream.write_all(&frame(3, 1, &(-1i32).to_be_bytes())).unwrap();
    assert!(is_closed(&mut stream));
    let login = |password: &str| {
        let mut stream = connect(&broker);
        stream.write_all(&frame(17, 1, b"\0\x05PLAIN")).unwrap();
        assert_eq!(answer(&mut stream).unwrap()[4..6], [0, 0]);
        let said = format!("\0user\0{password}");
        let body = [&(said.len() as i32).to_be_bytes(), said.as_bytes()].concat();
        stream.write_all(&frame(36, 0, &body)).unwrap();
        let is_right = answer(&mut stream).unwrap()[4..6] == [0, 0];
        stream.write_all(&frame(3, 1, &(-1i32).to_be_bytes())).unwrap();
        (is_right, answer(&mut stream).is_ok())
    };
    assert_eq!(login(broker.token()), (true, true));
    assert_eq!(login("guess"), (false, false));
}

#[test]
fn the_endpoint_file_is_found_only_while_its_process_holds_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let directory = DataDirectory::open(&path, "test").unwrap();
    assert!(Endpoint::find(&path).is_none(), "held, but nobody listens");
    let broker = start(BrokerOptions::default());
    let announcement = Endpoint::announce(&path, &broker).unwrap();
    let found = Endpoint::find(&path).unwrap();
    assert_eq!((found.address, &*found.token), (broker.address(), broker.token()));
    assert!(!format!("{found:?}").contains(broker.token()), "the token stays out of logs");
    // As after a crash: the file is there, the lock is not.
    std::mem::forget(announcement);
    drop(directory);
    assert!(Endpoint::find(&path).is_none());
    // As when another process has taken the directory over and does not listen yet.
    let _directory = DataDirectory::open(&path, "test").unwrap();
    let file = path.join("endpoint");
    let text = String::from_utf8(beltline_env::Files::read(&beltline_env::RealFiles, &file).unwrap()).unwrap();
    let foreign = text.replace(&std::process::id().to_string(), "1");
    let mut writer = beltline_env::Files::create(&beltline_env::RealFiles, &file).unwrap();
    writer.write_all(foreign.as_bytes()).unwrap();
    assert!(Endpoint::find(&path).is_none());
}

#[test]
fn alone_it_makes_the_topics_listens_and_gives_the_directory_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let start = || {
        let topics = [TopicSpec::new("t", 3)];
        LoneEndpoint::start(&path, "test", LogOptions::default(), &topics, BrokerOptions::default())
    };
    let alone = start().unwrap();
    assert_eq!(Endpoint::find(&path).unwrap().address, alone.address());
    let mut stream = TcpStream::connect(alone.address()).unwrap();
    stream.write_all(&frame(3, 1, &(-1i32).to_be_bytes())).unwrap();
    assert!(answer(&mut stream).unwrap().windows(3).any(|bytes| bytes == b"\0\x01t"), "the topic is there");
    assert_eq!(start().unwrap_err().kind(), ErrorKind::DataDirectory, "one process at a time");
    alone.tidy().unwrap();
    alone.close().unwrap();
    assert!(is_closed(&mut stream));
    assert!(Endpoint::find(&path).is_none());
    start().unwrap().close().unwrap();
}
