//! A producer's handle: records of a unit go in, their fates come back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beltline_types::{Append, Appended, Error, ErrorKind, RecordView, Result, TopicPartition};

use crate::context::Context;
use crate::deliveries::{Deliveries, MOST_APPENDS, MOST_RECORDS};
use crate::errors::kind_of;
use crate::health::Deadline;
use crate::raw::client::{Client, Role};
use crate::raw::code::{Code, Fault};
use crate::raw::producer::{Bundle, TopicHandle};
use crate::topics;

struct Topic {
    handle: TopicHandle,
    partitions: u32,
}

/// What brokers count of a record, about.
fn byte_len(record: &RecordView<'_>) -> usize {
    let part = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    part(record.key) + part(record.value) + record.raw_headers().len()
}

/// A librdkafka producer and what it knows of topics.
pub(crate) struct Producer {
    context: Arc<Context>,
    /// Asked whether topics exist: a question from a producer would create them on brokers that do so.
    asking: Arc<Client>,
    topics: BTreeMap<Arc<str>, Topic>,
    deliveries: Arc<Mutex<Deliveries>>,
    pub(crate) client: Arc<Client>,
}

impl Producer {
    pub(crate) fn new(context: &Arc<Context>, asking: &Arc<Client>) -> Result<Producer> {
        let deliveries = Arc::new(Mutex::new(Deliveries::default()));
        let take = deliveries.clone();
        let delivered = Box::new(move |delivery| {
            take.lock().unwrap_or_else(PoisonError::into_inner).take(delivery);
        });
        let client = context.client(Role::Producer, None, Some(delivered))?;
        let (context, asking) = (context.clone(), asking.clone());
        Ok(Producer { context, asking, topics: BTreeMap::new(), deliveries, client })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues all records of a unit. After a failure some of them are queued.
    pub(crate) fn enqueue(&mut self, appends: &[Append], deadline: &Deadline) -> Result<()> {
        self.deliveries().begin(appends.len());
        let too_many = |append: &Append| append.records.len() as usize >= MOST_RECORDS;
        if appends.len() >= MOST_APPENDS || appends.iter().any(too_many) {
            return Err(Error::new(ErrorKind::Limit, "a unit has too many records for one commit; commit more often"));
        }
        for (place, append) in appends.iter().enumerate() {
            self.require(&append.target)?;
            self.deliveries().expect(append.records.len() as usize);
            self.enqueue_append(place, append, deadline)?;
        }
        Ok(())
    }

    fn enqueue_append(&self, place: usize, append: &Append, deadline: &Deadline) -> Result<()> {
        let Append { target, records } = append;
        let Some(topic) = self.topics.get(&target.topic) else { return Ok(()) };
        let first_tag = self.deliveries().tag(place, 0);
        let mut bundle = Bundle::default();
        for (number, record) in records.records().enumerate() {
            let is_plain = Bundle::takes(&record);
            // Order is kept: what was gathered goes before what cannot be.
            if !is_plain || bundle.len() == Bundle::MOST {
                self.enqueue_bundle(topic, target, &mut bundle, deadline)?;
            }
            if is_plain {
                bundle.push(&record, first_tag + number);
                continue;
            }
            loop {
                match topic.handle.produce(target.partition, &record, first_tag + number) {
                    Ok(()) => break,
                    // Room comes with the answers for what was sent.
                    Err(fault) if fault.code == Code::QUEUE_FULL && !deadline.is_over() => self.client.poll(10),
                    Err(fault) => return Err(self.refusal(target, Some(byte_len(&record)), deadline, &fault)),
                }
            }
        }
        self.enqueue_bundle(topic, target, &mut bundle, deadline)
    }

    fn enqueue_bundle(
        &self,
        topic: &Topic,
        target: &TopicPartition,
        bundle: &mut Bundle<'_>,
        deadline: &Deadline,
    ) -> Result<()> {
        let mut from = 0;
        while from < bundle.len() {
            match topic.handle.produce_all(target.partition, bundle, from) {
                None => break,
                Some((first, fault)) if fault.code == Code::QUEUE_FULL && !deadline.is_over() => {
                    from = first;
                    self.client.poll(10);
                }
                Some((first, fault)) => return Err(self.refusal(target, bundle.record_bytes(first), deadline, &fault)),
            }
        }
        bundle.clear();
        Ok(())
    }

    /// Makes sure that a partition exists, once per topic.
    fn require(&mut self, target: &TopicPartition) -> Result<()> {
        if self.topics.get(&target.topic).is_some_and(|topic| target.partition < topic.partitions) {
            return Ok(());
        }
        topics::require(&self.context, &self.asking, target)?;
        let found = topics::find(&self.context, &self.asking, &target.topic)?;
        let partitions = found.map_or(0, |topic| topic.partitions);
        let deadline = self.context.question();
        let handle = TopicHandle::new(&self.client, &target.topic)
            .map_err(|fault| self.context.error(&format!("writing to {target}"), &deadline, &fault))?;
        self.topics.insert(target.topic.clone(), Topic { handle, partitions });
        Ok(())
    }

    /// The error for a record that was not taken.
    pub(crate) fn refusal(
        &self,
        target: &TopicPartition,
        record_bytes: Option<usize>,
        deadline: &Deadline,
        fault: &Fault,
    ) -> Error {
        if kind_of(fault.code) == ErrorKind::Limit {
            let size = record_bytes.map_or_else(|| "a record".into(), |bytes| format!("a record of {bytes} bytes"));
            return Error::new(
                ErrorKind::Limit,
                format!(
                    "{size} is too large for {target}: raise the Kafka option message.max.bytes here (extra options) and \
                     max.message.bytes of the topic, or write less at once"
                ),
            );
        }
        if fault.code == Code::INVALID_TIMESTAMP {
            let sentence = format!(
                "writing to {target}: the brokers do not believe the time of a record: look at the clock of this machine and \
                 at those of the programs that wrote what it was made of, or set message.timestamp.after.max.ms and \
                 message.timestamp.before.max.ms of the topic"
            );
            return Error::new(ErrorKind::Usage, sentence);
        }
        self.context.error(&format!("writing to {target}"), deadline, fault)
    }

    /// The error for the first record of a unit that the brokers refused, if any.
    pub(crate) fn first_refusal(&self, appends: &[Append], deadline: &Deadline) -> Option<Error> {
        let refused = self.deliveries().refused()?;
        let append = appends.get(refused.append)?;
        let record = append.records.records().nth(refused.record);
        Some(self.refusal(&append.target, record.as_ref().map(byte_len), deadline, &Fault::of(refused.code)))
    }

    /// Where the unit's records went, when each was answered.
    pub(crate) fn appended(&self) -> Option<Vec<Appended>> {
        let mut deliveries = self.deliveries();
        deliveries.is_complete().then(|| deliveries.appended())
    }
}
