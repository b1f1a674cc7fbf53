//! librdkafka as an expert in C uses it: large lists of messages from one queue, records copied once into the producer.
#![expect(unsafe_code, reason = "the ceiling is measured without anything in between")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_void};
use std::time::Duration;

use rdkafka_sys as sys;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Messages taken at once, as the hand-written loop in Python does.
const LIST: usize = 10_000;

const PARTITIONS: usize = 4;

/// What the process has used so far.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: i64,
}

impl Usage {
    pub(crate) fn now() -> Usage {
        // SAFETY: a plain structure of numbers, which the call fills.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
            usage
        };
        let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
        Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), resident_mib: usage.ru_maxrss / 1024 }
    }
}

fn client(kind: sys::rd_kafka_type_t, settings: &[(&str, &str)]) -> Outcome<*mut sys::rd_kafka_t> {
    let mut text = [0 as c_char; 512];
    // SAFETY: names and values end with zeros; the configuration is taken over by the handle when that is made.
    unsafe {
        let configuration = sys::rd_kafka_conf_new();
        for (name, value) in settings {
            let (name, value) = (CString::new(*name)?, CString::new(*value)?);
            let set =
                sys::rd_kafka_conf_set(configuration, name.as_ptr(), value.as_ptr(), text.as_mut_ptr(), text.len());
            if set != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                return Err(CStr::from_ptr(text.as_ptr()).to_string_lossy().into());
            }
        }
        let handle = sys::rd_kafka_new(kind, configuration, text.as_mut_ptr(), text.len());
        if handle.is_null() { Err(CStr::from_ptr(text.as_ptr()).to_string_lossy().into()) } else { Ok(handle) }
    }
}

/// A consumer in a group of its own; its handle ends with the process.
pub(crate) struct Consumer {
    queue: *mut sys::rd_kafka_queue_t,
    pointers: RefCell<Vec<*mut sys::rd_kafka_message_t>>,
    ended: RefCell<BTreeSet<i32>>,
}

impl Consumer {
    pub(crate) fn new(servers: &str, topic: &str) -> Outcome<Consumer> {
        let group = format!("raw-{topic}-{}", std::process::id());
        let settings = [
            ("bootstrap.servers", servers),
            ("group.id", &group),
            ("auto.offset.reset", "earliest"),
            ("auto.commit.interval.ms", "100"),
            ("fetch.queue.backoff.ms", "10"),
            ("enable.partition.eof", "true"),
        ];
        let handle = client(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, &settings)?;
        let topic = CString::new(topic)?;
        // SAFETY: the handle is alive for the rest of the process; the list is copied by the call and given back.
        let queue = unsafe {
            sys::rd_kafka_poll_set_consumer(handle);
            let list = sys::rd_kafka_topic_partition_list_new(1);
            sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), -1);
            let subscribed = sys::rd_kafka_subscribe(handle, list);
            sys::rd_kafka_topic_partition_list_destroy(list);
            if subscribed != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err("the subscription was refused".into());
            }
            sys::rd_kafka_queue_get_consumer(handle)
        };
        let pointers = RefCell::new(vec![std::ptr::null_mut(); LIST]);
        Ok(Consumer { queue, pointers, ended: RefCell::default() })
    }

    /// The next messages; waits for the first of them. Empty when none came in time.
    pub(crate) fn take(&self, patience: Duration) -> Outcome<Messages> {
        const STEP_MS: i32 = 50;
        let mut pointers = self.pointers.borrow_mut();
        for _ in 0..patience.as_millis() as i32 / STEP_MS {
            // SAFETY: there is room for so many pointers; the messages are ours.
            let count = unsafe {
                sys::rd_kafka_consume_batch_queue(self.queue, STEP_MS, pointers.as_mut_ptr(), pointers.len())
            };
            if count > 0 {
                return self.sort(&pointers[..count as usize]);
            }
        }
        Ok(Messages(Vec::new()))
    }

    /// Takes the ends of partitions out.
    fn sort(&self, taken: &[*mut sys::rd_kafka_message_t]) -> Outcome<Messages> {
        let messages = Messages(taken.to_vec());
        for pointer in &messages.0 {
            // SAFETY: a live message; its code is read as a number.
            let (code, partition) =
                unsafe { ((&raw const (**pointer).err).cast::<i32>().read(), (**pointer).partition) };
            match code {
                0 => {}
                code if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32 => {
                    self.ended.borrow_mut().insert(partition);
                }
                // SAFETY: a live message that is an error has a text.
                _ => {
                    return Err(unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(*pointer)) }
                        .to_string_lossy()
                        .into());
                }
            }
        }
        Ok(messages)
    }

    /// Whether each partition was read up to its end.
    pub(crate) fn has_reached_the_end(&self) -> bool {
        self.ended.borrow().len() == PARTITIONS
    }
}

