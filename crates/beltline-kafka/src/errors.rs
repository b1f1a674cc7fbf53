//! From librdkafka's codes to errors that say who must act.

use std::time::Duration;

use beltline_types::{Error, ErrorKind};

use crate::health::Health;
use crate::raw::code::{Code, Fault};

/// What is behind a code.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::UNKNOWN_TOPIC_OR_PARTITION | Code::UNKNOWN_PARTITION_HERE | Code::UNKNOWN_TOPIC_HERE => {
            ErrorKind::NotFound
        }
        Code::TOPIC_AUTHORIZATION_FAILED
        | Code::GROUP_AUTHORIZATION_FAILED
        | Code::CLUSTER_AUTHORIZATION_FAILED
        | Code::TRANSACTION_AUTHORIZATION_FAILED
        | Code::SASL_AUTHENTICATION_FAILED
        | Code::AUTHENTICATION => ErrorKind::Unauthorized,
        Code::MESSAGE_TOO_LARGE | Code::RECORD_LIST_TOO_LARGE => ErrorKind::Limit,
        Code::OUT_OF_RANGE | Code::AUTO_OFFSET_RESET | Code::LOG_TRUNCATION => ErrorKind::OffsetOutOfRange,
        Code::FENCED_HERE | Code::PRODUCER_FENCED | Code::INVALID_PRODUCER_EPOCH | Code::FENCED_INSTANCE => {
            ErrorKind::Fenced
        }
        Code::INVALID_TOPIC | Code::INVALID_PARTITIONS | Code::INVALID_REPLICATION_FACTOR | Code::INVALID_CONFIG => {
            ErrorKind::Usage
        }
        code if is_transient(code) => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// What is behind a report of librdkafka. A connection that breaks in the middle of a SASL handshake is reported like
/// credentials that a broker has refused.
pub(crate) fn cause_of(code: Code, sentence: &str) -> Code {
    match code {
        Code::AUTHENTICATION if sentence.contains("failed: Local: ") => Code::TRANSPORT,
        code => code,
    }
}

/// Whether waiting may help.
pub(crate) fn is_transient(code: Code) -> bool {
    [
        Code::TRANSPORT,
        Code::RESOLVE,
        Code::ALL_BROKERS_DOWN,
        Code::SSL,
        Code::TIMED_OUT,
        Code::TIMED_OUT_IN_QUEUE,
        Code::MESSAGE_TIMED_OUT,
        Code::REQUEST_TIMED_OUT,
        Code::WAIT_COORDINATOR,
        Code::LEADER_NOT_AVAILABLE,
        Code::NOT_LEADER,
        Code::COORDINATOR_LOADING,
        Code::COORDINATOR_NOT_AVAILABLE,
        Code::NOT_COORDINATOR,
        Code::NOT_ENOUGH_REPLICAS,
        Code::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code::UNSTABLE_OFFSET_COMMIT,
        // A new leader does not know yet where its partition ends, or who asks does not know the new leader.
        Code::OFFSET_NOT_AVAILABLE,
        Code::FENCED_LEADER_EPOCH,
        Code::UNKNOWN_LEADER_EPOCH,
        Code::REPLICA_NOT_AVAILABLE,
        Code::BROKER_NOT_AVAILABLE,
        Code::NETWORK,
        Code::BROKER_STORAGE,
        Code::CONCURRENT_TRANSACTIONS,
    ]
    .contains(&code)
}

/// Whether a rebalance is under way or has just been, so that the same may work in the next generation.
pub(crate) fn is_rebalance(code: Code) -> bool {
    [Code::ILLEGAL_GENERATION, Code::UNKNOWN_MEMBER, Code::REBALANCE_IN_PROGRESS].contains(&code)
}

/// The error for a failed call; `doing` begins the sentence and names topic, group or partition.
pub(crate) fn error(health: &Health, doing: &str, waited: Duration, fault: &Fault) -> Error {
    let cure = match kind_of(fault.code) {
        ErrorKind::Unavailable => return health.unavailable(doing, waited, fault),
        ErrorKind::Unauthorized => "; ask whoever keeps the brokers for the right, or check the credentials",
        ErrorKind::NotFound => "; create it, or correct the name",
        _ => "",
    };
    Error::new(kind_of(fault.code), format!("{doing}: {fault}{cure}"))
}
