//! What producers can do.
#![expect(unsafe_code, reason = "calls into C")]

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use beltline_types::{HeaderIter, RecordView};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_vtype_t as Tag;

use super::client::{Client, c_string};
use super::code::{Code, Fault};
use super::consumer::GroupMetadata;
use super::list::PartitionList;

unsafe extern "C" {
    fn beltline_look_for_coordinators(rk: *mut sys::rd_kafka_t);
}

/// A topic as a producer knows it, so that a record needs no search for its name.
pub(crate) struct TopicHandle {
    pointer: NonNull<sys::rd_kafka_topic_t>,
    client: Arc<Client>,
}

// SAFETY: topic handles are counted references with locks of their own.
unsafe impl Send for TopicHandle {}

impl TopicHandle {
    pub(crate) fn new(client: &Arc<Client>, topic: &str) -> Result<TopicHandle, Fault> {
        let name = c_string(topic)?;
        // SAFETY: the handle is alive, the name ends with a zero, no settings of its own are given.
        let pointer = unsafe { sys::rd_kafka_topic_new(client.raw(), name.as_ptr(), std::ptr::null_mut()) };
        let refused = || Fault::new(Code::INVALID_TOPIC, format!("{topic} is no name for a topic"));
        Ok(TopicHandle { pointer: NonNull::new(pointer).ok_or_else(refused)?, client: client.clone() })
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_topic_t {
        self.pointer.as_ptr()
    }

    /// Queues records with one call, from number `from` of the bundle on; their bytes are copied. What comes back is the
    /// first one that was not taken; when the queue was full, none behind it was taken either.
    pub(crate) fn produce_all(&self, partition: u32, bundle: &mut Bundle<'_>, from: usize) -> Option<(usize, Fault)> {
        let messages = bundle.messages.get_mut(from..)?;
        let (count, flags) = (messages.len(), sys::RD_KAFKA_MSG_F_COPY as c_int);
        // SAFETY: so many messages, whose keys and values are null or alive as long as the bundle; the call copies them
        // and writes nothing but the codes.
        let taken = unsafe {
            let pointer = messages.as_mut_ptr();
            sys::rd_kafka_produce_batch(self.raw(), partition as i32, flags, pointer, count as c_int)
        };
        if taken as usize == count {
            return None;
        }
        // SAFETY: the codes lie in our own array; read as numbers, see the rules of `raw`.
        let code = |message: &sys::rd_kafka_message_t| Code(unsafe { (&raw const message.err).cast::<i32>().read() });
        let codes = messages.iter().map(code).enumerate();
        codes.into_iter().find(|(_, code)| code.is_error()).map(|(index, code)| (from + index, Fault::of(code)))
    }

    /// Queues one record, whose bytes are copied; a timestamp of 0 is the time of this call. `tag` comes back with the
    /// delivery.
    pub(crate) fn produce(&self, partition: u32, record: &RecordView<'_>, tag: usize) -> Result<(), Fault> {
        let headers = match record.raw_headers() {
            [] => std::ptr::null_mut(),
            encoded => encode(HeaderIter::new(encoded)),
        };
        let (key, key_len) = parts(record.key);
        let (value, value_len) = parts(record.value);
        // SAFETY: the arguments are pairs of a tag and what the tag stands for, of the types librdkafka reads for it,
        // and end with the end tag. Key and value are null or alive during the call, which copies them. The headers are
        // taken over when the call succeeds and destroyed here when it does not.
        unsafe {
            let code = Code::from(sys::rd_kafka_producev(
                self.client.raw(),
                Tag::RD_KAFKA_VTYPE_RKT as c_int,
                self.raw(),
                Tag::RD_KAFKA_VTYPE_PARTITION as c_int,
                partition as i32 as c_int,
                Tag::RD_KAFKA_VTYPE_MSGFLAGS as c_int,
                sys::RD_KAFKA_MSG_F_COPY as c_int,
                Tag::RD_KAFKA_VTYPE_KEY as c_int,
                key,
                key_len,
                Tag::RD_KAFKA_VTYPE_VALUE as c_int,
                value,
                value_len,
                Tag::RD_KAFKA_VTYPE_TIMESTAMP as c_int,
                record.timestamp.max(0),
                Tag::RD_KAFKA_VTYPE_OPAQUE as c_int,
                tag as *mut c_void,
                // A null here is "no headers".
                Tag::RD_KAFKA_VTYPE_HEADERS as c_int,
                headers,
                Tag::RD_KAFKA_VTYPE_END as c_int,
            ));
            if code.is_error() && !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            Fault::check(code)
        }
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: ours, given back once, before the handle it came from.
        unsafe { sys::rd_kafka_topic_destroy(self.raw()) };
    }
}

/// Records of one partition with nothing but key and value.
#[derive(Default)]
pub(crate) struct Bundle<'a> {
    messages: Vec<sys::rd_kafka_message_t>,
    records: PhantomData<RecordView<'a>>,
}

