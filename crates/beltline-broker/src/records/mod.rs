//! Kafka's record batches (format 2) to and from the batches of the log.
//!
//! - `varint`: the numbers inside of a record
//! - `compression`: what comes compressed, with a limit on what comes out
//! - `read`: a produced batch, checked
//! - `write`: stored records as a consumer reads them

mod compression;
mod read;
#[cfg(test)]
mod tests;
mod varint;
mod write;

pub use read::{Producer, ReadBatch, Refused, read_batch};
pub use write::write_batches;

/// Bytes before the length field's own count begins: base offset and length.
const PREFIX: usize = 12;

/// Bytes of a batch before its first record.
const HEAD: usize = 61;

/// Where the checksummed part begins: at the attributes.
const CHECKED_FROM: usize = 21;

/// The only format that is spoken; Kafka 4 speaks no other one either.
const MAGIC: u8 = 2;
