//! Reads partitions that no group gives out: changelogs being restored, tables kept warm. Also asks the brokers whatever
//! needs no group.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beltline_env::Clock;
use beltline_log::Fetched;
use beltline_types::{Offset, Result, TopicPartition};

use crate::context::Context;
use crate::lane::Lane;
use crate::raw::client::{Client, Role};
use crate::raw::list::PartitionList;
use crate::raw::queue::Queue;
use crate::topics;

/// A partition that nobody has asked for so long is let go, and what was read ahead of it with it.
const IDLE: Duration = Duration::from_secs(60);

/// How long a partition is quiet before its topic is looked for, and how often that is done.
const QUIET: Duration = Duration::from_secs(5);

struct Held {
    lane: Arc<Mutex<Lane>>,
    last_asked: Duration,
}

/// Number and lane of a partition that has been quiet for long.
type Quiet = (u32, Arc<Mutex<Lane>>);

/// A consumer that is told what to read.
pub(crate) struct Reader {
    context: Arc<Context>,
    /// Before the client, so that they are given back before it ends.
    lanes: Mutex<BTreeMap<TopicPartition, Held>>,
    /// When quiet partitions were looked for last.
    looked: Mutex<Duration>,
    events: Queue,
    pub(crate) client: Arc<Client>,
}

impl Reader {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Reader> {
        let client = context.client(Role::Reader, None, None)?;
        let deadline = context.question();
        let events = Queue::of_consumer(&client).map_err(|fault| context.error("reading", &deadline, &fault))?;
        Ok(Reader { context: context.clone(), lanes: Mutex::default(), looked: Mutex::default(), events, client })
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Held>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        let lane = self.lane(partition, offset)?;
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.fetch(offset, max_bytes, |at| {
            self.client.incremental_unassign(at)?;
            self.client.incremental_assign(at)
        })
    }

    fn lane(&self, partition: &TopicPartition, offset: Offset) -> Result<Arc<Mutex<Lane>>> {
        let now = self.context.health.clock.monotonic();
        if let Some(held) = self.lanes().get_mut(partition) {
            held.last_asked = now;
            return Ok(held.lane.clone());
        }
        // Asked first, because librdkafka reports a missing partition only after half a minute.
        topics::require(&self.context, &self.client, partition)?;
        let mut lanes = self.lanes();
        let deadline = self.context.question();
        let doing = || format!("reading {partition}");
        let begun = Lane::new(&self.context, &self.client, partition, offset).and_then(|lane| {
            self.client.incremental_assign(&PartitionList::with_offsets([(partition, offset)])?)?;
            Ok(Arc::new(Mutex::new(lane)))
        });
        let lane = begun.map_err(|fault| self.context.error(&doing(), &deadline, &fault))?;
        lanes.insert(partition.clone(), Held { lane: lane.clone(), last_asked: now });
        Ok(lane)
    }

    /// Lets partitions go that another way of reading takes over.
    pub(crate) fn let_go<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        let mut lanes = self.lanes();
        let gone: Vec<&TopicPartition> =
            partitions.into_iter().filter(|partition| lanes.remove(*partition).is_some()).collect();
        self.unassign(&gone);
    }

    /// Lets partitions go that nobody asks for, and hears what the handle has to say.
    pub(crate) fn tidy(&self) {
        let now = self.context.health.clock.monotonic();
        let mut lanes = self.lanes();
        let idle: Vec<TopicPartition> = lanes
            .iter()
            .filter(|(_, held)| now.saturating_sub(held.last_asked) > IDLE)
            .map(|(partition, _)| partition.clone())
            .collect();
        idle.iter().for_each(|partition| drop(lanes.remove(partition)));
        self.unassign(&idle.iter().collect::<Vec<_>>());
        drop(lanes);
        while let Some(event) = self.events.poll(0) {
            let fault = event.fault();
            if fault.code.is_error() {
                self.context.health.note(fault.code, &fault.text);
            }
        }
    }

    /// Looks for the topics of partitions that have been quiet for long: one that was deleted gives no error by itself.
    pub(crate) fn look_for_quiet(&self) {
        let now = self.context.health.clock.monotonic();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*looked) < QUIET || self.context.health.is_suspected() {
            return;
        }
        *looked = now;
        let mut quiet: BTreeMap<Arc<str>, Vec<Quiet>> = BTreeMap::new();
        for (partition, held) in self.lanes().iter() {
            // A lane that is in use is not quiet.
            if held.lane.try_lock().is_ok_and(|lane| now.saturating_sub(lane.heard) > QUIET) {
                quiet.entry(partition.topic.clone()).or_default().push((partition.partition, held.lane.clone()));
            }
        }
        for (topic, lanes) in quiet {
            let Ok(found) = topics::find_at_once(&self.context, &self.client, &topic) else { return };
            let count = found.map_or(0, |topic| topic.partitions);
            for (_, lane) in lanes.iter().filter(|(partition, _)| *partition >= count) {
                lane.lock().unwrap_or_else(PoisonError::into_inner).is_gone = true;
                self.context.signal.raise();
            }
        }
    }

    fn unassign(&self, partitions: &[&TopicPartition]) {
        if partitions.is_empty() {
            return;
        }
        // Failing means that they are not assigned, which is what is wanted.
        if let Ok(list) = PartitionList::of(partitions.iter().copied()) {
            let _ = self.client.incremental_unassign(&list);
        }
    }
}
