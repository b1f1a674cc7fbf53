//! Who wants to know what became of a record, and how they are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use beltline_engine::{Receipt, TopicId};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::raw::slots::{is_ours_alone, is_unheld};

/// Who wants to know where a record went.
pub enum Receiver {
    /// A function, called with the address.
    Function(Py<PyAny>),
    /// An object whose method `deliver` is called with the address, or `refuse` with the reason, if somebody else still
    /// holds it then.
    Receipt(Py<PyAny>),
}

impl Receiver {
    /// The one of the two that is there.
    pub fn of(function: Option<Py<PyAny>>, receipt: Option<Py<PyAny>>) -> Option<Receiver> {
        function.map(Receiver::Function).or_else(|| receipt.map(Receiver::Receipt))
    }

    fn object(&self) -> &Py<PyAny> {
        match self {
            Receiver::Function(object) | Receiver::Receipt(object) => object,
        }
    }
}

/// Where a record went.
pub struct SentTo {
    pub topic: TopicId,
    pub partition: u32,
    pub sequence: u64,
}

/// Somebody who wants to know what becomes of a record.
struct Delivery {
    sequence: u64,
    timestamp: i64,
    receiver: Receiver,
}

/// What became of a record.
enum Fate {
    Written { offset: i64, timestamp: i64 },
    Refused { reason: &'static str, comes_again: bool },
}

/// A delivery to report.
pub struct Report {
    receiver: Receiver,
    topic: Arc<str>,
    partition: u32,
    fate: Fate,
}

impl Report {
    /// Tells whoever wants to know; what that raises has nobody to go to.
    pub fn tell(self, py: Python<'_>) {
        let (topic, partition) = (&*self.topic, self.partition);
        let told = match (&self.receiver, &self.fate) {
            // Only this report knows of it: nobody waits.
            (Receiver::Receipt(receipt), _) if is_ours_alone(receipt, py) => return,
            (Receiver::Function(_), Fate::Refused { .. }) => return,
            (Receiver::Function(function), Fate::Written { offset, timestamp }) => {
                function.call1(py, (topic, partition, offset, timestamp))
            }
            (Receiver::Receipt(receipt), Fate::Written { offset, timestamp }) => {
                receipt.call_method1(py, intern!(py, "deliver"), (topic, partition, offset, timestamp))
            }
            (Receiver::Receipt(receipt), Fate::Refused { reason, comes_again }) => {
                receipt.call_method1(py, intern!(py, "refuse"), (topic, partition, reason, comes_again))
            }
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(self.receiver.object().bind(py)));
        }
    }
}

/// Everybody who waits, by partition and in the order of their sends.
#[derive(Default)]
pub struct Deliveries {
    waiting: BTreeMap<(TopicId, u32), VecDeque<Delivery>>,
}

impl Deliveries {
    /// Somebody wants to know where this record goes, which has this timestamp, or a negative one for that of the log.
    pub fn add(&mut self, sent: &SentTo, timestamp: i64, receiver: Receiver) {
        let waiting = self.waiting.entry((sent.topic, sent.partition)).or_default();
        waiting.push_back(Delivery { sequence: sent.sequence, timestamp, receiver });
    }

    /// The receipt of a record, if nobody else holds it and no other record went to its partition since: the log's answer
    /// is then for nobody.
    pub fn take_back(&mut self, py: Python<'_>, sent: &SentTo) -> Option<Py<PyAny>> {
        let waiting = self.waiting.get_mut(&(sent.topic, sent.partition))?;
        let is_unheld = waiting.back().is_some_and(|delivery| {
            delivery.sequence == sent.sequence
                && matches!(&delivery.receiver, Receiver::Receipt(receipt) if is_unheld(receipt, py))
        });
        if !is_unheld {
            return None;
        }
        match waiting.pop_back()?.receiver {
            Receiver::Receipt(receipt) => Some(receipt),
            Receiver::Function(_) => None,
        }
    }

    /// Takes out whom a receipt concerns.
    pub fn settle(&mut self, receipt: &Receipt, topic: &Arc<str>, now_ms: i64, reports: &mut Vec<Report>) {
        let Some(waiting) = self.waiting.get_mut(&(receipt.topic, receipt.partition)) else { return };
        let first = waiting.partition_point(|delivery| delivery.sequence < receipt.first_sequence);
        let end = receipt.first_sequence + u64::from(receipt.count);
        let behind = waiting.partition_point(|delivery| delivery.sequence < end);
        reports.extend(waiting.drain(first..behind).map(|delivery| {
            let fate = match receipt.offset(delivery.sequence) {
                Some(offset) => {
                    let timestamp = if delivery.timestamp < 0 { now_ms } else { delivery.timestamp };
                    Fate::Written { offset, timestamp }
                }
                None => {
                    let reason = "the commit that it belonged to was rolled back";
                    Fate::Refused { reason, comes_again: receipt.comes_again }
                }
            };
            Report { receiver: delivery.receiver, topic: topic.clone(), partition: receipt.partition, fate }
        }));
    }

    /// The worker has ended: nobody will say what becomes of the rest.
    pub fn give_up(&mut self, name: impl Fn(TopicId) -> Arc<str>, reports: &mut Vec<Report>) {
        for ((topic, partition), waiting) in std::mem::take(&mut self.waiting) {
            let topic = name(topic);
            reports.extend(waiting.into_iter().map(|delivery| {
                let fate = Fate::Refused { reason: "the app stopped before it was committed", comes_again: false };
                Report { receiver: delivery.receiver, topic: topic.clone(), partition, fate }
            }));
        }
    }

    /// For the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.waiting.values().flatten().try_for_each(|delivery| visit.call(delivery.receiver.object()))
    }
}
