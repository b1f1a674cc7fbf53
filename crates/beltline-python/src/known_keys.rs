//! Where keys stand, by the objects they are: what makes `table[key] += 1` cheap.
//!
//! It is a read and then a write with the same object, and texts of records are the same objects again and again (see
//! `records::text_cache`): neither has to be hashed or compared.

use beltline_table::{Key, Shard, Slot, Value};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};

use crate::convert::ValueKind;
use crate::raw::{context, numbers};
use crate::shard_access::Attachment;
use crate::table::Table;

/// Objects remembered per table; an object has exactly one place.
const PLACES: usize = 4096;

/// An object, and where it stands.
struct Known {
    /// An exact `str` or `int`: the same object is the same key, for as long as somebody refers to it, as this does.
    key: Py<PyAny>,
    slot: Slot,
    partition: u32,
    /// Of the shard; any other makes `slot` stale.
    layout: u32,
}

/// The objects that were keys of one table lately.
#[derive(Default)]
pub(crate) struct KnownKeys {
    places: Vec<Option<Known>>,
}

impl KnownKeys {
    #[inline]
    fn place(key: &Bound<'_, PyAny>) -> usize {
        // Objects stand at multiples of 16.
        ((key.as_ptr().addr() as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % PLACES
    }

    /// Where a key stands, which may be empty now.
    #[inline]
    fn find(&self, key: &Bound<'_, PyAny>, partition: u32, shard: &Shard) -> Option<Slot> {
        let known = self.places.get(KnownKeys::place(key))?.as_ref()?;
        let is_it = known.key.is(key) && known.partition == partition && known.layout == shard.layout();
        is_it.then_some(known.slot)
    }

    #[inline]
    fn remember(&mut self, key: &Bound<'_, PyAny>, partition: u32, shard: &Shard, slot: Slot) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let known = Known { key: key.clone().unbind(), slot, partition, layout: shard.layout() };
        if let Some(before) = self.places.get_mut(KnownKeys::place(key)).and_then(|place| place.replace(known)) {
            // A plain text or number ends without running code of anybody's.
            before.key.drop_ref(key.py());
        }
    }
}

/// A key that a shard takes as it is.
#[inline]
fn plain_key<'a>(key: &'a Bound<'_, PyAny>) -> Option<Key<'a>> {
    match key.cast_exact::<PyString>() {
        Ok(text) => text.to_str().ok().map(Key::Text),
        Err(_) => numbers::int_of(key).map(Key::Int),
    }
}

impl Table {
    /// A number that is there, under a key that needs no call: the common read. `None` leaves it to the general way.
    /// Nothing in here drops a `Py`: see [`crate::step::quick`].
    #[inline]
    pub fn quick_get<'py>(&self, key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let py = key.py();
        let partition = context::in_hand(py)?.partition;
        let mut attachment = self.attachment.try_hold(py)?;
        let Attachment { belt, id, known, .. } = attachment.as_mut()?;
        let inner = belt.get().try_enter(py)?;
        let shard = inner.worker.as_ref()?.core.shard(*id, partition)?;
        let value = match known.find(key, partition, shard).and_then(|slot| shard.value(slot)) {
            Some(value) => value,
            None => {
                let slot = shard.find(plain_key(key)?)?;
                known.remember(key, partition, shard, slot);
                shard.value(slot)?
            }
        };
        let value = match value {
            Value::Int(number) => Ok(*number),
            Value::Float(number) => Err(*number),
            Value::Encoded(_) => return None,
        };
        Some(match value {
            Ok(number) => numbers::int(py, number),
            Err(number) => PyFloat::new(py, number).into_any(),
        })
    }

    /// Writes a number under a key that is there: the common write. `false` leaves it to the general way.
    #[inline]
    pub fn quick_set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> bool {
        self.try_quick_set(key, value).unwrap_or(false)
    }

    #[inline]
    fn try_quick_set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Option<bool> {
        let py = key.py();
        if self.codec.kind != ValueKind::Json {
            return None;
        }
        let event = context::in_hand(py).filter(|event| event.comes_from_log())?;
        let partition = event.partition;
        let value = match numbers::int_of(value) {
            Some(number) => Value::Int(number),
            None => Value::Float(value.cast_exact::<PyFloat>().ok()?.value()),
        };
        let mut attachment = self.attachment.try_hold(py)?;
        let Attachment { belt, id, known, .. } = attachment.as_mut()?;
        let mut inner = belt.get().try_enter(py)?;
        let core = &mut inner.worker.as_mut()?.core;
        if event.is_taken_back(core) {
            return None;
        }
        let shard = core.shard_mut(*id, partition)?;
        let slot = match known.find(key, partition, shard) {
            Some(slot) => slot,
            None => shard.find(plain_key(key)?)?,
        };
        Some(shard.set_slot(slot, value))
    }
}
