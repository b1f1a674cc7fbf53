//! Tables in memory: typed shards with dirty tracking, undo and changelog bytes.
