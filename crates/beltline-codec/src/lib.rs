//! Bytes to values and back: the JSON that keys, values and changelogs are made of.
//!
//! Writers give the bytes of Python's `json.dumps(value, separators=(",", ":"))`, so a changelog reads the same
//! whichever face wrote it.

pub mod json;
pub mod record;
