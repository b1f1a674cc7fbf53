//! Topics and groups: metadata, creating, deleting.
#![expect(unsafe_code, reason = "calls into C")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Arc;

use beltline_types::{Offset, TopicPartition};
use rdkafka_sys as sys;

use super::client::{Client, c_string};
use super::code::{Code, Fault, text};
use super::list::{END, PartitionList};
use super::producer::TopicHandle;
use super::queue::{Event, Queue};

// The bindings return enumerations here, but a broker may send a code they do not know.
unsafe extern "C" {
    fn rd_kafka_metadata(
        rk: *mut sys::rd_kafka_t,
        all_topics: c_int,
        only: *mut sys::rd_kafka_topic_t,
        metadata: *mut *const sys::rd_kafka_metadata_t,
        timeout_ms: c_int,
    ) -> i32;
    fn rd_kafka_topic_result_error(result: *const sys::rd_kafka_topic_result_t) -> i32;
    fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> i32;
}

/// `RD_KAFKA_OFFSET_SPEC_LATEST` and `RD_KAFKA_OFFSET_SPEC_EARLIEST`.
const LATEST: Offset = -1;
const EARLIEST: Offset = -2;

/// The shortest limit of a request. While librdkafka looks for the leaders of partitions on the thread that asks, the timer
/// for the limit runs already: if it is over meanwhile, two threads end the request, and its memory is freed twice.
const LEAST_MS: c_int = 1000;

/// Which topics metadata is wanted of.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// Only whether brokers answer.
    Brokers,
    /// One topic.
    Topic(&'a str),
    /// All topics.
    Everything,
}

/// A topic as the brokers describe it.
#[derive(Clone, Debug)]
pub(crate) struct TopicMetadata {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: u32,
    pub(crate) code: Code,
}

/// How a topic is to be created.
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    /// −1 leaves it to the brokers.
    pub(crate) replication: i32,
    pub(crate) settings: Vec<(&'a str, String)>,
}

/// What became of one topic or group of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) fault: Option<Fault>,
}

impl Client {
    /// Asks the brokers.
    pub(crate) fn metadata(self: &Arc<Self>, scope: Scope<'_>, timeout_ms: c_int) -> Result<Vec<TopicMetadata>, Fault> {
        // SAFETY: the metadata is alive while it is copied.
        self.described(scope, timeout_ms, |metadata| unsafe { copy(metadata) })
    }

    /// How many brokers the cluster has now.
    pub(crate) fn brokers(self: &Arc<Self>, timeout_ms: c_int) -> Result<usize, Fault> {
        self.described(Scope::Brokers, timeout_ms, |metadata| usize::try_from(metadata.broker_cnt).unwrap_or(0))
    }

    fn described<T>(
        self: &Arc<Self>,
        scope: Scope<'_>,
        timeout_ms: c_int,
        read: impl FnOnce(&sys::rd_kafka_metadata_t) -> T,
    ) -> Result<T, Fault> {
        let topic = match scope {
            Scope::Topic(name) => Some(TopicHandle::new(self, name)?),
            Scope::Brokers | Scope::Everything => None,
        };
        let only = topic.as_ref().map_or(std::ptr::null_mut(), TopicHandle::raw);
        let mut metadata: *const sys::rd_kafka_metadata_t = std::ptr::null();
        let all = c_int::from(matches!(scope, Scope::Everything));
        // SAFETY: handle and topic are alive; the metadata that comes back is ours and read before it is destroyed.
        unsafe {
            Fault::check(Code(rd_kafka_metadata(self.raw(), all, only, &raw mut metadata, timeout_ms)))?;
            let found = read(&*metadata);
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(found)
        }
    }

