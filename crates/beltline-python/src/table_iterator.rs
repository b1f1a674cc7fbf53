//! Iterating over tables: live, and refusing to go on when the key set has changed.

use std::ops::Range;

use beltline_table::Slot;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::raw::guarded::Guarded;
use crate::shard_access::Sight;
use crate::table::Table;

struct Cursor {
    partitions: Range<u32>,
    /// The shard being walked, its version at the beginning, and where to go on.
    shard: Option<(u32, u64, Slot)>,
}

/// Keys of a table, shard after shard, in the order of insertion.
#[pyclass(frozen, module = "beltline._native")]
pub struct TableIterator {
    table: Py<Table>,
    cursor: Guarded<Cursor>,
}

impl TableIterator {
    /// Starts at the first key in sight.
    ///
    /// # Errors
    /// `RuntimeError` when the table has no content yet.
    pub fn new(table: &Bound<'_, Table>, sight: Sight) -> PyResult<TableIterator> {
        let partitions = table.get().partitions_in(table.py(), sight)?;
        let cursor = Guarded::new(Cursor { partitions, shard: None });
        Ok(TableIterator { table: table.clone().unbind(), cursor })
    }
}

#[pymethods]
impl TableIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let table = self.table.get();
        let key = {
            let mut cursor = self.cursor.hold(py, "the iterator")?;
            loop {
                let (partition, version, from) = match cursor.shard {
                    Some(shard) => shard,
                    None => match cursor.partitions.next() {
                        Some(partition) => (partition, table.version(py, partition)?, Slot::FIRST),
                        None => return Ok(None),
                    },
                };
                if table.version(py, partition)? != version {
                    let message = format!("table {} got or lost a key during the iteration", table.table_name());
                    return Err(PyRuntimeError::new_err(message));
                }
                match table.next_entry(py, partition, from)? {
                    Some((slot, key, ..)) => {
                        cursor.shard = Some((partition, version, slot.after()));
                        break key;
                    }
                    None => cursor.shard = None,
                }
            }
        };
        table.codec.key_to(py, &key).map(Some)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.table)
    }
}

/// A key and its value for Python.
pub type Pair<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Everything in sight, as it is at this moment.
///
/// # Errors
/// What decoding raises.
pub fn entries<'py>(table: &Table, py: Python<'py>, sight: Sight) -> PyResult<Vec<Pair<'py>>> {
    let mut raw = Vec::new();
    for partition in table.partitions_in(py, sight)? {
        let mut from = Slot::FIRST;
        while let Some((slot, key, value, _)) = table.next_entry(py, partition, from)? {
            raw.push((key, value));
            from = slot.after();
        }
    }
    let mut pairs = Vec::with_capacity(raw.len());
    for (key, value) in raw {
        pairs.push((table.codec.key_to(py, &key)?, table.codec.value_to(py, &value, table.table_name())?));
    }
    Ok(pairs)
}
