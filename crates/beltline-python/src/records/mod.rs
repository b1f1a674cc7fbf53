//! JSON bytes to instances of the user's own classes.
//!
//! - `decoder`: the decoder of one class; `text_cache`: short texts that come again

mod decoder;
mod text_cache;

pub use decoder::RecordDecoder;
