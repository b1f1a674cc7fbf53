//! A member that is killed, in a process of its own.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use beltline_types::TopicPartition;

use crate::support::*;

const CHILD: &str = "BELTLINE_KAFKA_TEST_CHILD";

/// Body of the other process; in the ordinary run there is nothing to do.
#[test]
fn child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let (group, topic) = what.split_once(' ').unwrap();
    let worker = Worker::start(exactly_once(group, &format!("{group}-child")), &[topic.into()]);
    std::thread::sleep(Duration::from_secs(60));
    drop(worker);
}

#[test]
fn others_take_over_from_one_that_is_killed() {
    let group = unique("killed");
    let log = connect(options(&group));
    let name = topic(&log, "killed", 4);
    let worker = Worker::start(options(&group), std::slice::from_ref(&name));
    eventually("all partitions are assigned", || worker.owned().len() == 4);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--nocapture"])
        .env(CHILD, format!("{group} {name}"))
        .env("BELTLINE_TEST_KAFKA", crate::broker::servers())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the other has its share", || worker.owned().len() == 2);
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    eventually("everything is back", || worker.owned().len() == 4);
    println!("taken over after {:?}", begun.elapsed());
    // The taker reads what was the other's.
    for number in 0..4 {
        let partition = TopicPartition::new(name.clone(), number);
        write(&log, &partition, values(["after".into()])).unwrap();
        assert_eq!(texts(&read_to(&worker.log, &partition, 0, 1)), ["after"]);
    }
}
