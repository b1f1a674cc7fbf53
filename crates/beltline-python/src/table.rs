//! The table: a mapping over the shard of the event in hand, or over all shards.

use std::sync::atomic::AtomicBool;

use beltline_table::{Shard, Value};
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::convert::{Codec, ValueKind};
use crate::made::Made;
use crate::raw::guarded::Guarded;
use crate::shard_access::{Attachment, Sight};
use crate::table_iterator::{self, TableIterator};

/// A mapping sharded like the topic its events come from; writes go to the changelog with the next commit.
///
/// While an event is worked on (in the task or thread that iterates the stream), the table *is* the shard of that
/// event's partition. Outside an event it shows all shards and refuses writes with ``TypeError``. Values are copies:
/// change one, then assign it again. Changing the key set while iterating raises ``RuntimeError``.
///
/// Without shards at first; `Belt.attach_table` gives it some. Unknown keywords are for subclasses.
///
/// Args:
///     name: Shown in errors and `Belt.health`.
///     key_loads: Changelog key bytes to key, for keys that are neither JSON strings nor JSON integers.
///     key_dumps: The way back; also for ``str`` subclasses. Without it such keys raise ``TypeError``.
///     value_kind: ``"object"`` passes every value through `value_dumps`; with any other, ``int`` (64 bits),
///         ``float`` and ``str`` are JSON without a call and only other values go through it.
///     value_loads: Changelog value bytes to value.
///     default: Called for a missing key; the result is returned, not stored, as in Faust.
///     on_foreign_key: Called once per table as ``(table, key, partition, expected)`` when a key is first written
///         from a partition that its hash does not map to.
///
/// Signature:
///     class Table(Generic[_KT, _VT])
///     __new__(name: str, *, key_loads: Callable[[bytes], Any] | None = None,
///         key_dumps: Callable[[Any], bytes] | None = None, value_kind: ValueKind = "json",
///         value_loads: Callable[[bytes], Any] | None = None, value_dumps: Callable[[Any], bytes] | None = None,
///         default: Callable[[], Any] | None = None,
///         on_foreign_key: Callable[[Table[Any, Any], Any, int, int], object] | None = None,
///         **kwargs: Any) -> Table[Any, Any]
///     __getitem__(key: _KT) -> _VT
///     __setitem__(key: _KT, value: _VT) -> None
///     __delitem__(key: _KT) -> None
///     __contains__(key: object) -> bool
///     __len__() -> int
///     __iter__() -> Iterator[_KT]
///     __eq__(other: object) -> bool
///     __or__(other: Mapping[Any, Any]) -> dict[Any, Any]
///     __ror__(other: Mapping[Any, Any]) -> dict[Any, Any]
///     __ior__(other: Mapping[_KT, _VT] | Iterable[tuple[_KT, _VT]]) -> Table[_KT, _VT]
//
// Python sees a type derived from this one, whose subscription is in `raw::mapping`.
#[pyclass(frozen, subclass, weakref, dict, mapping, module = "beltline._native", name = "TableBase")]
pub struct Table {
    made: Made,
    pub(crate) name: String,
    pub codec: Codec,
    pub(crate) default: Guarded<Option<Py<PyAny>>>,
    pub(crate) on_foreign_key: Option<Py<PyAny>>,
    pub(crate) told_foreign: AtomicBool,
    pub(crate) attachment: Guarded<Option<Attachment>>,
}

