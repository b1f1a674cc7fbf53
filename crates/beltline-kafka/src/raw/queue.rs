//! Queues: events of a handle, and messages of one partition drained in batches.
#![expect(unsafe_code, reason = "queues, events and messages are C")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use beltline_types::{Offset, Timestamp};
use rdkafka_sys as sys;

use super::client::{Client, c_string};
use super::code::{Code, Fault, text};
use super::list::{Entry, entries};
use crate::signal::Signal;

// The bindings return an enumeration here; a number outside of it would be undefined behaviour.
unsafe extern "C" {
    fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> i32;
}

unsafe extern "C" {
    fn beltline_may_have_headers(message: *const sys::rd_kafka_message_t) -> c_int;
}

/// The kind of an event that changes what is assigned.
pub(crate) const REBALANCE_EVENT: i32 = sys::RD_KAFKA_EVENT_REBALANCE;

/// A queue of one handle.
pub(crate) struct Queue {
    pointer: NonNull<sys::rd_kafka_queue_t>,
    client: Arc<Client>,
    /// What the queue's own callback points to while it is set.
    signal: Option<Arc<Signal>>,
}

// SAFETY: queues have locks of their own.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    fn own(pointer: *mut sys::rd_kafka_queue_t, client: &Arc<Client>) -> Result<Queue, Fault> {
        let missing = || Fault::new(Code::UNKNOWN_PARTITION_HERE, "the Kafka client has no such queue");
        Ok(Queue { pointer: NonNull::new(pointer).ok_or_else(missing)?, client: client.clone(), signal: None })
    }

    /// A fresh queue for answers.
    pub(crate) fn new(client: &Arc<Client>) -> Result<Queue, Fault> {
        // SAFETY: the handle is alive; the queue is ours.
        Queue::own(unsafe { sys::rd_kafka_queue_new(client.raw()) }, client)
    }

    /// The queue on which a consumer gets its rebalances and errors.
    pub(crate) fn of_consumer(client: &Arc<Client>) -> Result<Queue, Fault> {
        // SAFETY: as above.
        Queue::own(unsafe { sys::rd_kafka_queue_get_consumer(client.raw()) }, client)
    }

    /// The queue of one partition, cut off from the consumer's own; to be taken before the partition is assigned.
    pub(crate) fn of_partition(
        client: &Arc<Client>,
        topic: &str,
        partition: u32,
        signal: &Arc<Signal>,
    ) -> Result<Queue, Fault> {
        let topic = c_string(topic)?;
        // SAFETY: the handle is alive, the name ends with a zero.
        let pointer = unsafe { sys::rd_kafka_queue_get_partition(client.raw(), topic.as_ptr(), partition as i32) };
        let mut queue = Queue::own(pointer, client)?;
        // SAFETY: the queue is alive. The signal is kept until `drop` has taken the callback away, and librdkafka calls
        // it with the queue's lock held, under which it is taken away too.
        unsafe {
            sys::rd_kafka_queue_forward(queue.raw(), std::ptr::null_mut());
            sys::rd_kafka_queue_cb_event_enable(queue.raw(), Some(on_ready), Arc::as_ptr(signal) as *mut c_void);
        }
        queue.signal = Some(signal.clone());
        Ok(queue)
    }

    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_queue_t {
        self.pointer.as_ptr()
    }

    /// Waits for an event.
    pub(crate) fn poll(&self, timeout_ms: c_int) -> Option<Event> {
        // SAFETY: the queue is alive; the event is ours.
        let pointer = unsafe { sys::rd_kafka_queue_poll(self.raw(), timeout_ms) };
        NonNull::new(pointer).map(|pointer| Event { pointer, _client: self.client.clone() })
    }

    /// Ends a wait that is under way.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_yield(self.raw()) };
    }

    /// Takes up to `most` messages that are there, without waiting.
    pub(crate) fn drain(&self, into: &mut Drained, most: usize) {
        into.clear();
        into.pointers.resize(most, std::ptr::null_mut());
        // SAFETY: there is room for `most` pointers; messages received are ours to destroy.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.raw(), 0, into.pointers.as_mut_ptr(), most) };
        into.pointers.truncate(usize::try_from(count).unwrap_or(0));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and the handle still alive; without its callback nobody uses the signal.
        unsafe {
            if self.signal.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.raw(), None, std::ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.raw());
        }
    }
}

unsafe extern "C" fn on_ready(_: *mut sys::rd_kafka_t, signal: *mut c_void) {
    // SAFETY: the queue keeps its signal while this callback is set. Raising it neither panics nor calls librdkafka.
    unsafe { &*signal.cast::<Signal>() }.raise();
}

/// Something a handle has to say.
pub(crate) struct Event {
    pointer: NonNull<sys::rd_kafka_event_t>,
    /// Destroyed after the event.
    _client: Arc<Client>,
}

