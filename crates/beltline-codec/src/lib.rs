//! Bytes to values and back: JSON records, table keys, changelog bytes.