    /// Creates topics; each has its own outcome.
    pub(crate) fn create_topics(
        self: &Arc<Self>,
        wanted: &[NewTopic<'_>],
        timeout_ms: c_int,
    ) -> Result<Vec<Outcome>, Fault> {
        let mut objects: Vec<*mut sys::rd_kafka_NewTopic_t> = Vec::new();
        // SAFETY: each object is ours and freed below, whatever happens between; strings end with a zero.
        let made = wanted.iter().try_for_each(|topic| unsafe { push_new_topic(&mut objects, topic) });
        let answer = made.and_then(|()| {
            let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
            self.ask(kind, sys::RD_KAFKA_EVENT_CREATETOPICS_RESULT, timeout_ms, |options, queue| {
                // SAFETY: the request copies the topics; options and queue are alive.
                unsafe {
                    let topics = objects.as_mut_ptr();
                    sys::rd_kafka_CreateTopics(self.raw(), topics, objects.len(), options, queue.raw());
                }
            })
        });
        // SAFETY: freed once.
        unsafe { sys::rd_kafka_NewTopic_destroy_array(objects.as_mut_ptr(), objects.len()) };
        let event = answer?;
        // SAFETY: the event is a result of this kind, which owns what it lists.
        unsafe {
            let mut count = 0;
            let results = sys::rd_kafka_CreateTopics_result_topics(
                sys::rd_kafka_event_CreateTopics_result(event.raw()),
                &raw mut count,
            );
            Ok(topic_outcomes(results, count))
        }
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(self: &Arc<Self>, name: &str, timeout_ms: c_int) -> Result<Vec<Outcome>, Fault> {
        let name = c_string(name)?;
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        let event = self.ask(kind, sys::RD_KAFKA_EVENT_DELETETOPICS_RESULT, timeout_ms, |options, queue| {
            // SAFETY: the object is ours and freed after the request has copied it.
            unsafe {
                let mut object = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
                sys::rd_kafka_DeleteTopics(self.raw(), &raw mut object, 1, options, queue.raw());
                sys::rd_kafka_DeleteTopic_destroy(object);
            }
        })?;
        // SAFETY: as above.
        unsafe {
            let mut count = 0;
            let results = sys::rd_kafka_DeleteTopics_result_topics(
                sys::rd_kafka_event_DeleteTopics_result(event.raw()),
                &raw mut count,
            );
            Ok(topic_outcomes(results, count))
        }
    }

    /// Deletes a group and its offsets; brokers refuse while it has members.
    pub(crate) fn delete_group(self: &Arc<Self>, group: &str, timeout_ms: c_int) -> Result<Vec<Outcome>, Fault> {
        let group = c_string(group)?;
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETEGROUPS;
        let event = self.ask(kind, sys::RD_KAFKA_EVENT_DELETEGROUPS_RESULT, timeout_ms, |options, queue| {
            // SAFETY: the object is ours and freed after the request has copied it.
            unsafe {
                let mut object = sys::rd_kafka_DeleteGroup_new(group.as_ptr());
                sys::rd_kafka_DeleteGroups(self.raw(), &raw mut object, 1, options, queue.raw());
                sys::rd_kafka_DeleteGroup_destroy(object);
            }
        })?;
        // SAFETY: the event is a result of this kind, which owns what it lists.
        unsafe {
            let mut count = 0;
            let results = sys::rd_kafka_DeleteGroups_result_groups(
                sys::rd_kafka_event_DeleteGroups_result(event.raw()),
                &raw mut count,
            );
            Ok((0..count).map(|index| group_outcome(*results.add(index))).collect())
        }
    }

    /// Asks the leader of a partition for an offset: [`super::list::BEGINNING`], or [`super::list::END`] for the high
    /// watermark, which counts what open transactions have written too.
    pub(crate) fn list_offset(
        self: &Arc<Self>,
        partition: &TopicPartition,
        which: Offset,
        timeout_ms: c_int,
    ) -> Result<Offset, Fault> {
        // The admin request has numbers of its own for the two.
        let spec = if which == END { LATEST } else { EARLIEST };
        let list = PartitionList::with_offsets([(partition, spec)])?;
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let event = self.ask(kind, sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT, timeout_ms, |options, queue| {
            // SAFETY: the request copies the list; options and queue are alive. Without a word about isolation the
            // options ask for the high watermark.
            unsafe { sys::rd_kafka_ListOffsets(self.raw(), list.raw(), options, queue.raw()) };
        })?;
        // SAFETY: the event is a result of this kind, which owns what it lists.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(event.raw());
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            if count == 0 {
                return Err(Fault::of(Code::UNKNOWN_PARTITION_HERE));
            }
            let entry = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos);
            Fault::check(Code((&raw const (*entry).err).cast::<i32>().read()))?;
            // A leader that goes while it is asked: librdkafka then reports no error, and no offset either.
            if (*entry).offset < 0 {
                return Err(Fault::of(Code::LEADER_NOT_AVAILABLE));
            }
            Ok((*entry).offset)
        }
    }

