//! Keys: of records in a topic, and of entries in a table.

use std::borrow::Cow;

use beltline_table::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json;

/// A key of records: text and numbers as text, bytes as they are; `()` is no key, and partitions take turns.
pub trait RecordKey {
    /// The bytes in the log; `None` is a null key.
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>>;
}

impl RecordKey for () {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        None
    }
}

impl RecordKey for str {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.as_bytes()))
    }
}

impl RecordKey for String {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.as_bytes()))
    }
}

impl RecordKey for [u8] {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self))
    }
}

impl RecordKey for Vec<u8> {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self))
    }
}

impl<K: RecordKey + ?Sized> RecordKey for &K {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        (**self).to_bytes()
    }
}

impl<K: RecordKey> RecordKey for Option<K> {
    fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        self.as_ref().and_then(RecordKey::to_bytes)
    }
}

/// A key of table entries; JSON in the changelog.
pub trait TableKey: Sized {
    /// What a key may be looked up by: `str` for `String`.
    type Borrowed: ?Sized;

    /// Gives the key to `receive` in the form a shard takes.
    fn with_key<R>(borrowed: &Self::Borrowed, receive: impl FnOnce(Key<'_>) -> R) -> R;

    /// The bytes this key has as a [`RecordKey`], if it can be one: where they map to is where the entry belongs.
    fn record_key(borrowed: &Self::Borrowed) -> Option<Cow<'_, [u8]>>;

    /// Reads the key of an entry; `None` when it is of another type.
    fn from_key(key: Key<'_>) -> Option<Self>;
}

impl TableKey for String {
    type Borrowed = str;

    fn with_key<R>(borrowed: &str, receive: impl FnOnce(Key<'_>) -> R) -> R {
        receive(Key::Text(borrowed))
    }

    fn record_key(borrowed: &str) -> Option<Cow<'_, [u8]>> {
        borrowed.to_bytes()
    }

    fn from_key(key: Key<'_>) -> Option<Self> {
        match key {
            Key::Text(text) => Some(text.to_owned()),
            Key::Encoded(bytes) => serde_json::from_slice(bytes).ok(),
            Key::Int(_) => None,
        }
    }
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl RecordKey for $integer {
            fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
                Some(Cow::Owned(self.to_string().into_bytes()))
            }
        }

        impl TableKey for $integer {
            type Borrowed = $integer;

            fn with_key<R>(borrowed: &$integer, receive: impl FnOnce(Key<'_>) -> R) -> R {
                match i64::try_from(*borrowed) {
                    Ok(number) => receive(Key::Int(number)),
                    Err(_) => receive(Key::Encoded(borrowed.to_string().as_bytes())),
                }
            }

            fn record_key(borrowed: &$integer) -> Option<Cow<'_, [u8]>> {
                borrowed.to_bytes()
            }

            fn from_key(key: Key<'_>) -> Option<Self> {
                match key {
                    Key::Int(number) => number.try_into().ok(),
                    Key::Encoded(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
                    Key::Text(_) => None,
                }
            }
        }
    )*};
}

integer_keys!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! tuple_keys {
    ($($part:ident),*) => {
        impl<$($part: Serialize + DeserializeOwned),*> TableKey for ($($part,)*) {
            type Borrowed = ($($part,)*);

            fn with_key<R>(borrowed: &Self, receive: impl FnOnce(Key<'_>) -> R) -> R {
                // A part that JSON cannot hold (a map with odd keys) has no bytes, and no entry is found under them.
                receive(Key::Encoded(&json::to_bytes(borrowed).unwrap_or_default()))
            }

            fn record_key(_: &Self) -> Option<Cow<'_, [u8]>> {
                None
            }

            fn from_key(key: Key<'_>) -> Option<Self> {
                match key {
                    Key::Encoded(bytes) => serde_json::from_slice(bytes).ok(),
                    _ => None,
                }
            }
        }
    };
}

tuple_keys!(A, B);
tuple_keys!(A, B, C);