impl Table {
    fn value<'py>(&self, py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
        self.codec.value_to(py, value, &self.name)
    }

    fn missing<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let default = self.default.hold(py, "the table")?.as_ref().map(|default| default.clone_ref(py));
        match default {
            Some(default) => Ok(default.call0(py)?.into_bound(py)),
            None => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    /// `table[key]`.
    ///
    /// # Errors
    /// `KeyError` without a default; what codec and default raise.
    pub fn get_item<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let given = self.codec.key_from(key, &self.name)?;
        match self.read(py, self.sight(py)?, &given)? {
            Some(value) => self.value(py, &value),
            None => self.missing(py, key),
        }
    }

    /// `table[key] = value`.
    ///
    /// # Errors
    /// `TypeError` outside of an event; what the codec raises.
    pub fn set_item(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let given = this.codec.key_from(key, &this.name)?;
        let partition = this.target(py, this.sight(py)?, &given)?;
        let value = this.codec.value_from(value, &this.name)?;
        Table::write(slf, partition, &given, value)
    }

    /// `del table[key]`.
    ///
    /// # Errors
    /// `KeyError`; `TypeError` outside of an event.
    pub fn delete_item(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = key.py();
        let given = self.codec.key_from(key, &self.name)?;
        let partition = self.target(py, self.sight(py)?, &given)?;
        match self.take(py, partition, &given)? {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    fn dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(slf.py());
        for entry in table_iterator::entries(slf.get(), slf.py(), slf.get().sight(slf.py())?)? {
            let (key, value) = entry;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }
}

#[pymethods]
impl Table {
    #[new]
    #[pyo3(signature = (
        name, *, key_loads = None, key_dumps = None, value_kind = "json", value_loads = None, value_dumps = None,
        default = None, on_foreign_key = None, **_keywords
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        name: String,
        key_loads: Option<Py<PyAny>>,
        key_dumps: Option<Py<PyAny>>,
        value_kind: &str,
        value_loads: Option<Py<PyAny>>,
        value_dumps: Option<Py<PyAny>>,
        default: Option<Py<PyAny>>,
        on_foreign_key: Option<Py<PyAny>>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let kind = match value_kind {
            "json" | "int" | "float" | "str" => ValueKind::Json,
            "object" => ValueKind::Object,
            other => return Err(PyValueError::new_err(format!("table {name}: there is no value_kind {other:?}"))),
        };
        Ok(Table {
            made: Made::new(),
            name,
            codec: Codec { kind, key_loads, key_dumps, value_loads, value_dumps },
            default: Guarded::new(default),
            on_foreign_key,
            told_foreign: AtomicBool::new(false),
            attachment: Guarded::new(None),
        })
    }

    /// Subclasses may take arguments of their own.
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn __init__(&self, _arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) {}

    /// Shown in errors and `Belt.health`.
    ///
    /// Signature: () -> str
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The topic its writes go to; None while not attached.
    ///
    /// Signature: () -> str | None
    #[getter]
    fn changelog(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.attachment.hold(py, "the table")?.as_ref().map(|attached| attached.changelog.clone()))
    }

    /// Number of shards, 0 while not attached.
    ///
    /// Signature: () -> int
    #[getter]
    fn partitions(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.attachment.hold(py, "the table")?.as_ref().map_or(0, |attached| attached.partitions))
    }

    /// Called for a missing key; None raises ``KeyError``. Settable.
    ///
    /// Signature:
    ///     () -> Callable[[], Any] | None
    ///     (default: Callable[[], Any] | None) -> None
    #[getter]
    fn default(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.default.hold(py, "the table")?.as_ref().map(|default| default.clone_ref(py)))
    }

    #[setter]
    fn set_default(&self, py: Python<'_>, default: Option<Py<PyAny>>) -> PyResult<()> {
        let old = std::mem::replace(&mut *self.default.hold(py, "the table")?, default);
        drop(old);
        Ok(())
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(given) = self.codec.key_from(key, &self.name) else { return Ok(false) };
        Ok(self.read(py, self.sight(py)?, &given)?.is_some())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let partitions = self.partitions_in(py, self.sight(py)?)?;
        self.with(py, |inner, id, _| {
            let Some(core) = inner.core() else { return 0 };
            partitions.filter_map(|partition| core.shard(id, partition)).map(Shard::len).sum()
        })
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<TableIterator> {
        let sight = slf.get().sight(slf.py())?;
        TableIterator::new(slf, sight)
    }

    /// The value of a key, or `default`: the table's own default is for ``table[key]`` only.
    ///
    /// Signature:
    ///     (key: _KT, default: None = None) -> _VT | None
    ///     (key: _KT, default: _T) -> _VT | _T
    #[pyo3(signature = (key, default = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let given = self.codec.key_from(key, &self.name)?;
        match self.read(py, self.sight(py)?, &given)? {
            Some(value) => self.value(py, &value).map(Some),
            None => Ok(default),
        }
    }

    /// A view of the keys in sight, as of a dict.
    ///
    /// Signature: () -> KeysView[_KT]
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "KeysView")
    }

    /// A view of the values in sight, as of a dict.
    ///
    /// Signature: () -> ValuesView[_VT]
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ValuesView")
    }

    /// A view of the keys with their values in sight, as of a dict.
    ///
    /// Signature: () -> ItemsView[_KT, _VT]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ItemsView")
    }

    /// Takes a key out and returns its value.
    ///
    /// Raises:
    ///     KeyError: The key is not there, and no default was given.
    ///
    /// Signature:
    ///     (key: _KT) -> _VT
    ///     (key: _KT, default: _T) -> _VT | _T
    #[pyo3(signature = (key, *default))]
    fn pop<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given = self.codec.key_from(key, &self.name)?;
        let partition = self.target(py, self.sight(py)?, &given)?;
        match (self.take(py, partition, &given)?, default.get_item(0)) {
            (Some(value), _) => self.value(py, &value),
            (None, Ok(default)) => Ok(default),
            (None, Err(_)) => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    /// Takes some key out and returns it with its value.
    ///
    /// Raises:
    ///     KeyError: The table is empty.
    ///
    /// Signature: () -> tuple[_KT, _VT]
    fn popitem<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (this, py) = (slf.get(), slf.py());
        let last = table_iterator::entries(this, py, this.sight(py)?)?.pop();
        let Some((key, value)) = last else {
            return Err(PyKeyError::new_err(format!("table {} is empty", this.name)));
        };
        this.delete_item(&key)?;
        Ok((key, value))
    }

    /// The value of a key, which is `default` from now on if there was none.
    ///
    /// Signature: (key: _KT, default: Any = None) -> _VT
    #[pyo3(signature = (key, default = None))]
    fn setdefault<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (this, py) = (slf.get(), slf.py());
        let given = this.codec.key_from(key, &this.name)?;
        if let Some(value) = this.read(py, this.sight(py)?, &given)? {
            return this.value(py, &value);
        }
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        Table::set_item(slf, key, &default)?;
        Ok(default)
    }

    /// Sets what a mapping, an iterable of pairs or keywords give, as of a dict.
    ///
    /// Signature: (*args: Any, **kwargs: _VT) -> None
    #[pyo3(signature = (*arguments, **keywords))]
    fn update(
        slf: &Bound<'_, Self>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        // A dict knows what an update takes, and says what is wrong with it.
        let changes = PyDict::new(slf.py());
        changes.call_method("update", arguments, keywords)?;
        changes.iter().try_for_each(|(key, value)| Table::set_item(slf, &key, &value))
    }

    /// Takes every key out of the shard of the event in hand.
    ///
    /// Signature: () -> None
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let Sight::Shard(partition) = self.sight(py)? else {
            return Err(PyTypeError::new_err(format!("table {} is cleared outside of an event", self.name)));
        };
        self.change(py, |inner, id, _| {
            if let Some(shard) = inner.core_mut().ok().and_then(|core| core.shard_mut(id, partition)) {
                shard.clear();
            }
        })
    }

    /// Everything in sight, as a dict.
    ///
    /// Signature: () -> dict[_KT, _VT]
    fn copy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Table::dict(slf)
    }

    /// Reads from one shard, in or out of an event.
    ///
    /// Signature: (partition: int, key: _KT, default: Any = None) -> Any
    #[pyo3(signature = (partition, key, default = None))]
    fn get_in<'py>(
        &self,
        py: Python<'py>,
        partition: u32,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let given = self.codec.key_from(key, &self.name)?;
        match self.read(py, Sight::Shard(partition), &given)? {
            Some(value) => self.value(py, &value).map(Some),
            None => Ok(default),
        }
    }

    /// Writes to one shard, in or out of an event: for timers that know which partition a key belongs to.
    ///
    /// Signature: (partition: int, key: _KT, value: _VT) -> None
    fn set_in(slf: &Bound<'_, Self>, partition: u32, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        let given = this.codec.key_from(key, &this.name)?;
        let value = this.codec.value_from(value, &this.name)?;
        Table::write(slf, partition, &given, value)
    }

    /// Removes from one shard, in or out of an event; returns whether the key was there.
    ///
    /// Signature: (partition: int, key: _KT) -> bool
    fn delete_in(&self, py: Python<'_>, partition: u32, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let given = self.codec.key_from(key, &self.name)?;
        Ok(self.take(py, partition, &given)?.is_some())
    }

    /// What one shard (or all) holds right now, in or out of an event.
    ///
    /// Signature: (partition: int | None = None) -> list[tuple[_KT, _VT]]
    #[pyo3(signature = (partition = None))]
    fn items_in<'py>(&self, py: Python<'py>, partition: Option<u32>) -> PyResult<Bound<'py, PyList>> {
        let sight = partition.map_or(Sight::All, Sight::Shard);
        PyList::new(py, table_iterator::entries(self, py, sight)?)
    }

    /// Partitions whose shard is restored and readable here.
    ///
    /// Signature: () -> list[int]
    fn shards(&self, py: Python<'_>) -> PyResult<Vec<u32>> {
        self.with(py, |inner, id, partitions| {
            let ready = |partition: &u32| inner.core().is_some_and(|core| core.shard(id, *partition).is_some());
            (0..partitions).filter(ready).collect()
        })
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if slf.is(other) {
            return Ok(true);
        }
        if let Ok(table) = other.cast::<Table>() {
            return Table::dict(slf)?.eq(Table::dict(table)?);
        }
        Table::dict(slf)?.eq(other)
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let dict = Table::dict(slf)?;
        dict.call_method1("update", (other,))?;
        Ok(dict)
    }

    fn __ror__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(slf.py());
        dict.call_method1("update", (other,))?;
        dict.call_method1("update", (Table::dict(slf)?,))?;
        Ok(dict)
    }

    fn __ior__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        Table::update(slf, &PyTuple::new(slf.py(), [other])?, None)
    }

    fn __repr__(&self) -> String {
        format!("<Table {}>", self.name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.made.is_finished() {
            return Ok(());
        }
        self.codec.traverse(&visit)?;
        visit.call(&self.on_foreign_key)?;
        if let Some(default) = self.default.visit(&visit) {
            visit.call(&*default)?;
        }
        match self.attachment.visit(&visit).as_deref() {
            Some(Some(attached)) => visit.call(&attached.belt),
            _ => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        if !self.made.is_finished() {
            return;
        }
        if let Ok(mut attachment) = self.attachment.hold(py, "the table") {
            let old = attachment.take();
            drop(attachment);
            drop(old);
        }
    }
}

/// A view of `collections.abc`, which needs no more than the mapping itself.
fn view<'py>(table: &Bound<'py, Table>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    table.py().import("collections.abc")?.getattr(name)?.call1((table,))
}