    /// Sends an admin request and waits for its answer, [`LEAST_MS`] at least.
    fn ask(
        self: &Arc<Self>,
        operation: sys::rd_kafka_admin_op_t,
        kind: i32,
        timeout_ms: c_int,
        send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, &Queue),
    ) -> Result<Event, Fault> {
        use sys::rd_kafka_admin_op_t as Operation;
        let waits = [Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS, Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS];
        let timeout_ms = timeout_ms.max(LEAST_MS);
        let answers = Queue::new(self)?;
        let mut sentence = [0 as c_char; 128];
        // SAFETY: the options are ours and freed after the request has copied them.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(self.raw(), operation);
            let buffer = sentence.as_mut_ptr();
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, buffer, sentence.len());
            if waits.contains(&operation) {
                sys::rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, buffer, sentence.len());
            }
            send(options, &answers);
            sys::rd_kafka_AdminOptions_destroy(options);
        }
        // librdkafka always answers within the request's timeout; the margin is for a busy machine.
        let event = answers.poll(timeout_ms.saturating_add(2000)).ok_or_else(|| Fault::of(Code::TIMED_OUT))?;
        let fault = event.fault();
        match fault.code.is_error() {
            true => Err(fault),
            false if event.kind() == kind => Ok(event),
            false => Err(Fault::new(Code::TIMED_OUT, format!("an unexpected answer: {}", event.name()))),
        }
    }
}

/// # Safety
/// The metadata is alive.
unsafe fn copy(metadata: &sys::rd_kafka_metadata_t) -> Vec<TopicMetadata> {
    // SAFETY: `topics` holds `topic_cnt` topics, whose names end with a zero; codes are read as numbers.
    unsafe {
        (0..usize::try_from(metadata.topic_cnt).unwrap_or(0))
            .map(|index| {
                let topic = metadata.topics.add(index);
                TopicMetadata {
                    name: CStr::from_ptr((*topic).topic).to_string_lossy().into(),
                    partitions: (*topic).partition_cnt.max(0) as u32,
                    code: Code((&raw const (*topic).err).cast::<i32>().read()),
                }
            })
            .collect()
    }
}

/// # Safety
/// The caller frees what was pushed.
unsafe fn push_new_topic(objects: &mut Vec<*mut sys::rd_kafka_NewTopic_t>, topic: &NewTopic<'_>) -> Result<(), Fault> {
    let name = c_string(topic.name)?;
    let mut sentence = [0 as c_char; 256];
    // SAFETY: strings end with a zero; the buffer is as long as stated.
    unsafe {
        let object = sys::rd_kafka_NewTopic_new(
            name.as_ptr(),
            topic.partitions,
            topic.replication,
            sentence.as_mut_ptr(),
            sentence.len(),
        );
        if object.is_null() {
            return Err(Fault::new(Code::INVALID_TOPIC, text(sentence.as_ptr())));
        }
        objects.push(object);
        for (setting, value) in &topic.settings {
            let (setting, value): (CString, CString) = (c_string(setting)?, c_string(value)?);
            sys::rd_kafka_NewTopic_set_config(object, setting.as_ptr(), value.as_ptr());
        }
        Ok(())
    }
}

/// # Safety
/// `results` holds `count` live results.
unsafe fn topic_outcomes(results: *mut *const sys::rd_kafka_topic_result_t, count: usize) -> Vec<Outcome> {
    // SAFETY: by the contract above; texts are copied.
    unsafe {
        (0..count)
            .map(|index| {
                let result = *results.add(index);
                let code = Code(rd_kafka_topic_result_error(result));
                let sentence = text(sys::rd_kafka_topic_result_error_string(result));
                let name = text(sys::rd_kafka_topic_result_name(result));
                Outcome { name, fault: code.is_error().then(|| Fault::new(code, sentence)) }
            })
            .collect()
    }
}

/// # Safety
/// `result` is alive.
unsafe fn group_outcome(result: *const sys::rd_kafka_group_result_t) -> Outcome {
    // SAFETY: by the contract above; the error belongs to the result and is copied.
    unsafe {
        let error = sys::rd_kafka_group_result_error(result);
        let fault = (!error.is_null())
            .then(|| Fault::new(Code(rd_kafka_error_code(error)), text(sys::rd_kafka_error_string(error))))
            .filter(|fault| fault.code.is_error());
        Outcome { name: text(sys::rd_kafka_group_result_name(result)), fault }
    }
}

/// librdkafka's version, for logs.
pub(crate) fn library_version() -> String {
    // SAFETY: a constant text.
    unsafe { text(sys::rd_kafka_version_str()) }
}
