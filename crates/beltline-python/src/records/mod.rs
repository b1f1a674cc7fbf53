//! JSON bytes to instances of the user's own classes, and back.
//!
//! - `decoder`, `encoder`: those of one class; `text_cache`: short texts that come again

mod decoder;
mod encoder;
mod text_cache;

pub use decoder::RecordDecoder;
pub use encoder::RecordEncoder;
