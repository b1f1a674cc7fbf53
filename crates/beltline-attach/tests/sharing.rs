//! A holder and those attached to it as members of one group.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use beltline_attach::{AttachOptions, open};
use beltline_env::{Clock, SystemClock, spawn_thread};
use beltline_log::{GroupEvent, Log};
use beltline_types::{TopicPartition, TopicSpec};

const LIMIT: Duration = Duration::from_secs(40);

/// Answers its group and keeps what it is given.
struct Member {
    log: Arc<dyn Log>,
    owned: Arc<Mutex<BTreeSet<TopicPartition>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// `changed` is told whenever it has heard from its group.
    fn open(path: &Path, changed: &Sender<()>) -> Member {
        let log: Arc<dyn Log> = open(path, AttachOptions::new("g")).unwrap().log;
        let (owned, ended) = (Arc::<Mutex<BTreeSet<TopicPartition>>>::default(), Arc::<AtomicBool>::default());
        let (polled, mine, end, changed) = (log.clone(), owned.clone(), ended.clone(), changed.clone());
        let thread = spawn_thread("member", move || {
            while !end.load(Ordering::Acquire) {
                match polled.poll_group(Duration::from_millis(50)).unwrap() {
                    Some(GroupEvent::Assigned(list)) => mine.lock().unwrap().extend(list),
                    Some(GroupEvent::Revoking(list)) => {
                        mine.lock().unwrap().retain(|partition| !list.contains(partition));
                        polled.release(&list).unwrap();
                    }
                    Some(GroupEvent::Lost(list)) => mine.lock().unwrap().retain(|one| !list.contains(one)),
                    Some(GroupEvent::Standby(_) | GroupEvent::Gone { .. }) => {}
                    None => continue,
                }
                changed.send(()).unwrap();
            }
        });
        Member { log, owned, ended, thread: Some(thread.unwrap()) }
    }

    fn join(&self) {
        self.log.join("g", &["t".into()]).unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.log.interrupt();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn eventually_share(changes: &Receiver<()>, members: &[&Member], expected: &[usize]) {
    let clock = SystemClock::default();
    let end = clock.monotonic() + LIMIT;
    loop {
        let sizes: Vec<usize> = members.iter().map(|member| member.owned.lock().unwrap().len()).collect();
        if sizes == expected {
            return;
        }
        let changed = changes.recv_timeout(end.saturating_sub(clock.monotonic()));
        assert!(changed.is_ok(), "{sizes:?} are not the shares {expected:?}");
    }
}

/// The first member leads the group: here one that is attached, which decides by way of librdkafka.
#[test]
fn the_holder_gives_partitions_to_others_when_one_that_is_attached_decides() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let (changed, changes) = channel();
    let holder = Member::open(&path, &changed);
    holder.log.create_topics(&[TopicSpec::new("t", 6)]).unwrap();
    let first = Member::open(&path, &changed);
    first.join();
    eventually_share(&changes, &[&first], &[6]);
    holder.join();
    eventually_share(&changes, &[&first, &holder], &[3, 3]);
    let second = Member::open(&path, &changed);
    second.join();
    eventually_share(&changes, &[&first, &holder, &second], &[2, 2, 2]);
}
