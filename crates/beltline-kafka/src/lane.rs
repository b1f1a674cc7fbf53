//! One partition on its way in: its own queue, and where that queue stands.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use beltline_env::Clock;
use beltline_log::Fetched;
use beltline_types::{Error, ErrorKind, Offset, OffsetRange, Result, TopicPartition};

use crate::context::Context;
use crate::errors::{is_transient, kind_of};
use crate::raw::client::{Client, c_string};
use crate::raw::code::{Code, Fault};
use crate::raw::list::{NO_OFFSET, PartitionList};
use crate::raw::queue::{Drained, Message, Queue};
use crate::records::BatchWriter;
use crate::topics;

/// Most messages taken from a queue at once: enough that the call itself costs nothing.
const MOST: usize = 4096;

/// How long a move of the fetch position may take; it needs no broker.
const SEEK_MS: i32 = 5000;

/// A partition that is being read.
pub(crate) struct Lane {
    partition: TopicPartition,
    topic: CString,
    client: Arc<Client>,
    context: Arc<Context>,
    queue: Queue,
    /// Taken from the queue, but too much for the last fetch.
    drained: Drained,
    /// The offset the queue gives next, as far as known.
    position: Offset,
    /// librdkafka has given up on the partition; it must be assigned anew.
    stopped: bool,
    /// librdkafka may have moved its fetch position to a wrong place; see [`Lane::distrust`].
    distrusted: bool,
    /// The topic was found missing, which librdkafka does not report for a partition that it reads already.
    pub(crate) is_gone: bool,
    /// When the queue last gave anything.
    pub(crate) heard: Duration,
    /// Mean size of a record, for the next guess at how many to take.
    mean_bytes: usize,
    /// The offsets the partition held when last seen.
    range: OffsetRange,
}

impl Lane {
    /// Takes the partition's queue; to be called before the partition is assigned, at `position`.
    pub(crate) fn new(
        context: &Arc<Context>,
        client: &Arc<Client>,
        partition: &TopicPartition,
        position: Offset,
    ) -> std::result::Result<Lane, Fault> {
        Ok(Lane {
            topic: c_string(&partition.topic)?,
            queue: Queue::of_partition(client, &partition.topic, partition.partition, &context.signal)?,
            partition: partition.clone(),
            client: client.clone(),
            context: context.clone(),
            drained: Drained::default(),
            position,
            stopped: false,
            distrusted: false,
            is_gone: false,
            heard: context.health.clock.monotonic(),
            mean_bytes: 128,
            range: OffsetRange::default(),
        })
    }

    /// In a rebalance librdkafka pauses all partitions, and goes on behind what the application took last. Its batch call
    /// counts an end-of-partition event as a record there, so that the next record would be skipped. The next fetch
    /// therefore says where to go on. To be called before the pause is ended: until then nothing comes from the queue.
    pub(crate) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// What is there from `wanted` on, without waiting; `restart` assigns the partition anew at an offset.
    pub(crate) fn fetch(
        &mut self,
        wanted: Offset,
        max_bytes: usize,
        restart: impl FnOnce(&PartitionList) -> std::result::Result<(), Fault>,
    ) -> Result<Fetched> {
        if self.stopped || self.distrusted || self.position != wanted {
            self.reposition(wanted, restart)?;
        }
        // One piece of memory serves all lanes, which as a rule one thread fetches, so that it need not grow each time.
        let context = self.context.clone();
        let mut shared = context.writer.try_lock();
        let mut own = BatchWriter::default();
        let writer = shared.as_deref_mut().unwrap_or(&mut own);
        writer.begin(max_bytes);
        let before = self.position;
        let failed = match std::mem::take(&mut self.is_gone) {
            true => Some(Fault::of(Code::UNKNOWN_TOPIC_OR_PARTITION)),
            false => self.gather(writer, max_bytes.max(1)),
        };
        if self.position != before {
            self.heard = self.context.health.clock.monotonic();
        }
        if writer.is_empty()
            && let Some(fault) = failed
            && !self.is_misplaced(&fault)
        {
            return Err(self.error(wanted, &fault));
        }
        let range = self.look_at_range();
        let mut fetched = Fetched { batches: Vec::new(), range, next_offset: self.position.max(wanted) };
        if !writer.is_empty() {
            self.context.health.well();
            fetched.batches.push(writer.finish(fetched.next_offset)?);
        }
        Ok(fetched)
    }

