//! Tables in memory: typed shards with dirty tracking, undo and changelog bytes.
//!
//! A [`Shard`] is the part of a table that belongs to one partition. Reading and writing it is plain memory work;
//! what was written since the last commit is remembered, so that one call gives the changelog records of a commit unit
//! ([`Shard::seal`]: the last value per key) and another undoes an aborted one ([`Shard::rollback`]).
//!
//! ```
//! use beltline_table::{Key, Shard, Value, ValueForm};
//!
//! let mut counts = Shard::new(ValueForm::Json);
//! counts.insert(Key::Text("the"), Value::Int(1));
//! let mut changelog = Vec::new();
//! counts.seal(&mut |key, value| changelog.push((key.to_vec(), value.map(<[u8]>::to_vec))));
//! assert_eq!(changelog, [(b"\"the\"".to_vec(), Some(b"1".to_vec()))]);
//! counts.committed();
//!
//! counts.insert(Key::Text("the"), Value::Int(2));
//! counts.rollback();
//! assert_eq!(counts.get(Key::Text("the")), Some(&Value::Int(1)));
//! ```

mod entries;
mod key;
mod shard;
mod value;

pub use entries::Slot;
pub use key::Key;
pub use shard::{Shard, Succession};
pub use value::{Value, ValueForm};
