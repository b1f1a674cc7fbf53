//! JSON bytes to instances of the user's own classes and back, and to plain values.
//!
//! - `decoder`, `encoder`: those of one class; `maker`: calls of it; `json_decoder`: for values that have none
//! - `text_cache`: short texts that come again; `names`: those of fields

mod decoder;
mod encoder;
mod json_decoder;
mod maker;
mod names;
mod text_cache;

pub use decoder::RecordDecoder;
pub use encoder::RecordEncoder;
pub use json_decoder::JsonDecoder;
pub use maker::{Arguments, RecordMaker};
