//! A holder that ends while another process is only starting: what that one asks is answered by whoever comes next.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::time::Duration;

use beltline_attach::{AttachOptions, open};
use beltline_log::Log;
use beltline_types::TopicSpec;

fn options(holder: &str) -> AttachOptions {
    let mut options = AttachOptions::new("group");
    options.holder = holder.to_owned();
    options.kafka.request_timeout = Duration::from_secs(30);
    options
}

#[test]
fn a_question_is_asked_again_where_the_directory_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let holder = open(folder.path(), options("first")).unwrap();
    holder.log.create_topics(&[TopicSpec::new("orders", 3)]).unwrap();
    let second = open(folder.path(), options("second")).unwrap();
    let third = open(folder.path(), options("third")).unwrap();
    assert!(second.log.holder().is_some_and(|holder| holder.contains("first")));
    assert_eq!(third.log.topic("orders").unwrap().unwrap().partitions, 3);
    holder.log.close();
    drop(holder);
    // Neither has joined, so nobody looks for another holder but who asks.
    assert_eq!(second.log.topic("orders").unwrap().unwrap().partitions, 3);
    assert_eq!(second.log.holder(), None);
    assert_eq!(third.log.topic("orders").unwrap().unwrap().partitions, 3);
    assert!(third.log.holder().is_some_and(|holder| holder.contains("second")));
}
