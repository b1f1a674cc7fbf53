//! Topics that exist get more partitions, other settings, a later beginning. Each of these is one write of one fact: it
//! happened, or it did not.

use beltline_types::{Error, ErrorKind, Offset, Result, TopicInfo, TopicPartition, TopicSpec};

use crate::catalog::{Partition, Topic, check_topic};
use crate::embedded::{Shared, lock, within};
use crate::frame::{Changes, FactChange};
use crate::keys;

impl Shared {
    /// See [`crate::Log::grow_topic`].
    pub(crate) fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        self.replace_topic(name, |info| {
            if partitions < info.partitions {
                let message =
                    format!("topic {name} has {} partitions and cannot be left with {partitions}", info.partitions);
                return Err(Error::new(ErrorKind::Usage, message));
            }
            Ok(TopicInfo { partitions, ..info.clone() })
        })
    }

    /// See [`crate::Log::change_topic`].
    pub(crate) fn change_topic(&self, wanted: &TopicSpec) -> Result<()> {
        self.replace_topic(&wanted.name, |info| Ok(TopicInfo { partitions: info.partitions, ..wanted.clone() }))
    }

    fn replace_topic(&self, name: &str, change: impl FnOnce(&TopicInfo) -> Result<TopicInfo>) -> Result<()> {
        let _writing = lock(&self.writing);
        let known = self.catalog.topic(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no topic {name} to change; create it first"))
        })?;
        let info = change(&known.info)?;
        check_topic(&info)?;
        if info == known.info {
            return Ok(());
        }
        let fact = FactChange::put(keys::topic(name), Topic::fact(known.number, &info));
        self.write(Changes::of_facts(vec![fact]), self.is_durable())?;
        self.catalog.insert(known.changed(info));
        Ok(())
    }

    /// See [`crate::Log::delete_records`].
    pub(crate) fn delete_records(&self, wanted: &TopicPartition, before: Offset) -> Result<Offset> {
        let topic = self.catalog.topic(&wanted.topic);
        let partition = self.catalog.partition(wanted)?;
        let range = partition.range();
        if before > range.end {
            within(&partition, before)?;
        }
        if let Some(topic) = topic {
            self.let_go(&topic, &partition, before, self.is_durable())?;
        }
        Ok(partition.range().start)
    }

    /// Lets the records of a partition below `start` go, unless they have gone or their topic was deleted meanwhile.
    pub(crate) fn let_go(&self, topic: &Topic, partition: &Partition, start: Offset, durable: bool) -> Result<()> {
        let _writing = lock(&self.writing);
        let is_known = self.catalog.topic(&topic.info.name).is_some_and(|known| known.number == topic.number);
        let old = partition.range().start;
        if !is_known || start <= old {
            return Ok(());
        }
        // Readers are told first: nobody may be sent to a block that is about to go.
        partition.set_start(start);
        let fact = FactChange::put(keys::start(partition.key), start.to_le_bytes());
        let written = self.write(Changes::of_facts(vec![fact]), durable);
        written.inspect_err(|_| partition.set_start(old))
    }
}
