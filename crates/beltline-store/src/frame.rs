//! Frames: records with a length, a checksum and the changelog offset they reach.
//!
//! A file begins with [`FILE_HEADER`]. A frame is `length: u32, crc32: u32, end: i64`, then `length` bytes of records;
//! the checksum covers `end` and the records. A record is `key length: u32, value length: u32 (u32::MAX = removed)`,
//! key, value. All numbers are little-endian. The last frame of a snapshot has no records.

use beltline_types::Offset;

/// Magic and format version, at the start of every file.
pub(crate) const FILE_HEADER: [u8; 8] = *b"beltst\x00\x01";

/// Bytes before a frame's records.
pub(crate) const FRAME_HEAD: usize = 16;

/// The value length that means: removed.
const REMOVED: u32 = u32::MAX;

/// Appends one record.
pub(crate) fn write_record(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&value.map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
}

/// Begins a frame in `out`; records follow, then [`finish`].
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + FRAME_HEAD, 0);
    start
}

/// Fills in the head of the frame that was begun at `start`.
pub(crate) fn finish(out: &mut [u8], start: usize, end: Offset) {
    let length = (out.len() - start - FRAME_HEAD) as u32;
    out[start + 8..start + FRAME_HEAD].copy_from_slice(&end.to_le_bytes());
    let checksum = crc32fast::hash(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// The changelog offset that follows its last record.
    pub(crate) end: Offset,
    records: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`; `None` where there is no whole one with the right checksum.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..(u32::from_le_bytes(*length) as usize).checked_add(8)?)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (end, records) = body.split_first_chunk::<8>()?;
        let end = Offset::from_le_bytes(*end);
        Some(Frame { end, records })
    }

    /// Bytes it takes in the file.
    pub(crate) fn byte_len(&self) -> usize {
        FRAME_HEAD + self.records.len()
    }

    /// Whether it holds no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Keys and values in the order they were written.
    pub(crate) fn records(&self) -> Records<'a> {
        Records { rest: self.records }
    }
}

/// Walks the records of a frame whose checksum was right.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key_len, rest) = self.rest.split_first_chunk::<4>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
        let value_len = u32::from_le_bytes(*value_len);
        if value_len == REMOVED {
            self.rest = rest;
            return Some((key, None));
        }
        let (value, rest) = rest.split_at_checked(value_len as usize)?;
        self.rest = rest;
        Some((key, Some(value)))
    }
}