impl Event {
    pub(crate) fn raw(&self) -> *mut sys::rd_kafka_event_t {
        self.pointer.as_ptr()
    }

    /// One of `RD_KAFKA_EVENT_…`.
    pub(crate) fn kind(&self) -> i32 {
        // SAFETY: the event is alive.
        unsafe { sys::rd_kafka_event_type(self.raw()) }
    }

    pub(crate) fn fault(&self) -> Fault {
        // SAFETY: the event is alive; its text is copied.
        unsafe {
            let code = Code(rd_kafka_event_error(self.raw()));
            // Only an error has room for the flag: of any other event librdkafka would read what lies behind it.
            let fatal = self.kind() == sys::RD_KAFKA_EVENT_ERROR && sys::rd_kafka_event_error_is_fatal(self.raw()) != 0;
            let sentence = text(sys::rd_kafka_event_error_string(self.raw()));
            if fatal {
                // The code of a fatal event is only `_FATAL`; the handle knows the cause.
                return self._client.fatal_error().unwrap_or(Fault { fatal, ..Fault::new(code, sentence) });
            }
            Fault::new(code, sentence)
        }
    }

    /// The partitions of a rebalance or of a commit's answer.
    pub(crate) fn partitions(&self) -> Vec<Entry> {
        // SAFETY: the event is alive and so is its list, which is copied.
        unsafe { entries(sys::rd_kafka_event_topic_partition_list(self.raw())) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.raw()) };
    }
}

/// Messages taken from a queue and not yet used up.
#[derive(Default)]
pub(crate) struct Drained {
    pointers: Vec<*mut sys::rd_kafka_message_t>,
    used: usize,
}

// SAFETY: messages are not tied to a thread.
unsafe impl Send for Drained {}

impl Drained {
    /// The next message.
    pub(crate) fn peek(&self) -> Option<Message<'_>> {
        // SAFETY: pointers behind `used` are live messages of ours, borrowed for as long as `self`.
        self.pointers.get(self.used).map(|pointer| Message { message: unsafe { &**pointer } })
    }

    /// Destroys the message that [`Drained::peek`] shows.
    pub(crate) fn advance(&mut self) {
        if let Some(pointer) = self.pointers.get(self.used) {
            // SAFETY: live and ours; never looked at again, as `used` moves on.
            unsafe { sys::rd_kafka_message_destroy(*pointer) };
            self.used += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == self.pointers.len()
    }

    pub(crate) fn clear(&mut self) {
        while !self.is_empty() {
            self.advance();
        }
        self.pointers.clear();
        self.used = 0;
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A message, borrowed; its bytes lie in the buffer of the fetch.
pub(crate) struct Message<'a> {
    message: &'a sys::rd_kafka_message_t,
}

impl<'a> Message<'a> {
    pub(crate) fn code(&self) -> Code {
        // SAFETY: the message is alive; read as a number, see the rules of `raw`.
        Code(unsafe { (&raw const self.message.err).cast::<i32>().read() })
    }

    /// The sentence of a message that is an error.
    pub(crate) fn sentence(&self) -> String {
        // SAFETY: the message is alive; the text is copied.
        unsafe { text(sys::rd_kafka_message_errstr(self.message)) }
    }

    #[inline]
    pub(crate) fn offset(&self) -> Offset {
        self.message.offset
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: null or so many bytes, alive as long as the message.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    #[inline]
    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    #[inline]
    pub(crate) fn timestamp(&self) -> Timestamp {
        // SAFETY: the message is alive; the kind of the timestamp is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.message, std::ptr::null_mut()) }
    }

    /// Whether it is worth asking for headers: that alone costs as much as the rest of a message.
    #[inline]
    pub(crate) fn may_have_headers(&self) -> bool {
        // SAFETY: the message is alive and was consumed; a field of it is read.
        unsafe { beltline_may_have_headers(self.message) != 0 }
    }

    /// Shows each header in order.
    #[inline]
    pub(crate) fn for_each_header(&self, mut show: impl FnMut(&'a [u8], Option<&'a [u8]>)) {
        let mut headers: *mut sys::rd_kafka_headers_t = std::ptr::null_mut();
        // SAFETY: the message is alive and owns the headers it hands out; names end with a zero; values are null or so
        // many bytes. All live as long as the message.
        unsafe {
            let found = sys::rd_kafka_message_headers(self.message, &raw mut headers);
            if Code::from(found).is_error() || headers.is_null() {
                return;
            }
            let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) =
                (std::ptr::null(), std::ptr::null(), 0);
            for index in 0.. {
                let found = sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                if Code::from(found).is_error() {
                    return;
                }
                show(std::ffi::CStr::from_ptr(name).to_bytes(), bytes(value, size));
            }
        }
    }
}

/// # Safety
/// `pointer` is null or points to `length` bytes that live for `'a`.
#[inline]
unsafe fn bytes<'a>(pointer: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: by the contract above.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) })
}
