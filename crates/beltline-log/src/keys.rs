//! What the keys of the log's small facts look like. Blocks have no keys, see `index`.

use beltline_types::Offset;

/// A partition: number of its topic, number in the topic. A topic's number is never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

/// Key of the number the next topic gets.
pub(crate) const NEXT_TOPIC: &[u8] = b"next-topic";

/// What the keys of topics begin with; the name follows.
pub(crate) const TOPIC: &[u8] = b"topic/";

/// What the keys of committed offsets begin with.
pub(crate) const OFFSET: &[u8] = b"offset/";

/// What the keys of partitions' first offsets begin with; topic and partition follow.
pub(crate) const START: &[u8] = b"start/";

/// Key of a topic.
pub(crate) fn topic(name: &str) -> Vec<u8> {
    [TOPIC, name.as_bytes()].concat()
}

/// Beginning of the keys of a group's offsets; the length keeps groups with the same beginning apart.
pub(crate) fn group(group: &str) -> Vec<u8> {
    [OFFSET, &(group.len() as u32).to_be_bytes(), group.as_bytes()].concat()
}

/// Key of a group's offset in a partition.
pub(crate) fn offset(group_name: &str, partition: PartitionKey) -> Vec<u8> {
    let mut key = group(group_name);
    key.extend_from_slice(&partition.topic.to_be_bytes());
    key.extend_from_slice(&partition.partition.to_be_bytes());
    key
}

/// The group whose offset a key holds.
pub(crate) fn group_of(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.strip_prefix(OFFSET)?.split_first_chunk::<4>()?;
    std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()
}

/// Key of the first offset retention has left of a partition.
pub(crate) fn start(partition: PartitionKey) -> Vec<u8> {
    [START, &partition.topic.to_be_bytes(), &partition.partition.to_be_bytes()].concat()
}

/// The partition at the end of a key made by [`offset`] or [`start`].
pub(crate) fn partition_of(key: &[u8]) -> Option<PartitionKey> {
    let (rest, partition) = key.split_last_chunk::<4>()?;
    let (_, topic) = rest.split_last_chunk::<4>()?;
    Some(PartitionKey { topic: u32::from_be_bytes(*topic), partition: u32::from_be_bytes(*partition) })
}

/// An offset as it is stored.
pub(crate) fn stored_offset(bytes: &[u8]) -> Option<Offset> {
    Some(Offset::from_le_bytes(*bytes.first_chunk()?))
}

/// The number a stored topic begins with.
pub(crate) fn stored_number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?))
}
