//! What a handler can do while it works on an event.

use beltline_engine::{Core, Origin, Outgoing, TableId, Ticket, TopicId};
use beltline_types::{Error, ErrorKind, HeaderIter, Offset, RecordView, Result, Timestamp, TopicPartition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::table::{Table, TableView};
use crate::{RecordKey, Topic, json};

/// What an app has in its core, and what handlers leave behind for the runner.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) topics: Vec<TopicId>,
    pub(crate) tables: Vec<TableId>,
    /// Tables that were told about a key in the wrong partition.
    pub(crate) warned: Vec<bool>,
    pub(crate) notices: Vec<String>,
    /// An error that happened where nobody could be told: when an [`crate::Entry`] was written back.
    pub(crate) pending: Option<Error>,
}

/// The belt as a handler sees it: the event's record, sending, tables.
///
/// What is sent and written counts together with the event, or, under exactly-once, not at all.
pub struct Belt<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) shared: &'a mut Shared,
    pub(crate) ticket: Option<Ticket>,
}

impl Belt<'_> {
    fn record(&self) -> Option<RecordView<'_>> {
        self.core.record(self.ticket.as_ref()?)
    }

    /// Decodes the event's value.
    pub(crate) fn value<V: DeserializeOwned>(&self) -> Result<V> {
        let record = self.record().ok_or_else(no_event)?;
        serde_json::from_slice(record.value.unwrap_or(b"null")).map_err(|error| {
            let kind = std::any::type_name::<V>();
            Error::new(ErrorKind::Decode, format!("the value is no {kind} in JSON")).with_source(error)
        })
    }

    /// Key of the event; `None` for a null key, and in a timer.
    pub fn key(&self) -> Option<&[u8]> {
        self.record()?.key
    }

    /// Create time of the event in milliseconds since the epoch; `None` in a timer.
    pub fn timestamp(&self) -> Option<Timestamp> {
        Some(self.record()?.timestamp)
    }

    /// Where the event stands in its partition; `None` in a timer.
    pub fn offset(&self) -> Option<Offset> {
        Some(self.ticket?.offset())
    }

    /// The topic and partition the event comes from; `None` in a timer.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.core.topic_partition(self.ticket.as_ref()?)
    }

    /// Headers of the event in the order they were written; none in a timer.
    pub fn headers(&self) -> HeaderIter<'_> {
        self.record().map_or_else(|| HeaderIter::new(&[]), |record| record.headers())
    }

    /// Sends a value. Without a key ([`RecordKey`] of `()`) partitions take turns. What a timer sends is sent again when
    /// its commit is rolled back; what an event sends is not, because the event comes again.
    ///
    /// # Errors
    /// `Usage` when the value cannot be written as JSON, `Limit` when too much waits for the next commit.
    pub fn send<V: Serialize>(&mut self, topic: &Topic<V>, key: &(impl RecordKey + ?Sized), value: &V) -> Result<()> {
        let bytes = json::to_bytes(value).map_err(|error| {
            let message = format!("a value for topic {} cannot be written as JSON", topic.name);
            Error::new(ErrorKind::Usage, message).with_source(error)
        })?;
        let id = self.topic_id(topic.index)?;
        let (key, value) = (key.to_bytes(), Some(bytes.as_slice()));
        let record = Outgoing { partition: None, key: key.as_deref(), value, headers: &[], timestamp: -1 };
        // Timers cannot change tables, so none of them need be told from another.
        let origin = if self.ticket.is_some() { Origin::Event } else { Origin::Outside(0) };
        self.core.send(id, &record, origin)?;
        Ok(())
    }

    /// A table, as the event sees it: the shard of the event's partition. In a timer all shards, to read.
    pub fn table<K, V>(&mut self, table: &Table<K, V>) -> TableView<'_, K, V> {
        let partition = self.ticket.as_ref().and_then(|ticket| self.core.partition(ticket));
        TableView::new(self.core, self.shared, table.index, partition)
    }

    /// Sends the event's bytes on with another key.
    pub(crate) fn forward(&mut self, topic: usize, key: Option<&[u8]>) -> Result<()> {
        let (ticket, id) = (self.ticket.ok_or_else(no_event)?, self.topic_id(topic)?);
        let batch = self.core.batch(&ticket).ok_or_else(no_event)?.clone();
        let record = batch.get(ticket.index_in_batch());
        self.core.emit(id, None, key, record.value, record.raw_headers(), record.timestamp)?;
        Ok(())
    }

    /// Sends a result with the event's key and time.
    pub(crate) fn send_from_event(&mut self, topic: usize, value: &[u8]) -> Result<()> {
        let (ticket, id) = (self.ticket.ok_or_else(no_event)?, self.topic_id(topic)?);
        let batch = self.core.batch(&ticket).ok_or_else(no_event)?.clone();
        let record = batch.get(ticket.index_in_batch());
        self.core.emit(id, None, record.key, Some(value), &[], record.timestamp)?;
        Ok(())
    }

    fn topic_id(&self, index: usize) -> Result<TopicId> {
        self.shared.topics.get(index).copied().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "this topic was declared for another app; declare it with this app's `topic`")
        })
    }
}

fn no_event() -> Error {
    Error::new(ErrorKind::Usage, "there is no event here: a timer has none")
}
