//! Our errors as Kafka's codes.

use beltline_types::{Error, ErrorKind};
use kafka_protocol::error::ResponseError;

use crate::group;
use crate::records::Refused;
use crate::transaction;

/// The code for "no error".
pub(super) const NONE: i16 = 0;

/// What the log says.
pub(super) fn of_log(error: &Error) -> ResponseError {
    match error.kind() {
        ErrorKind::NotFound => ResponseError::UnknownTopicOrPartition,
        ErrorKind::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
        ErrorKind::Corrupt => ResponseError::CorruptMessage,
        ErrorKind::Storage | ErrorKind::DataDirectory => ResponseError::KafkaStorageError,
        ErrorKind::Usage => ResponseError::InvalidRequest,
        ErrorKind::Limit => ResponseError::RequestTimedOut,
        _ => ResponseError::UnknownServerError,
    }
}

pub(super) fn of_batch(refused: Refused) -> ResponseError {
    match refused {
        Refused::Corrupt => ResponseError::CorruptMessage,
        Refused::Invalid(_) => ResponseError::InvalidRecord,
        Refused::TooLarge => ResponseError::MessageTooLarge,
    }
}

pub(super) fn of_group(denied: group::Denied) -> ResponseError {
    match denied {
        group::Denied::InvalidGroupId => ResponseError::InvalidGroupId,
        group::Denied::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        group::Denied::UnknownMember => ResponseError::UnknownMemberId,
        group::Denied::MemberIdRequired => ResponseError::MemberIdRequired,
        group::Denied::FencedInstance => ResponseError::FencedInstanceId,
        group::Denied::IllegalGeneration => ResponseError::IllegalGeneration,
        group::Denied::InconsistentProtocol => ResponseError::InconsistentGroupProtocol,
        group::Denied::RebalanceInProgress => ResponseError::RebalanceInProgress,
        group::Denied::GroupFull => ResponseError::GroupMaxSizeReached,
        group::Denied::NonEmptyGroup => ResponseError::NonEmptyGroup,
        group::Denied::GroupNotFound => ResponseError::GroupIdNotFound,
        group::Denied::SubscribedToTopic => ResponseError::GroupSubscribedToTopic,
    }
}

/// `knows_fenced`: whether this version of the request has the newer code for it.
pub(super) fn of_transaction(denied: transaction::Denied, knows_fenced: bool) -> ResponseError {
    match denied {
        transaction::Denied::UnknownProducer => ResponseError::InvalidProducerIdMapping,
        transaction::Denied::Fenced if knows_fenced => ResponseError::ProducerFenced,
        transaction::Denied::Fenced => ResponseError::InvalidProducerEpoch,
        transaction::Denied::InvalidState => ResponseError::InvalidTxnState,
        transaction::Denied::Busy => ResponseError::ConcurrentTransactions,
        transaction::Denied::InvalidTimeout => ResponseError::InvalidTransactionTimeout,
        // Neither is retried: the client is to abort.
        transaction::Denied::TooLarge => ResponseError::PolicyViolation,
        transaction::Denied::SecondGroup | transaction::Denied::TooMany => ResponseError::InvalidRequest,
    }
}
