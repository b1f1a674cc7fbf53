//! Lists of partitions with offsets.
#![expect(unsafe_code, reason = "the lists are C")]

use std::ffi::CStr;
use std::sync::Arc;

use beltline_types::{Offset, TopicPartition};
use rdkafka_sys as sys;

use super::client::c_string;
use super::code::{Code, Fault};

/// librdkafka's "no offset".
pub(crate) const NO_OFFSET: Offset = sys::RD_KAFKA_OFFSET_INVALID as Offset;
/// Wherever the partition begins.
pub(crate) const BEGINNING: Offset = sys::RD_KAFKA_OFFSET_BEGINNING as Offset;
/// Wherever the partition ends.
pub(crate) const END: Offset = sys::RD_KAFKA_OFFSET_END as Offset;

/// One element of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: Offset,
    pub(crate) code: Code,
}

/// A list that belongs to us.
pub(crate) struct PartitionList {
    pointer: *mut sys::rd_kafka_topic_partition_list_t,
}

// SAFETY: a list is plain memory without ties to a thread.
unsafe impl Send for PartitionList {}

impl PartitionList {
    pub(crate) fn new(capacity: usize) -> PartitionList {
        // SAFETY: allocates; librdkafka aborts the process when there is no memory.
        PartitionList { pointer: unsafe { sys::rd_kafka_topic_partition_list_new(capacity as i32) } }
    }

    /// A list of these partitions, each with its offset.
    pub(crate) fn with_offsets<'a>(
        entries: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
    ) -> Result<PartitionList, Fault> {
        let list = PartitionList::new(16);
        for (partition, offset) in entries {
            let topic = c_string(&partition.topic)?;
            // SAFETY: the list is alive; the name is copied by the call, which answers with the new element.
            unsafe {
                let number = partition.partition as i32;
                let element = sys::rd_kafka_topic_partition_list_add(list.pointer, topic.as_ptr(), number);
                (*element).offset = offset;
            }
        }
        Ok(list)
    }

    /// A list of these partitions without offsets.
    pub(crate) fn of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<PartitionList, Fault> {
        PartitionList::with_offsets(partitions.into_iter().map(|partition| (partition, NO_OFFSET)))
    }

    /// A list of topics, for subscriptions.
    pub(crate) fn of_topics(topics: &[Arc<str>]) -> Result<PartitionList, Fault> {
        let list = PartitionList::new(topics.len());
        for topic in topics {
            let topic = c_string(topic)?;
            // SAFETY: as above; −1 stands for all partitions.
            unsafe { sys::rd_kafka_topic_partition_list_add(list.pointer, topic.as_ptr(), -1) };
        }
        Ok(list)
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.pointer
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        // SAFETY: the list is alive and ours.
        unsafe { entries(self.pointer) }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: made by librdkafka, owned by this value, freed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.pointer) };
    }
}

/// Copies what a list holds; null is an empty one.
///
/// # Safety
/// `list` is null or a live list.
pub(crate) unsafe fn entries(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    // SAFETY: by the contract above; `elems` holds `cnt` elements, whose topics end with a zero. The code is read as a
    // number, see the rules of `raw`.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        (0..usize::try_from(list.cnt).unwrap_or(0))
            .map(|index| {
                let element = list.elems.add(index);
                let topic: Arc<str> = CStr::from_ptr((*element).topic).to_string_lossy().into();
                Entry {
                    partition: TopicPartition { topic, partition: (*element).partition.max(0) as u32 },
                    offset: (*element).offset,
                    code: Code((&raw const (*element).err).cast::<i32>().read()),
                }
            })
            .collect()
    }
}
