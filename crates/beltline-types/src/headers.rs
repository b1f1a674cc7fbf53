//! Record headers in the form they have inside a batch.
//!
//! `count: u32`, then per header `name_len: u32, value_len: u32 (u32::MAX = null), name, value`, all
//! little-endian. A record without headers has no bytes at all.

use crate::{Error, ErrorKind, Result};

/// A null value, told apart from an empty one.
const NULL: u32 = u32::MAX;

/// Encodes headers for [`crate::BatchBuilder::push`]; no headers give no bytes.
///
/// ```
/// use beltline_types::{HeaderIter, encode_headers};
/// let bytes = encode_headers([("trace", Some(&b"7"[..])), ("empty", None)]);
/// let read: Vec<_> = HeaderIter::new(&bytes).collect();
/// assert_eq!(read, [("trace", Some(&b"7"[..])), ("empty", None)]);
/// ```
pub fn encode_headers<'a>(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut count = 0u32;
    for (name, value) in headers {
        if count == 0 {
            bytes.extend_from_slice(&[0; 4]);
        }
        count += 1;
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&value.map_or(NULL, |value| value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.unwrap_or_default());
    }
    if count > 0 {
        bytes[..4].copy_from_slice(&count.to_le_bytes());
    }
    bytes
}

/// Walks encoded headers; names and values are borrowed from the batch.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> HeaderIter<'a> {
    /// Starts at the first header of `bytes`; bytes that make no sense end the walk (a batch has checked
    /// its headers with [`HeaderIter::check`] when it was read).
    pub fn new(bytes: &'a [u8]) -> Self {
        match bytes.split_first_chunk::<4>() {
            Some((count, rest)) => HeaderIter { rest, left: u32::from_le_bytes(*count) },
            None => HeaderIter { rest: &[], left: 0 },
        }
    }

    /// Whether `bytes` are whole headers and nothing else.
    pub fn check(bytes: &[u8]) -> Result<()> {
        let mut headers = HeaderIter::new(bytes);
        while headers.next().is_some() {}
        if headers.left == 0 && headers.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Corrupt, "the headers of a record make no sense"))
        }
    }
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let (name_len, rest) = self.rest.split_first_chunk::<4>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
        let name = std::str::from_utf8(name).ok()?;
        let value_len = u32::from_le_bytes(*value_len);
        let (value, rest) = if value_len == NULL {
            (None, rest)
        } else {
            let (value, rest) = rest.split_at_checked(value_len as usize)?;
            (Some(value), rest)
        };
        self.rest = rest;
        self.left -= 1;
        Some((name, value))
    }
}