impl<'a> Bundle<'a> {
    /// Most records handed over at once: enough that the call itself costs nothing.
    pub(crate) const MOST: usize = 1024;

    /// Whether a record has nothing that a bundle cannot carry; its time is then that of the call.
    #[inline]
    pub(crate) fn takes(record: &RecordView<'_>) -> bool {
        record.timestamp <= 0 && record.raw_headers().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Bytes of key and value of a record.
    pub(crate) fn record_bytes(&self, index: usize) -> Option<usize> {
        self.messages.get(index).map(|message| message.key_len + message.len)
    }

    /// Adds a record; `tag` comes back with the delivery.
    #[inline]
    pub(crate) fn push(&mut self, record: &RecordView<'a>, tag: usize) {
        let (key, key_len) = parts(record.key);
        let (payload, len) = parts(record.value);
        self.messages.push(sys::rd_kafka_message_t {
            err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: std::ptr::null_mut(),
            partition: 0,
            payload: payload.cast_mut(),
            len,
            key: key.cast_mut(),
            key_len,
            offset: 0,
            _private: tag as *mut c_void,
        });
    }
}

/// Null for a null, and never null for bytes, even when there are none of them.
#[inline]
fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((std::ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

fn encode(headers: HeaderIter<'_>) -> *mut sys::rd_kafka_headers_t {
    // SAFETY: the headers object is ours until it is handed to a record; names and values are copied with their
    // lengths.
    unsafe {
        let object = sys::rd_kafka_headers_new(8);
        for (name, value) in headers {
            let (value, value_len) = parts(value);
            let name_len = name.len() as isize;
            sys::rd_kafka_header_add(object, name.as_ptr().cast(), name_len, value, value_len as isize);
        }
        object
    }
}

// SAFETY of all blocks below: the handle is alive as long as `self`, lists and group metadata as long as their borrow;
// error objects that come back are ours. Callbacks run on this thread meanwhile, see `client`.
impl Client {
    /// Sends what is queued, without lingering, until all of it is answered.
    pub(crate) fn flush(&self, timeout_ms: c_int) -> Result<(), Fault> {
        // SAFETY: see above.
        Fault::check(unsafe { sys::rd_kafka_flush(self.raw(), timeout_ms) })
    }

    /// Has librdkafka look again for coordinators that requests wait for; without it they may wait for ever, see the shim.
    pub(crate) fn look_for_coordinators(&self) {
        // SAFETY: see above. The call only queues an operation, which owns what it needs.
        unsafe { beltline_look_for_coordinators(self.raw()) };
    }

    pub(crate) fn init_transactions(&self, timeout_ms: c_int) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_init_transactions(self.raw(), timeout_ms)) }
    }

    pub(crate) fn begin_transaction(&self) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_begin_transaction(self.raw())) }
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &PartitionList,
        group: &GroupMetadata,
        timeout_ms: c_int,
    ) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe {
            let answer = sys::rd_kafka_send_offsets_to_transaction(self.raw(), offsets.raw(), group.raw(), timeout_ms);
            Fault::take(answer)
        }
    }

    /// Flushes and commits.
    pub(crate) fn commit_transaction(&self, timeout_ms: c_int) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_commit_transaction(self.raw(), timeout_ms)) }
    }

    pub(crate) fn abort_transaction(&self, timeout_ms: c_int) -> Result<(), Fault> {
        // SAFETY: see above.
        unsafe { Fault::take(sys::rd_kafka_abort_transaction(self.raw(), timeout_ms)) }
    }
}
