//! JSON objects of a known, flat shape, decoded without a tree in between.
//!
//! A [`RecordDecoder`] remembers the literal bytes between the values of the last record (`{"customer":`, `,"amount":`).
//! Records of one producer look alike, so the next one is mostly compared, not parsed. Everything it accepts is what a
//! strict JSON parser accepts, with the same values; whatever it is not sure of it hands back as [`Outcome::General`].
//!
//! - `decoder`: the walk over an object; `scan`: one value, also for those who build values of any shape

mod decoder;
mod scan;

pub use decoder::{FieldKind, FieldSpec, Outcome, RecordDecoder, RecordSink};
pub use scan::{Scalar, scalar, skip_blanks};