    /// Moves on until enough is gathered, nothing more is there, or something is wrong.
    fn gather(&mut self, writer: &mut BatchWriter, max_bytes: usize) -> Option<Fault> {
        let mut count = 0usize;
        while writer.byte_len() < max_bytes {
            if self.drained.is_empty() {
                let wished = (max_bytes - writer.byte_len()) / self.mean_bytes.max(1) + 1;
                self.queue.drain(&mut self.drained, wished.clamp(16, MOST));
            }
            let message = self.drained.peek()?;
            let code = message.code();
            if code == Code::NONE {
                let offset = message.offset();
                // After a pause librdkafka may give again what it gave already.
                if offset >= self.position {
                    if !writer.takes(offset) {
                        return None;
                    }
                    writer.push(&message);
                    self.position = offset + 1;
                    count += 1;
                    self.mean_bytes = writer.byte_len() / count;
                }
            } else if code == Code::PARTITION_EOF {
                // Behind the last record may be transaction markers; this is where the next record will be.
                self.position = self.position.max(message.offset());
            } else {
                if !writer.is_empty() {
                    return None;
                }
                let failed = take_fault(&message);
                self.drained.advance();
                if is_transient(failed.code) {
                    self.context.health.note(failed.code, &failed.text);
                    continue;
                }
                self.stopped = true;
                return Some(failed);
            }
            self.drained.advance();
        }
        None
    }

    fn reposition(
        &mut self,
        wanted: Offset,
        restart: impl FnOnce(&PartitionList) -> std::result::Result<(), Fault>,
    ) -> Result<()> {
        self.drained.clear();
        let mut moved = Err(Fault::of(Code::NO_OFFSET));
        if !self.stopped {
            moved = self.client.seek(&self.partition, wanted, SEEK_MS);
        }
        // Refused where fetching has not begun or was given up: then the partition is assigned anew.
        if moved.is_err() {
            moved = PartitionList::with_offsets([(&self.partition, wanted)]).and_then(|list| restart(&list));
        }
        match moved {
            Ok(()) => {
                self.position = wanted;
                self.stopped = false;
                self.distrusted = false;
                Ok(())
            }
            Err(fault) => {
                self.position = NO_OFFSET;
                let partition = &self.partition;
                Err(Error::new(kind_of(fault.code), format!("reading {partition} from offset {wanted}: {fault}")))
            }
        }
    }

    /// Whether librdkafka was out of range with a place of its own, see [`Lane::distrust`], while ours is there: one behind
    /// the end, where an end of partition was counted. The next fetch assigns the partition anew at ours.
    fn is_misplaced(&self, fault: &Fault) -> bool {
        kind_of(fault.code) == ErrorKind::OffsetOutOfRange
            && topics::range(&self.context, &self.client, &self.partition)
                .is_ok_and(|range| (range.start..=range.end).contains(&self.position))
    }

    fn look_at_range(&mut self) -> OffsetRange {
        if let Some(range) = self.client.known_offsets(&self.topic, self.partition.partition) {
            self.range = range;
        }
        OffsetRange { start: self.range.start, end: self.range.end.max(self.position) }
    }

    fn error(&self, wanted: Offset, fault: &Fault) -> Error {
        let partition = &self.partition;
        let kind = kind_of(fault.code);
        let sentence = match kind {
            ErrorKind::OffsetOutOfRange => {
                let held = topics::range(&self.context, &self.client, partition);
                let held = held.map_or_else(
                    |_| "its range is not known at present".into(),
                    |range| format!("it holds {}..{}", range.start, range.end),
                );
                format!(
                    "offset {wanted} of {partition} is out of range: {held}; records were deleted by retention or the \
                     topic was made anew; reset the group's position to go on"
                )
            }
            ErrorKind::NotFound => {
                format!("{partition} does not exist; the topic was deleted, or has fewer partitions")
            }
            ErrorKind::Unauthorized => {
                format!("the brokers do not let this client read {partition}: {fault}; grant it READ on the topic")
            }
            _ => format!("reading {partition} at offset {wanted}: {fault}"),
        };
        Error::new(kind, sentence)
    }
}

fn take_fault(message: &Message<'_>) -> Fault {
    Fault::new(message.code(), message.sentence())
}
