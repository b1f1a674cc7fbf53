//! What members and leader tell each other beside the protocol's own fields.
//!
//! One format serves both ways. Little-endian: version `u8`, generation `i32`, number of topics `u32`, per topic the length
//! of its name `u32`, the name and its partitions; then the warm numbers. A set of numbers is a count of ranges `u32`, and
//! per range first and length, `u32` each. A later version may append fields; one that changes these must raise the
//! version.

use super::{Numbers, Owned};

/// What is written here.
const VERSION: u8 = 1;

/// A member's claims on its way to the leader, or the leader's word about standbys on its way back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The generation in which the member was last given something; of two that claim one partition the later is right.
    pub(crate) generation: i32,
    /// What it owns.
    pub(crate) owned: Owned,
    /// Numbers whose tables it holds without owning them: standbys, and what it gave up.
    pub(crate) warm: Numbers,
}

impl Claim {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend((self.owned.len() as u32).to_le_bytes());
        for (topic, numbers) in &self.owned {
            bytes.extend((topic.len() as u32).to_le_bytes());
            bytes.extend(topic.as_bytes());
            encode_numbers(&mut bytes, numbers);
        }
        encode_numbers(&mut bytes, &self.warm);
        bytes
    }

    /// `None` for bytes that are no claim, or one of a version that is not known here.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Claim> {
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let rest = &mut rest;
        let mut claim = Claim { generation: word(rest)? as i32, ..Claim::default() };
        for _ in 0..word(rest)? {
            let length = word(rest)? as usize;
            let (name, tail) = rest.split_at_checked(length)?;
            *rest = tail;
            claim.owned.insert(std::str::from_utf8(name).ok()?.into(), numbers(rest)?);
        }
        claim.warm = numbers(rest)?;
        Some(claim)
    }
}

fn encode_numbers(bytes: &mut Vec<u8>, numbers: &Numbers) {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((first, length)) if *first + *length == *number => *length += 1,
            _ => ranges.push((*number, 1)),
        }
    }
    bytes.extend((ranges.len() as u32).to_le_bytes());
    for (first, length) in ranges {
        bytes.extend(first.to_le_bytes());
        bytes.extend(length.to_le_bytes());
    }
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

fn numbers(rest: &mut &[u8]) -> Option<Numbers> {
    /// No topic of Kafka has more partitions; keeps damaged bytes from filling the memory.
    const MOST: u32 = 1 << 20;
    let mut numbers = Numbers::new();
    for _ in 0..word(rest)? {
        let (first, length) = (word(rest)?, word(rest)?);
        if length > MOST || first > MOST {
            return None;
        }
        numbers.extend(first..first + length);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back_as_it_was(
            generation in any::<i32>(),
            owned in prop::collection::btree_map("[a-zA-Z0-9._-]{1,20}", prop::collection::btree_set(0u32..500, 0..60), 0..4),
            warm in prop::collection::btree_set(0u32..500, 0..60),
        ) {
            let owned = owned.into_iter().map(|(topic, numbers)| (topic.into(), numbers)).collect();
            let claim = Claim { generation, owned, warm };
            prop_assert_eq!(Claim::decode(&claim.encode()), Some(claim));
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Claim::decode(&bytes);
        }
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let mut bytes = Claim::default().encode();
        bytes[0] = 2;
        assert_eq!(Claim::decode(&bytes), None);
        assert_eq!(Claim::decode(&[]), None);
    }
}
