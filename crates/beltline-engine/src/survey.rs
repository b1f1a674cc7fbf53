//! What comes up while a core runs: topics that a pattern may want, and partitions that a topic has got.

use beltline_types::{Error, ErrorKind, TopicInfo, TopicPartition};

use crate::{Core, TableSpec, TopicId};

/// The log's topics when somebody last looked.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    topics: Vec<TopicInfo>,
    /// Grows when the topics are others.
    version: u64,
}

impl Core {
    /// The log's topics when somebody last looked, by name; see [`crate::LogEvent::Topics`].
    pub fn topics_seen(&self) -> &[TopicInfo] {
        &self.survey.topics
    }

    /// A number that is another one whenever [`Core::topics_seen`] is.
    pub fn topics_version(&self) -> u64 {
        self.survey.version
    }

    /// Takes over what the log has now; topics that are known here and have got more partitions are read and sent to with
    /// all of them.
    pub(crate) fn surveyed(&mut self, topics: Vec<TopicInfo>) {
        for topic in &topics {
            let known = self.topics.find(&topic.name).and_then(|id| self.topic(id));
            if known.is_some_and(|known| known.partitions < topic.partitions) {
                self.add_topic(topic.clone());
            }
        }
        self.survey.version += 1;
        self.survey.topics = topics;
    }

    /// Brokers tell of new partitions by giving them to somebody.
    pub(crate) fn grow_to(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            let known = self.topics.find(&name.topic).and_then(|id| self.topic(id));
            if let Some(known) = known.filter(|known| known.partitions <= name.partition) {
                self.add_topic(TopicInfo { partitions: name.partition + 1, ..known.clone() });
            }
        }
    }

    /// Why a topic that had fewer partitions when it was made known cannot be read on with `partitions` of them; `None` when
    /// it can, and when it has not grown.
    ///
    /// With the number of partitions keys change theirs. Events without a table do not mind; with one they would look for
    /// their entries in the wrong shard.
    pub fn misgrowth(&self, name: &str, partitions: u32) -> Option<Error> {
        let id = self.topics.find(name)?;
        let before = self.topic(id)?.partitions;
        if partitions <= before {
            return None;
        }
        let (reader, table) = self.readers_with_tables(id).next()?;
        let (changelog, shards) = (&table.changelog, table.partitions);
        let message = format!(
            "topic {name} has got more partitions, {partitions} in the place of {before}, but events of it are written to \
             table {} (by {reader}), whose changelog {changelog} has {shards}: keys go to other partitions now than their \
             entries are in. Raise the setting version=, with which the app begins anew with topics and tables of its own; \
             or read {name} through group_by, whose topic has the table's number of partitions",
            table.name
        );
        Some(Error::new(ErrorKind::Usage, message))
    }

    /// Why what is read does not fit the tables it is written to, as far as that was said by [`Core::couple`].
    pub fn misfit(&self) -> Option<Error> {
        let subscriptions = self.subscriptions.iter().filter(|subscription| subscription.open);
        let pairs = subscriptions.flat_map(|subscription| {
            let tables = subscription.tables.iter().flatten().filter_map(|id| self.tables.spec(*id));
            tables.flat_map(move |table| {
                let topics = subscription.topics.iter().filter_map(|topic| self.topic(*topic));
                topics.map(move |topic| (&subscription.name, topic, table))
            })
        });
        let (reader, topic, table) = { pairs }.find(|(_, topic, table)| topic.partitions > table.partitions)?;
        let message = format!(
            "topic {} has {} partitions, but table {}, to which {reader} writes its events, has {} (its changelog is {}): \
             give the table that many with partitions={}, or read the topic through group_by, whose topic has the table's \
             number of partitions",
            topic.name, topic.partitions, table.name, table.partitions, table.changelog, topic.partitions
        );
        Some(Error::new(ErrorKind::Usage, message))
    }

    /// Who reads a topic and may write its events to a table: where nobody has said which, to any.
    fn readers_with_tables(&self, topic: TopicId) -> impl Iterator<Item = (&str, &TableSpec)> {
        let readers = self.subscriptions.iter().filter(move |one| one.open && one.topics.contains(&topic));
        readers.flat_map(|reader| {
            let wanted = |id| reader.tables.as_ref().is_none_or(|tables| tables.contains(&id));
            self.tables.specs().filter(move |(id, _)| wanted(*id)).map(|(_, spec)| (&*reader.name, spec))
        })
    }
}
