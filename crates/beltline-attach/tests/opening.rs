//! Coming to the log of a directory that another has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use beltline_attach::{AttachOptions, open};
use beltline_broker::{BrokerOptions, LoneEndpoint};
use beltline_env::{Files, RealFiles, spawn_thread};
use beltline_log::{DataDirectory, Log, LogOptions};
use beltline_types::{ErrorKind, TopicSpec};

/// An address where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// Far longer than the patience of the test, and every wait for one holder is much shorter.
const HOLDERS: u32 = 40;

#[test]
fn patience_ends_though_one_holder_follows_another() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let directory = DataDirectory::open(&path, "one holder after another").unwrap();
    let all_gone = Arc::new(AtomicBool::new(false));
    let (file, gone) = (path.join("endpoint"), all_gone.clone());
    let (announced, first) = channel();
    let (enough, pause) = channel::<()>();
    let holders = spawn_thread("holders", move || {
        for number in 0..HOLDERS {
            // As if the one before had been killed: another token is another holder.
            let text = format!("{NOBODY}\ntoken-{number}\n{}\n", std::process::id());
            let fresh = file.with_extension("new");
            let mut writer = RealFiles.create(&fresh).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            RealFiles.rename(&fresh, &file).unwrap();
            let _ = announced.send(());
            if pause.recv_timeout(Duration::from_millis(250)) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
        gone.store(true, Ordering::SeqCst);
    });
    let holders = holders.unwrap();
    first.recv().unwrap();
    let options = AttachOptions { patience: Duration::from_millis(600), ..AttachOptions::new("g") };
    let error = open(&path, options).err().unwrap();
    drop(enough);
    assert!(!all_gone.load(Ordering::SeqCst), "it waited until the last holder: {error}");
    assert_eq!(error.kind(), ErrorKind::DataDirectory);
    assert!(error.to_string().contains("one holder after another"), "who has it is named: {error}");
    holders.join().unwrap();
    drop(directory);
}

#[test]
fn a_worker_that_is_about_to_start_takes_over_from_a_holder_that_ends() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let topics = [TopicSpec::new("t", 3)];
    let holder =
        LoneEndpoint::start(&path, "holder", LogOptions::default(), &topics, BrokerOptions::default()).unwrap();
    let opened = open(&path, AttachOptions::new("g")).unwrap();
    assert!(opened.log.holder().is_some());
    holder.close().unwrap();
    // Nobody polls the group yet, so nobody but who asks can find out.
    opened.log.create_topics(&[TopicSpec::new("fresh", 2)]).unwrap();
    assert_eq!(opened.log.holder(), None, "it holds the directory now");
    assert_eq!(opened.log.topic("t").unwrap().unwrap().partitions, 3);
}