/// Messages and ends of partitions, given back together.
pub(crate) struct Messages(Vec<*mut sys::rd_kafka_message_t>);

impl Messages {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Key and value of each message.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
        // SAFETY: live messages; key and payload are null or so many bytes that live as long.
        self.0.iter().filter_map(|pointer| unsafe {
            let message = &**pointer;
            let key =
                (!message.key.is_null()).then(|| std::slice::from_raw_parts(message.key.cast::<u8>(), message.key_len));
            let is_message = (&raw const message.err).cast::<i32>().read() == 0 && !message.payload.is_null();
            is_message.then(|| (key, std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len)))
        })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for pointer in &self.0 {
            // SAFETY: ours, given back once.
            unsafe { sys::rd_kafka_message_destroy(*pointer) };
        }
    }
}

/// A producer with idempotence; its handle ends with the process.
pub(crate) struct Producer {
    handle: *mut sys::rd_kafka_t,
    topic: *mut sys::rd_kafka_topic_t,
}

impl Producer {
    pub(crate) fn new(servers: &str, topic: &str) -> Outcome<Producer> {
        let settings = [
            ("bootstrap.servers", servers),
            ("enable.idempotence", "true"),
            ("linger.ms", "5"),
            ("queue.buffering.max.messages", "1000000"),
            ("partitioner", "murmur2_random"),
        ];
        let handle = client(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, &settings)?;
        let topic = CString::new(topic)?;
        // SAFETY: the handle is alive for the rest of the process, the name ends with a zero.
        let topic = unsafe { sys::rd_kafka_topic_new(handle, topic.as_ptr(), std::ptr::null_mut()) };
        Ok(Producer { handle, topic })
    }

    /// Queues a record; waits when the queue is full.
    pub(crate) fn send(&self, key: &[u8], value: &[u8]) -> Outcome<()> {
        loop {
            // SAFETY: the bytes live during the call, which copies them because of the flag.
            let (failed, code) = unsafe {
                let failed = sys::rd_kafka_produce(
                    self.topic,
                    -1,
                    sys::RD_KAFKA_MSG_F_COPY,
                    value.as_ptr() as *mut c_void,
                    value.len(),
                    key.as_ptr().cast(),
                    key.len(),
                    std::ptr::null_mut(),
                );
                (failed != 0, sys::rd_kafka_last_error())
            };
            match code {
                _ if !failed => return Ok(()),
                // SAFETY: the handle is alive.
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL => unsafe {
                    sys::rd_kafka_poll(self.handle, 10);
                },
                other => return Err(format!("a record was not taken: {other:?}").into()),
            }
        }
    }

    /// Waits until everything is answered.
    pub(crate) fn flush(&self, patience: Duration) -> Outcome<()> {
        // SAFETY: the handle is alive.
        match unsafe { sys::rd_kafka_flush(self.handle, patience.as_millis() as i32) } {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            other => Err(format!("records were not answered: {other:?}").into()),
        }
    }
}
