//! JSON bytes to instances of the user's own classes.

mod decoder;

pub use decoder::RecordDecoder;
