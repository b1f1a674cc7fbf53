//! The durable belt: the [`Log`] trait, shaped so that Apache Kafka maps onto it one to one, and the embedded log.
//!
//! - `embedded`: the [`Log`] on this machine, `options` its settings; `catalog` knows its topics and where their
//!   partitions end, `placing` where the records of a commit go
//! - `segments`: the files below, written once and at their end; `segment` is one of them, `frame` one commit in it,
//!   `block` the records of one append with their checksum
//! - `changing`: topics that exist get more partitions, other settings, a later beginning
//! - `index`: what is known without asking the disk; `keys` names its facts
//! - `membership`: the group of one that reads an embedded log
//! - `recovery`: opening a log after whatever has happened
//! - `reading`: blocks from the disk
//! - `retention`, `compaction`: letting old records go; `merging` makes one block of many small ones; `cleaning` gives
//!   the place back
//! - `data_directory`: who may use a directory
//! - `assignment`: who reads what in a group, wherever its members are

pub mod assignment;
mod block;
mod catalog;
mod changing;
mod cleaning;
mod compaction;
mod data_directory;
mod embedded;
mod frame;
mod index;
mod keys;
mod membership;
mod merging;
mod options;
mod placing;
mod reading;
mod recovery;
mod retention;
mod segment;
mod segments;

use std::sync::Arc;
use std::time::Duration;

use beltline_types::{
    Batch, CommitReceipt, CommitRequest, Error, ErrorKind, Offset, OffsetRange, Result, TopicInfo, TopicPartition,
    TopicSpec,
};

pub use catalog::check_topic;
pub use data_directory::{DataDirectory, Holder};
pub use embedded::EmbeddedLog;
pub use membership::Membership;
pub use options::{LogOptions, SyncPolicy};

/// What one fetch found.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Whole batches in offset order; the first may begin before the wanted offset. Empty at the end of the partition.
    pub batches: Vec<Batch>,
    /// The offsets the partition held at that moment.
    pub range: OffsetRange,
    /// Where to read on: behind the batches, and behind what the log skipped (transaction markers, aborted records, what
    /// compaction took away). Never below the wanted offset.
    pub next_offset: Offset,
}

/// What the group has decided about this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// From now on these are this member's too, beside those it has. May be empty; every [`Log::join`] is answered by at
    /// least one.
    Assigned(Vec<TopicPartition>),
    /// Others are to get these: finish, commit, then [`Log::release`] them. Other partitions go on meanwhile.
    Revoking(Vec<TopicPartition>),
    /// Gone already (the session expired, another took this member's place): nothing of them may be committed. When a
    /// membership ends, this names whatever was assigned in it, before anything is assigned in the next one.
    Lost(Vec<TopicPartition>),
    /// The whole list of partition numbers whose table shards this member keeps warm for others.
    Standby(Vec<u32>),
    /// A topic of the last [`Log::join`] does not exist any more; may be said again until a join is without it.
    Gone {
        /// Its name.
        topic: Arc<str>,
        /// What the log says, for people.
        why: String,
    },
}

/// A durable, partitioned log. All calls block and may come from any thread.
///
/// It moves whole batches and whole commits, never single records. A log value is at most one member of a group.
pub trait Log: Send + Sync {
    /// Creates the topics that do not exist yet; those that exist stay as they are, whatever the wish says.
    ///
    /// # Errors
    /// A name Kafka would refuse or zero partitions is `Usage`; otherwise what the disk says.
    fn create_topics(&self, wanted: &[TopicSpec]) -> Result<()>;

    /// All topics, by name.
    ///
    /// # Errors
    /// Only what the disk says.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// One topic, if it exists.
    ///
    /// # Errors
    /// Only what the disk says.
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>>;

    /// Deletes a topic, its records and every group's offsets in it; no effect when it does not exist.
    ///
    /// # Errors
    /// Only what the disk says.
    fn delete_topic(&self, name: &str) -> Result<()>;

