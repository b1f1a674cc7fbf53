//! The durable form of a table shard: a snapshot and a log of changes.
