//! Where what is stored. Keys sort as their numbers do.

use beltline_types::Offset;

/// A partition: number of its topic, number in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
}

impl PartitionKey {
    /// Key of the block that begins at `offset`.
    pub(crate) fn block(self, offset: Offset) -> [u8; 16] {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&self.topic.to_be_bytes());
        key[4..8].copy_from_slice(&self.partition.to_be_bytes());
        // Offsets are never negative, so their bytes sort as they do.
        key[8..].copy_from_slice(&offset.to_be_bytes());
        key
    }

    /// The key before which all blocks of the partition lie.
    pub(crate) fn end(self) -> [u8; 16] {
        self.block(Offset::MAX)
    }
}

/// Offset of the block with this key.
pub(crate) fn block_offset(key: &[u8]) -> Option<Offset> {
    let (_, offset) = key.split_at_checked(8)?;
    Some(Offset::from_be_bytes(offset.try_into().ok()?))
}

/// Key of the log's format version.
pub(crate) const FORMAT: &[u8] = b"format";

/// Key of the number the next topic gets.
pub(crate) const NEXT_TOPIC: &[u8] = b"next-topic";

/// What the keys of topics begin with; the name follows.
pub(crate) const TOPIC: &[u8] = b"topic/";

/// What the keys of committed offsets begin with.
pub(crate) const OFFSET: &[u8] = b"offset/";

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
