//! The durable form of table shards: a snapshot, and a log of the changes since.
//!
//! A [`Store`] has no map of its own. Loading gives every record back in the order it was written, so that the shard in
//! memory is filled directly; applying appends one frame with a checksum. What a shard holds is always a prefix of its
//! table's changelog: [`Store::load`] says up to which offset, and the changelog has the rest. Therefore nothing here
//! waits for the disk: whatever a crash takes from the end, the changelog gives back.
//!
//! One directory per shard, `<root>/<table>/<partition>/`:
//!
//! | file | content |
//! |---|---|
//! | `snapshot-<n>` | the live records at the moment generation `n` began |
//! | `changes-<n>` | the frames since, in order; `changes-<n+1>` follows it while a new snapshot is being written |
//!
//! - `frame`: the bytes of both kinds of files
//! - `shard_files`: the files of one shard: reading, appending, a new generation
//! - `store`: all shards, and when a new generation is worth it

mod frame;
mod shard_files;
mod store;

pub use store::{Loaded, Store, StoreOptions, Visitor};
