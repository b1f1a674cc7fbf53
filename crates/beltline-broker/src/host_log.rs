//! The log as the process that runs the endpoint uses it: records without a socket, and a place in the endpoint's groups.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beltline_log::{Fetched, GroupEvent, Log};
use beltline_types::{
    CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo, TopicPartition, TopicSpec,
};

use crate::context::{Context, lock};
use crate::host_member::HostMember;

/// How long one wait for the group's next word lasts at most: whoever changes something beside it wakes it, but may do so
/// in the moment before it sleeps.
const SLICE: Duration = Duration::from_millis(100);

/// Positions that an open transaction may still move are waited for so long: it ends by itself before.
const STABLE_PATIENCE: Duration = Duration::from_secs(90);

/// The [`Log`] of a [`crate::Broker`]'s own process. Its membership is one of the groups that clients are members of too, so
/// partitions are shared with those that come in through the port.
pub struct HostLog {
    context: Arc<Context>,
    member: Mutex<HostMember>,
    interrupted: Mutex<bool>,
}

impl HostLog {
    pub(crate) fn new(context: Arc<Context>, gathers: bool, warm: &[u32]) -> HostLog {
        let member = HostMember::new(context.clone(), gathers, warm.iter().copied().collect());
        HostLog { context, member: Mutex::new(member), interrupted: Mutex::default() }
    }

    fn member(&self) -> MutexGuard<'_, HostMember> {
        lock(&self.member)
    }

    fn log(&self) -> &dyn Log {
        &*self.context.log
    }

    /// Waits until no open transaction can move these positions any more.
    fn settle(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let deadline = self.context.now() + STABLE_PATIENCE;
        loop {
            let pending = lock(&self.context.transactions).pending_offsets(group);
            let Some(open) = partitions.iter().find(|partition| pending.contains(*partition)) else { return Ok(()) };
            if self.context.is_stopped() || self.context.now() >= deadline {
                let message = format!("a transaction that moves the position of {open} in group {group} does not end");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            self.context.pause(SLICE);
        }
    }
}

impl Log for HostLog {
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()> {
        // Held by whoever looks for a topic and then makes it, so that two do not.
        let _creating = lock(&self.context.creating);
        self.log().create_topics(wanted)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log().topics()
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        self.log().topic(name)
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        self.log().delete_topic(name)
    }

    fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.log().grow_topic(name, partitions)
    }

    fn change_topic(&self, wanted: &TopicSpec) -> Result<()> {
        self.log().change_topic(wanted)
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<Offset> {
        self.log().delete_records(partition, before)
    }

    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched> {
        self.log().fetch(partition, offset, max_bytes)
    }

    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange> {
        self.log().offsets(partition)
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.log().wait(seen, timeout)
    }

    fn interrupt(&self) {
        *lock(&self.interrupted) = true;
        self.context.wake();
        self.log().interrupt();
    }

    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt> {
        let place = self.member().place(&request)?;
        match place {
            None => self.log().commit(request),
            Some(member_id) => self.context.commit_as_member(&member_id, request),
        }
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>> {
        self.settle(group, partitions)?;
        self.log().committed(group, partitions)
    }

    fn reset_group(&self, group: &str) -> Result<()> {
        self.log().reset_group(group)
    }

    fn groups(&self) -> Result<Vec<Arc<str>>> {
        self.log().groups()
    }

    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        self.log().forget_offsets(group, partitions)
    }

    fn sync(&self) -> Result<()> {
        self.log().sync()
    }

    fn join(&self, group: &str, topics: &[Arc<str>]) -> Result<()> {
        self.member().join(group, topics)?;
        self.context.wake();
        Ok(())
    }

    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>> {
        let deadline = self.context.now() + timeout;
        loop {
            if let Some(event) = self.member().next_event()? {
                return Ok(Some(event));
            }
            let left = deadline.saturating_sub(self.context.now());
            if std::mem::take(&mut *lock(&self.interrupted)) || left.is_zero() {
                return Ok(None);
            }
            self.context.pause(left.min(SLICE));
        }
    }

    fn release(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.member().release(partitions);
        self.context.wake();
        Ok(())
    }

    fn leave(&self) -> Result<()> {
        self.member().leave();
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        self.log().trouble()
    }

    fn keeps_its_tail(&self) -> bool {
        self.log().keeps_its_tail()
    }

    fn maintain(&self) -> Result<()> {
        self.log().maintain()
    }
}

impl std::fmt::Debug for HostLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HostLog").field("cluster_id", &self.context.cluster_id).finish_non_exhaustive()
    }
}
