//! Zigzag numbers of variable length.

/// Takes a number off the front of `bytes`; `None` when it is cut short or too long.
pub(super) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let (mut raw, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// Takes a length and that many bytes; `Some(None)` for null, which is any negative length.
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take(bytes)?;
    if length < 0 {
        return Some(None);
    }
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(taken))
}

/// Bytes a number takes.
pub(super) fn size(number: i64) -> usize {
    let raw = zigzag(number);
    (64 - (raw | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number.
pub(super) fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut raw = zigzag(number);
    while raw >= 0x80 {
        bytes.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    bytes.push(raw as u8);
}

/// Appends a length and bytes, -1 for null.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        Some(part) => {
            put(bytes, part.len() as i64);
            bytes.extend_from_slice(part);
        }
        None => put(bytes, -1),
    }
}

/// Bytes a length and these bytes take.
pub(super) fn size_of_bytes(part: Option<&[u8]>) -> usize {
    part.map_or(1, |part| size(part.len() as i64) + part.len())
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}
