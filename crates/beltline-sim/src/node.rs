//! The app under test: count each value by its key, send every count on, and bring keys together first.

use beltline_engine::{
    Core, CoreOptions, Guarantee, Next, Origin, Outgoing, SubscriptionId, TableId, TableSpec, Ticket, TopicId,
};
use beltline_log::Log;
use beltline_table::{Key, Value, ValueForm};
use beltline_types::{Result, TopicSpec};
use beltline_worker::io;

/// Input: records without a key, the key is the value.
pub(crate) const INPUT: &str = "input";
/// The input again, keyed by its value.
pub(crate) const BY_VALUE: &str = "by-value";
/// One record per event of `BY_VALUE`.
pub(crate) const OUTPUT: &str = "output";
/// What a process sends without an event, each value once.
pub(crate) const NOTES: &str = "notes";
pub(crate) const TABLE: &str = "counts";
pub(crate) const CHANGELOG: &str = "sim-counts-changelog";

pub(crate) const PARTITIONS: u32 = 3;

/// A process: everything in it is gone when it is killed.
pub(crate) struct Node {
    pub(crate) core: Core,
    pub(crate) rekey: SubscriptionId,
    pub(crate) count: SubscriptionId,
    pub(crate) table: TableId,
    by_value: TopicId,
    output: TopicId,
    notes: TopicId,
    /// Values sent to `NOTES`.
    pub(crate) noted: Vec<Vec<u8>>,
    /// Events handled and not finished yet.
    pub(crate) held: Vec<Ticket>,
}

impl Node {
    /// Starts a process on what the log has.
    pub(crate) fn start(log: &dyn Log, guarantee: Guarantee) -> Result<Node> {
        let options = CoreOptions {
            group: "sim".into(),
            guarantee,
            commit_interval_ms: Some(100),
            fetch_max_bytes: 200,
            queue_bytes: 4000,
            hand_over_deadline_ms: 400,
            ..CoreOptions::default()
        };
        let specs = [INPUT, BY_VALUE, OUTPUT, NOTES].map(|name| TopicSpec::new(name, PARTITIONS));
        log.create_topics(&specs)?;
        let mut core = Core::new(options);
        let [input, by_value, output, notes] = specs.map(|spec| core.add_topic(spec));
        let spec = TableSpec {
            name: TABLE.into(),
            changelog: CHANGELOG.into(),
            partitions: PARTITIONS,
            values: ValueForm::Json,
        };
        io::prepare_changelog(log, &spec)?;
        let table = core.add_table(spec);
        let rekey = core.subscribe("rekey", &[input])?;
        let count = core.subscribe("count", &[by_value])?;
        Ok(Node { core, rekey, count, table, by_value, output, notes, noted: Vec::new(), held: Vec::new() })
    }

    /// Takes an event of one of the handlers, does its work and holds it; says whether there was one.
    pub(crate) fn handle(&mut self, which: SubscriptionId) -> Result<bool> {
        let Next::Event(ticket) = self.core.next(which) else { return Ok(false) };
        let batch = self.core.batch(&ticket).cloned();
        let Some(batch) = batch else { return Ok(false) };
        let record = batch.get(ticket.index_in_batch());
        let value = record.value.unwrap_or_default();
        if which == self.rekey {
            self.core.emit(self.by_value, None, Some(value), Some(value), &[], record.timestamp)?;
        } else if let Some(partition) = self.core.partition(&ticket) {
            let key = Key::Encoded(value);
            let Some(shard) = self.core.shard_mut(self.table, partition) else { return Ok(false) };
            let count = match shard.get(key) {
                Some(Value::Int(count)) => count + 1,
                _ => 1,
            };
            // Every third time the entry goes and comes back, so removals are part of every run.
            if count % 3 == 0 {
                shard.remove(key);
            }
            shard.insert(key, Value::Int(count));
            // The offset as the time of an output: what the order of the outputs is checked by.
            self.core.emit(self.output, Some(partition), Some(value), Some(value), &[], record.offset)?;
        }
        self.held.push(ticket);
        Ok(true)
    }

    /// Sends a value that no event brings.
    pub(crate) fn note(&mut self, value: Vec<u8>) -> Result<()> {
        let record = Outgoing { partition: None, key: None, value: Some(&value), headers: &[], timestamp: -1 };
        self.core.send(self.notes, &record, Origin::Outside(0))?;
        self.noted.push(value);
        Ok(())
    }

    /// Takes an event and gives it back unprocessed.
    pub(crate) fn take_and_release(&mut self, which: SubscriptionId) {
        if let Next::Event(ticket) = self.core.next(which) {
            self.core.release(ticket);
        }
    }

    /// Finishes one of the held events.
    pub(crate) fn finish(&mut self, index: usize) {
        let ticket = self.held.swap_remove(index);
        self.core.done(ticket);
    }
}
