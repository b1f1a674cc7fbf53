//! Keys: text and integers unboxed for fast lookups, everything else as the bytes of the changelog.

use std::borrow::Cow;
use std::hash::BuildHasher;

use beltline_codec::json;
use foldhash::fast::RandomState;

/// A key to look up or to store, borrowed.
///
/// Two keys are the same when their changelog bytes are: `Key::Encoded(b"1")` finds what `Key::Int(1)` stored.
/// One kindness beyond that: text outside ASCII is also found under its unescaped UTF-8 form, which other JSON writers
/// (orjson) leave in a changelog; such an entry keeps its bytes, so its changelog key never splits in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A JSON string.
    Text(&'a str),
    /// A JSON integer that fits 64 bits.
    Int(i64),
    /// Changelog bytes of any other key.
    Encoded(&'a [u8]),
}

impl Key<'_> {
    /// Appends the key as its changelog record has it: text as `json.dumps` writes it (ASCII, escaped), integers in
    /// decimal, other keys as they are.
    ///
    /// ```
    /// let mut bytes = Vec::new();
    /// beltline_table::Key::Text("caf\u{e9}").encode(&mut bytes);
    /// assert_eq!(bytes, br#""caf\u00e9""#);
    /// ```
    pub fn encode(self, out: &mut Vec<u8>) {
        match self {
            Key::Text(text) => json::write_string(out, text),
            Key::Int(number) => json::write_int(out, number),
            Key::Encoded(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Roughly how many bytes the changelog will need, for limits.
    #[inline]
    pub(crate) fn weight(self) -> usize {
        match self {
            Key::Text(text) => text.len() + 2,
            Key::Int(_) => size_of::<i64>(),
            Key::Encoded(bytes) => bytes.len(),
        }
    }

    #[inline]
    pub(crate) fn hash(self, hasher: &RandomState) -> u64 {
        match self {
            Key::Text(text) => hasher.hash_one(text.as_bytes()),
            Key::Int(number) => hasher.hash_one(number),
            Key::Encoded(bytes) => hasher.hash_one(bytes),
        }
    }
}

/// Changelog bytes in the one form in which their key is stored.
pub(crate) enum Canonical<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Encoded(&'a [u8]),
}

impl<'a> Canonical<'a> {
    /// Text and integers are told apart only where writing them again gives the same bytes: no key changes its bytes by
    /// passing through a table.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        match bytes.first() {
            Some(b'"') => match json::read_string(bytes).filter(|text| is_written_as(text, bytes)) {
                Some(text) => Canonical::Text(text),
                None => Canonical::Encoded(bytes),
            },
            Some(b'-' | b'0'..=b'9') => match json::read_int(bytes) {
                Some(number) => Canonical::Int(number),
                None => Canonical::Encoded(bytes),
            },
            _ => Canonical::Encoded(bytes),
        }
    }

    pub(crate) fn key(&self) -> Key<'_> {
        match self {
            Canonical::Text(text) => Key::Text(text),
            Canonical::Int(number) => Key::Int(*number),
            Canonical::Encoded(bytes) => Key::Encoded(bytes),
        }
    }
}

fn is_written_as(text: &str, bytes: &[u8]) -> bool {
    // Without an escape and within ASCII there is only one way to write a string.
    if text.len() + 2 == bytes.len() && text.is_ascii() {
        return !text.contains('\u{7f}');
    }
    let mut written = Vec::with_capacity(bytes.len());
    json::write_string(&mut written, text);
    written == bytes
}

/// A key as an entry owns it.
#[derive(Debug)]
pub(crate) enum StoredKey {
    Text(Box<str>),
    Int(i64),
    Encoded(Box<[u8]>),
    /// The entry is gone; its place waits for the next squeeze.
    Hole,
}

impl StoredKey {
    pub(crate) fn new(key: Key<'_>) -> Self {
        match key {
            Key::Text(text) => StoredKey::Text(Box::from(text)),
            Key::Int(number) => StoredKey::Int(number),
            Key::Encoded(bytes) => StoredKey::Encoded(Box::from(bytes)),
        }
    }

    #[inline]
    pub(crate) fn view(&self) -> Option<Key<'_>> {
        match self {
            StoredKey::Text(text) => Some(Key::Text(text)),
            StoredKey::Int(number) => Some(Key::Int(*number)),
            StoredKey::Encoded(bytes) => Some(Key::Encoded(bytes)),
            StoredKey::Hole => None,
        }
    }

    #[inline]
    pub(crate) fn is(&self, key: Key<'_>) -> bool {
        match (self, key) {
            (StoredKey::Text(own), Key::Text(other)) => **own == *other,
            (StoredKey::Int(own), Key::Int(other)) => *own == other,
            (StoredKey::Encoded(own), Key::Encoded(other)) => **own == *other,
            _ => false,
        }
    }

    pub(crate) fn is_hole(&self) -> bool {
        matches!(self, StoredKey::Hole)
    }

    /// Whether these are the bytes of a JSON string that is not written the canonical way.
    pub(crate) fn is_foreign_text(&self) -> bool {
        matches!(self, StoredKey::Encoded(bytes) if bytes.first() == Some(&b'"'))
    }
}