    /// Adds partitions to a topic, so that it has as many as wished. Records that are there stay where they are, so from
    /// then on a key may belong to another partition than before.
    ///
    /// # Errors
    /// `NotFound` for a topic that does not exist; `Usage` for fewer partitions than it has, for too many, or where the
    /// log cannot; otherwise what the disk says.
    fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let message = format!("this log cannot give topic {name} {partitions} partitions; use Kafka's tools");
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Gives a topic the settings of `wanted`; its partitions stay as they are, whatever the wish says.
    ///
    /// # Errors
    /// `NotFound` for a topic that does not exist; `Usage` where the log cannot; otherwise what the disk says.
    fn change_topic(&self, wanted: &TopicSpec) -> Result<()> {
        let message = format!("this log cannot change the settings of topic {}; use Kafka's tools", wanted.name);
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Lets the records of a partition below `before` go, and gives the first offset that is left: more than `before`
    /// where retention was there already.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, `OffsetOutOfRange` beyond its end; `Usage` where the log cannot;
    /// otherwise what the disk says: then the records are still there.
    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> Result<Offset> {
        let message = format!("this log cannot delete the records of {partition} below {before}; use Kafka's tools");
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Reads batches from the one that holds `offset`, at least one, until `max_bytes` are gathered.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, `OffsetOutOfRange` outside its range (the range is in the
    /// message), `Corrupt` naming partition and offset where a block fails its checksum: nothing is read past it.
    fn fetch(&self, partition: &TopicPartition, offset: Offset, max_bytes: usize) -> Result<Fetched>;

    /// The offsets a partition holds.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist.
    fn offsets(&self, partition: &TopicPartition) -> Result<OffsetRange>;

    /// Waits until the log's version differs from `seen` (something was appended) or `timeout` has passed; returns the
    /// version. Callers start with 0 and pass back what they were given.
    fn wait(&self, seen: u64, timeout: Duration) -> u64;

    /// Ends every [`Log::wait`] and [`Log::poll_group`] that is under way, for whoever wants to end its thread.
    fn interrupt(&self);

    /// Appends records and moves a group's offsets: all of it or nothing.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist; `Storage` when the disk refuses (nothing was written). Where there
    /// are groups, `Aborted` when nothing was written and it may be repeated, as when [`GroupEvent::Lost`] was returned by
    /// [`Log::poll_group`] more often than `request.losses` says; `Fenced` when another has taken this one's place;
    /// `Unavailable` when nobody knows what became of it.
    fn commit(&self, request: CommitRequest) -> Result<CommitReceipt>;

    /// The committed offset of each partition, `None` where the group has none.
    ///
    /// # Errors
    /// Only what the disk says.
    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Vec<Option<Offset>>>;

    /// Forgets every offset of a group.
    ///
    /// # Errors
    /// Only what the disk says.
    fn reset_group(&self, group: &str) -> Result<()>;

    /// Names of the groups that have offsets, sorted; none where the log cannot tell.
    ///
    /// # Errors
    /// Only what the disk says.
    fn groups(&self) -> Result<Vec<Arc<str>>> {
        Ok(Vec::new())
    }

    /// Forgets a group's offsets of these partitions; no effect where it has none.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, `Usage` where the log cannot; otherwise what the disk says.
    fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let _ = partitions;
        let message = format!("this log cannot forget single offsets of group {group}; reset the whole group instead");
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Makes everything committed so far survive a power failure.
    ///
    /// # Errors
    /// Only what the disk says.
    fn sync(&self) -> Result<()>;

    /// Becomes a member of a group that reads these topics, or changes its topics. Partition `p` of all of them goes to the
    /// same member. What the group decides comes from [`Log::poll_group`]. After a commit was answered by `Fenced` this
    /// begins a new membership, and everything that is still ours is assigned anew.
    ///
    /// # Errors
    /// `NotFound` for a topic that does not exist, `Unavailable` or `Unauthorized` where there are brokers.
    fn join(&self, group: &str, topics: &[Arc<str>]) -> Result<()>;

    /// Waits until the group has decided something, [`Log::interrupt`] is called, or `timeout` has passed. One thread calls
    /// it over and over; the membership may end when nobody does.
    ///
    /// # Errors
    /// `Unauthorized`, or what else ends the membership for good.
    fn poll_group(&self, timeout: Duration) -> Result<Option<GroupEvent>>;

    /// The answer to [`GroupEvent::Revoking`], after the last commit with these partitions was answered.
    ///
    /// # Errors
    /// `Unavailable` where there are brokers.
    fn release(&self, partitions: &[TopicPartition]) -> Result<()>;

    /// Leaves the group, so that others take over at once; has a deadline of its own. No effect for one who is no member.
    ///
    /// # Errors
    /// `Unavailable` where there are brokers: others take over when the session has expired.
    fn leave(&self) -> Result<()>;

    /// Why nothing can be read or written at present; `None` when all is well. Does not block.
    fn trouble(&self) -> Option<String>;

    /// A sentence for the operator about what has happened to the log, each one once; `None` when there is no further one.
    fn notice(&self) -> Option<String> {
        None
    }

    /// Whether what it has said yes to stays unless somebody removes it. A log on this machine may lose its tail in a power
    /// failure that other files survive.
    fn keeps_its_tail(&self) -> bool {
        false
    }

    /// Applies retention and compaction once, and gives back what nothing needs any more; called from a background
    /// thread every few seconds.
    ///
    /// # Errors
    /// Only what the disk says.
    fn maintain(&self) -> Result<()>;
}
