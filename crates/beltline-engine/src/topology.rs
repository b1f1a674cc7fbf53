//! Names: topics, tables, and the small copyable ids that stand for them on the data plane.

use std::sync::Arc;

use beltline_table::ValueForm;
use beltline_types::TopicInfo;

/// A topic known to one [`crate::Core`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub(crate) u32);

/// A table known to one [`crate::Core`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub(crate) u32);

/// A subscription known to one [`crate::Core`]; never used a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub(crate) u32);

impl TopicId {
    /// A dense number, for arrays indexed by topic.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl TableId {
    /// A dense number, for arrays indexed by table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl SubscriptionId {
    /// A dense number, for arrays indexed by subscription.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a table is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Name of the table, unique in its core.
    pub name: Arc<str>,
    /// The compacted topic that holds its changes.
    pub changelog: Arc<str>,
    /// Number of shards: that of the topics whose events write to it.
    pub partitions: u32,
    /// What value bytes mean.
    pub values: ValueForm,
}

/// Topics by id; a handful, so a name is found by walking.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    topics: Vec<TopicInfo>,
}

impl Topics {
    /// Adds a topic, or finds the one of that name and takes its settings over.
    pub(crate) fn add(&mut self, info: TopicInfo) -> TopicId {
        match self.find(&info.name) {
            Some(id) => {
                self.topics[id.index()] = info;
                id
            }
            None => {
                self.topics.push(info);
                TopicId(self.topics.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        self.topics.iter().position(|topic| &*topic.name == name).map(|index| TopicId(index as u32))
    }

    pub(crate) fn get(&self, id: TopicId) -> Option<&TopicInfo> {
        self.topics.get(id.index())
    }
}
