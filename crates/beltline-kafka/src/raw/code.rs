//! Error codes and errors of librdkafka.
#![expect(unsafe_code, reason = "texts and flags come from C")]

use std::ffi::{CStr, c_char};
use std::fmt;

use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Known;

// The bindings return an enumeration here; a number outside of it would be undefined behaviour.
unsafe extern "C" {
    fn rd_kafka_err2str(code: i32) -> *const c_char;
    fn rd_kafka_err2name(code: i32) -> *const c_char;
    fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> i32;
}

/// A code of librdkafka (negative) or of a broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(pub(crate) i32);

macro_rules! codes {
    ($($name:ident = $known:ident),* $(,)?) => {
        impl Code { $(pub(crate) const $name: Code = Code(Known::$known as i32);)* }
    };
}

codes! {
    NONE = RD_KAFKA_RESP_ERR_NO_ERROR,
    TRANSPORT = RD_KAFKA_RESP_ERR__TRANSPORT,
    RESOLVE = RD_KAFKA_RESP_ERR__RESOLVE,
    ALL_BROKERS_DOWN = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    SSL = RD_KAFKA_RESP_ERR__SSL,
    AUTHENTICATION = RD_KAFKA_RESP_ERR__AUTHENTICATION,
    MESSAGE_TIMED_OUT = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
    TIMED_OUT = RD_KAFKA_RESP_ERR__TIMED_OUT,
    TIMED_OUT_IN_QUEUE = RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
    PARTITION_EOF = RD_KAFKA_RESP_ERR__PARTITION_EOF,
    UNKNOWN_PARTITION_HERE = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    UNKNOWN_TOPIC_HERE = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    QUEUE_FULL = RD_KAFKA_RESP_ERR__QUEUE_FULL,
    AUTO_OFFSET_RESET = RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
    LOG_TRUNCATION = RD_KAFKA_RESP_ERR__LOG_TRUNCATION,
    ASSIGN_PARTITIONS = RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS,
    FENCED_HERE = RD_KAFKA_RESP_ERR__FENCED,
    WAIT_COORDINATOR = RD_KAFKA_RESP_ERR__WAIT_COORD,
    NO_OFFSET = RD_KAFKA_RESP_ERR__NO_OFFSET,
    OUT_OF_RANGE = RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
    UNKNOWN_TOPIC_OR_PARTITION = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    LEADER_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    NOT_LEADER = RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    REQUEST_TIMED_OUT = RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    MESSAGE_TOO_LARGE = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    INVALID_TIMESTAMP = RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    COORDINATOR_LOADING = RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    NOT_COORDINATOR = RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    INVALID_TOPIC = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    NOT_ENOUGH_REPLICAS = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ILLEGAL_GENERATION = RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL = RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
    UNKNOWN_MEMBER = RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    REBALANCE_IN_PROGRESS = RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    TOPIC_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    GROUP_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    CLUSTER_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    TRANSACTION_AUTHORIZATION_FAILED = RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    SASL_AUTHENTICATION_FAILED = RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    TOPIC_EXISTS = RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS,
    INVALID_PARTITIONS = RD_KAFKA_RESP_ERR_INVALID_PARTITIONS,
    INVALID_REPLICATION_FACTOR = RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
    INVALID_CONFIG = RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    RECORD_LIST_TOO_LARGE = RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    INVALID_PRODUCER_EPOCH = RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    PRODUCER_FENCED = RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
    NON_EMPTY_GROUP = RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP,
    GROUP_ID_NOT_FOUND = RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND,
    FENCED_INSTANCE = RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    OFFSET_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
    FENCED_LEADER_EPOCH = RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    UNKNOWN_LEADER_EPOCH = RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    REPLICA_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    BROKER_NOT_AVAILABLE = RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    NETWORK = RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    BROKER_STORAGE = RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    CONCURRENT_TRANSACTIONS = RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
    UNSTABLE_OFFSET_COMMIT = RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
}

impl Code {
    /// Its name in the protocol, such as `ILLEGAL_GENERATION`.
    pub(crate) fn name(self) -> String {
        // SAFETY: any number is answered with a string; that of an unknown one lies in a buffer of this thread, so it is
        // copied before anything else is called.
        unsafe { text(rd_kafka_err2name(self.0)) }
    }

    /// librdkafka's sentence for it.
    pub(crate) fn text(self) -> String {
        // SAFETY: as above.
        unsafe { text(rd_kafka_err2str(self.0)) }
    }

    pub(crate) fn is_error(self) -> bool {
        self != Code::NONE
    }
}

impl From<Known> for Code {
    fn from(known: Known) -> Code {
        Code(known as i32)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())
    }
}

/// What a call of librdkafka answered when it failed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) text: String,
    /// The handle is of no use any more.
    pub(crate) fatal: bool,
    /// The same call may work later.
    pub(crate) retriable: bool,
    /// The transaction can only be aborted.
    pub(crate) abortable: bool,
}

impl Fault {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Fault {
        Fault { code, text: text.into(), fatal: false, retriable: false, abortable: false }
    }

    /// An error with librdkafka's own sentence.
    pub(crate) fn of(code: Code) -> Fault {
        Fault::new(code, code.text())
    }

    /// Nothing, or the code as an error.
    pub(crate) fn check(code: impl Into<Code>) -> Result<(), Fault> {
        let code = code.into();
        if code.is_error() { Err(Fault::of(code)) } else { Ok(()) }
    }

    /// Takes an error object over; null is success.
    ///
    /// # Safety
    /// `error` is null or came from librdkafka and belongs to the caller.
    pub(crate) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), Fault> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: not null and ours by the contract above; texts are copied before it is destroyed.
        unsafe {
            let fault = Fault {
                code: Code(rd_kafka_error_code(error)),
                text: text(sys::rd_kafka_error_string(error)),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(fault)
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.text, self.code.name())
    }
}

impl std::error::Error for Fault {}

/// Copies a C string; null gives an empty one.
///
/// # Safety
/// `pointer` is null or points to bytes that end with a zero.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
