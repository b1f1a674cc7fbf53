//! What the log knows about its topics without asking the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use beltline_types::{Cleanup, Error, ErrorKind, OffsetRange, Result, TimestampType, TopicInfo, TopicPartition};

use crate::keys::{self, PartitionKey};
use crate::segments::Segments;

/// Kafka's limit for the length of a topic's name.
const MAX_NAME_LEN: usize = 249;

/// More partitions than anybody wants on one machine; each costs memory in every worker.
const MAX_PARTITIONS: u32 = 10_000;

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) key: PartitionKey,
    pub(crate) name: TopicPartition,
    /// Whether records carry the time of their append, whatever their producers say.
    stamps_all: AtomicBool,
    start: AtomicI64,
    end: AtomicI64,
    /// Bytes appended since the last compaction.
    pub(crate) fresh_bytes: AtomicU64,
    /// Bytes the last compaction left.
    pub(crate) compacted_bytes: AtomicU64,
    /// The offset below which no small blocks are left that are worth merging.
    pub(crate) merged_to: AtomicI64,
}

impl Partition {
    fn new(key: PartitionKey, topic: &TopicInfo, range: OffsetRange) -> Partition {
        let name = TopicPartition::new(topic.name.clone(), key.partition);
        let stamps_all = AtomicBool::new(topic.timestamps == TimestampType::LogAppendTime);
        let (start, end) = (AtomicI64::new(range.start), AtomicI64::new(range.end));
        let (fresh_bytes, compacted_bytes, merged_to) = Default::default();
        Partition { key, name, stamps_all, start, end, fresh_bytes, compacted_bytes, merged_to }
    }

    pub(crate) fn range(&self) -> OffsetRange {
        OffsetRange { start: self.start.load(Ordering::Acquire), end: self.end.load(Ordering::Acquire) }
    }

    pub(crate) fn stamps_all(&self) -> bool {
        self.stamps_all.load(Ordering::Relaxed)
    }

    pub(crate) fn set_start(&self, start: i64) {
        self.start.store(start, Ordering::Release);
    }

    pub(crate) fn set_end(&self, end: i64) {
        self.end.store(end, Ordering::Release);
    }
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) number: u32,
    pub(crate) info: TopicInfo,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    pub(crate) fn empty(number: u32, info: TopicInfo) -> Topic {
        let make = |partition| {
            Arc::new(Partition::new(PartitionKey { topic: number, partition }, &info, OffsetRange::default()))
        };
        let partitions = (0..info.partitions).map(make).collect();
        Topic { number, info, partitions }
    }

    /// Finds out where the partitions begin and end.
    fn load(number: u32, info: TopicInfo, store: &Segments) -> Topic {
        let make = |partition| {
            let key = PartitionKey { topic: number, partition };
            Arc::new(Partition::new(key, &info, store.range(key)))
        };
        let partitions = (0..info.partitions).map(make).collect();
        Topic { number, info, partitions }
    }

    /// The same topic with more partitions or other settings. What is known of its partitions stays.
    pub(crate) fn changed(&self, info: TopicInfo) -> Topic {
        let mut changed = Topic::empty(self.number, info);
        for (ours, kept) in changed.partitions.iter_mut().zip(&self.partitions) {
            kept.stamps_all.store(ours.stamps_all(), Ordering::Relaxed);
            *ours = kept.clone();
        }
        changed
    }

    /// What is stored of a topic.
    pub(crate) fn fact(number: u32, info: &TopicInfo) -> Vec<u8> {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend_from_slice(&info.partitions.to_le_bytes());
        bytes.push(match info.cleanup {
            Cleanup::Delete => 0,
            Cleanup::Compact => 1,
            Cleanup::CompactAndDelete => 2,
        });
        bytes.extend_from_slice(&info.retention_ms.unwrap_or(-1).to_le_bytes());
        bytes.extend_from_slice(&info.retention_bytes.unwrap_or(u64::MAX).to_le_bytes());
        bytes.push(u8::from(info.timestamps == TimestampType::LogAppendTime));
        for text in info.config.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    fn decode(name: &str, bytes: &[u8]) -> Option<(u32, TopicInfo)> {
        let (number, rest) = bytes.split_first_chunk::<4>()?;
        let (partitions, rest) = rest.split_first_chunk::<4>()?;
        let (cleanup, rest) = rest.split_first()?;
        let (retention_ms, rest) = rest.split_first_chunk::<8>()?;
        let (retention_bytes, rest) = rest.split_first_chunk::<8>()?;
        let info = TopicInfo {
            name: Arc::from(name),
            partitions: u32::from_le_bytes(*partitions),
            cleanup: match *cleanup {
                1 => Cleanup::Compact,
                2 => Cleanup::CompactAndDelete,
                _ => Cleanup::Delete,
            },
            retention_ms: Some(i64::from_le_bytes(*retention_ms)).filter(|time| *time >= 0),
            retention_bytes: Some(u64::from_le_bytes(*retention_bytes)).filter(|bytes| *bytes != u64::MAX),
            // Topics of before the choice have nothing here, and carry their producers' time.
            timestamps: match rest.first() {
                Some(1) => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            config: decode_config(rest.get(1..).unwrap_or_default())?,
        };
        Some((u32::from_le_bytes(*number), info))
    }
}

/// Names and values in turn; topics of before they were kept have none.
fn decode_config(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut text = || -> Option<String> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    let mut config = Vec::new();
    while let Some(name) = text() {
        config.push((name, text()?));
    }
    bytes.is_empty().then_some(config)
}

/// All topics, by name. Readers never wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl Catalog {
    pub(crate) fn load(store: &Segments) -> Result<Catalog> {
        let mut found = Vec::new();
        for (key, value) in store.index().facts(keys::TOPIC) {
            found.push((String::from_utf8_lossy(&key[keys::TOPIC.len()..]).into_owned(), value.to_vec()));
        }
        let catalog = Catalog::default();
        for (name, bytes) in found {
            let (number, info) = Topic::decode(&name, &bytes).ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, format!("what the log says about topic {name} makes no sense"))
            })?;
            catalog.insert(Topic::load(number, info, store));
        }
        Ok(catalog)
    }

    pub(crate) fn insert(&self, topic: Topic) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.info.name.clone(), Arc::new(topic));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.topics.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn partition(&self, wanted: &TopicPartition) -> Result<Arc<Partition>> {
        let topic = self.topic(&wanted.topic).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no topic {}; create it first", wanted.topic))
        })?;
        topic.partitions.get(wanted.partition as usize).cloned().ok_or_else(|| {
            let count = topic.partitions.len();
            Error::new(
                ErrorKind::NotFound,
                format!("topic {} has {count} partitions, there is no {wanted}", wanted.topic),
            )
        })
    }
}

/// Whether a topic can be created as wished, apart from whether there is one.
///
/// # Errors
/// `Usage` for what Kafka would refuse, so that a topic can move there.
pub fn check_topic(wanted: &TopicInfo) -> Result<()> {
    let name = &*wanted.name;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = if name.is_empty() {
        "a topic needs a name".to_owned()
    } else if name.len() > MAX_NAME_LEN {
        format!("topic {name} has a name of {} characters, at most {MAX_NAME_LEN} are allowed", name.len())
    } else if name == "." || name == ".." || !name.bytes().all(allowed) {
        format!("topic {name:?}: a name has letters, digits, '.', '_' and '-' only")
    } else if wanted.partitions == 0 || wanted.partitions > MAX_PARTITIONS {
        let partitions = wanted.partitions;
        format!("topic {name} is to have {partitions} partitions; it can have 1 to {MAX_PARTITIONS}")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Usage, problem))
}
