//! What consumers can do.
#![expect(unsafe_code, reason = "calls into C")]

use std::ffi::c_int;
use std::ptr::NonNull;

use beltline_types::{Offset, OffsetRange, TopicPartition};
use rdkafka_sys as sys;

use super::client::Client;
use super::code::{Fault, text};
use super::list::PartitionList;
use super::queue::{Event, Queue};

unsafe extern "C" {
    fn beltline_resume_during_revocation(
        rk: *mut sys::rd_kafka_t,
        partitions: *mut sys::rd_kafka_topic_partition_list_t,
    ) -> c_int;
    fn beltline_give_everything_back(rk: *mut sys::rd_kafka_t);
    fn beltline_wait_no_more_for_leaving(rk: *mut sys::rd_kafka_t);
    // The bindings return enumerations here, but a broker may send a code they do not know.
    fn rd_kafka_committed(
        rk: *mut sys::rd_kafka_t,
        partitions: *mut sys::rd_kafka_topic_partition_list_t,
        timeout_ms: c_int,
    ) -> i32;
}

// SAFETY of all blocks below, unless said otherwise: the handle is alive as long as `self`, lists and queues are alive as
// long as their borrow, names end with a zero; error objects that come back are ours.
impl Client {
    pub(crate) fn subscribe(&self, topics: &PartitionList) -> Result<(), Fault> {
        // SAFETY: see above.
        Fault::check(unsafe { sys::rd_kafka_subscribe(self.raw(), topics.raw()) })
    }

    pub(crate) fn incremental_assign(&self, partitions: &PartitionList) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_incremental_assign(self.raw(), partitions.raw())) }
    }

    pub(crate) fn incremental_unassign(&self, partitions: &PartitionList) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_incremental_unassign(self.raw(), partitions.raw())) }
    }

    /// Whether the partitions of this member belong to others already.
    pub(crate) fn assignment_lost(&self) -> bool {
        // SAFETY: see above.
        unsafe { sys::rd_kafka_assignment_lost(self.raw()) != 0 }
    }

    /// Lets these partitions run on while others wait to be given back; see `shim.c`.
    pub(crate) fn resume_during_revocation(&self, partitions: &PartitionList) {
        // SAFETY: see above. The call only queues operations, as the public call for an application's own pause does.
        unsafe { beltline_resume_during_revocation(self.raw(), partitions.raw()) };
    }

    /// Moves a partition's fetch position; messages of the old position are dropped.
    pub(crate) fn seek(&self, partition: &TopicPartition, offset: Offset, timeout_ms: c_int) -> Result<(), Fault> {
        let list = PartitionList::with_offsets([(partition, offset)])?;
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_seek_partitions(self.raw(), list.raw(), timeout_ms))? };
        list.entries().first().map_or(Ok(()), |entry| Fault::check(entry.code))
    }

    /// Fills in the committed offsets of the consumer's group.
    pub(crate) fn committed(&self, partitions: &PartitionList, timeout_ms: c_int) -> Result<(), Fault> {
        // SAFETY: see above.
        Fault::check(super::code::Code(unsafe { rd_kafka_committed(self.raw(), partitions.raw(), timeout_ms) }))
    }

    /// Commits offsets; the answer comes as an event of `answers`.
    pub(crate) fn commit_offsets(&self, offsets: &PartitionList, answers: &Queue) -> Result<(), Fault> {
        // SAFETY: see above; the list is copied, no callback is set.
        Fault::check(unsafe {
            sys::rd_kafka_commit_queue(self.raw(), offsets.raw(), answers.raw(), None, std::ptr::null_mut())
        })
    }

    /// Who this member is in its group at this moment.
    pub(crate) fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: see above; what comes back is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(self.raw()) })
            .map(|pointer| GroupMetadata { pointer })
    }

    /// Starts to leave the group; the last rebalances come on `queue`.
    pub(crate) fn close_into(&self, queue: &Queue) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_consumer_close_queue(self.raw(), queue.raw())) }
    }

    /// Answers a rebalance while the handle closes, without waiting; see the shim.
    pub(crate) fn give_everything_back(&self) {
        // SAFETY: see above. The call only queues an operation.
        unsafe { beltline_give_everything_back(self.raw()) };
    }

    /// Has closing wait no more for the brokers' answer; without it a handle that is given up while it leaves may wait for
    /// ever, see the shim. The queue is served on until the handle is closed.
    pub(crate) fn wait_no_more_for_leaving(&self) {
        // SAFETY: see above. The call only queues an operation.
        unsafe { beltline_wait_no_more_for_leaving(self.raw()) };
    }

    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: see above.
        unsafe { sys::rd_kafka_consumer_closed(self.raw()) != 0 }
    }

    /// The offsets a partition holds, as the last fetch saw them; `None` before that.
    pub(crate) fn known_offsets(&self, topic: &std::ffi::CStr, partition: u32) -> Option<OffsetRange> {
        let (mut start, mut end) = (-1, -1);
        // SAFETY: see above; both numbers are written before the call returns.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.raw(),
                topic.as_ptr(),
                partition as i32,
                &raw mut start,
                &raw mut end,
            )
        };
        (Fault::check(code).is_ok() && start >= 0 && end >= 0).then_some(OffsetRange { start, end })
    }
}

impl Event {
    /// What the event is, for errors.
    pub(crate) fn name(&self) -> String {
        // SAFETY: the event is alive; the name is copied.
        unsafe { text(sys::rd_kafka_event_name(self.raw())) }
    }
}

/// A member's place in its group, as transactions want to know it.
pub(crate) struct GroupMetadata {
    pointer: NonNull<sys::rd_kafka_consumer_group_metadata_t>,
}

// SAFETY: plain memory without ties to a thread.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_consumer_group_metadata_t {
        self.pointer.as_ptr()
    }

    /// Whether the brokers know this member: it was given a generation, and has not been told since that it is unknown.
    pub(crate) fn is_member(&self) -> bool {
        // SAFETY: alive and ours; the id is copied.
        unsafe {
            sys::rd_kafka_consumer_group_metadata_generation_id(self.raw()) >= 0
                && !text(sys::rd_kafka_consumer_group_metadata_member_id(self.raw())).is_empty()
        }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, freed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.raw()) };
    }
}
