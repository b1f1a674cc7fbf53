//! The quick way of a send: nothing but key and value is given, and mostly nobody wants to know where the record went.

use beltline_engine::TopicId;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyString, PyType};

use crate::belt::Belt;
use crate::delivery::{Receiver, SentTo};
use crate::errors::ForPython;
use crate::raw::guarded::Guarded;
use crate::raw::slots::Slot;
use crate::records::RecordEncoder;

/// How objects become bytes.
enum Way {
    /// Bytes as they are and text as UTF-8; the function makes the rest.
    Raw(Py<PyAny>),
    /// Instances of one class, without a detour over an object of bytes; the function makes the rest.
    Record(Py<RecordEncoder>, Py<PyAny>),
    Function(Py<PyAny>),
}

impl Way {
    /// The way that fits the function: natively where it is the method of an encoder.
    fn of(function: Bound<'_, PyAny>, is_raw: bool) -> Way {
        if is_raw {
            return Way::Raw(function.unbind());
        }
        let encoder = function.getattr("__self__").ok().and_then(|it| it.cast_into::<RecordEncoder>().ok());
        match encoder {
            Some(encoder) => Way::Record(encoder.unbind(), function.unbind()),
            None => Way::Function(function.unbind()),
        }
    }

    fn function(&self) -> &Py<PyAny> {
        match self {
            Way::Raw(function) | Way::Record(_, function) | Way::Function(function) => function,
        }
    }

    /// The bytes of an object, in `text` or in an object of their own.
    fn bytes<'a, 'py: 'a>(&self, object: &'a Bound<'py, PyAny>, text: &'a mut Vec<u8>) -> PyResult<Bytes<'a, 'py>> {
        match self {
            Way::Raw(_) => {
                if let Ok(bytes) = object.cast_exact::<PyBytes>() {
                    return Ok(Bytes::Borrowed(bytes.as_bytes()));
                }
                // Half a surrogate pair is no UTF-8; the function says so.
                if let Some(text) = object.cast_exact::<PyString>().ok().and_then(|text| text.to_str().ok()) {
                    return Ok(Bytes::Borrowed(text.as_bytes()));
                }
            }
            Way::Record(encoder, _) => {
                text.clear();
                if encoder.get().write(object, text).is_some() {
                    return Ok(Bytes::Borrowed(text));
                }
            }
            Way::Function(_) => {}
        }
        let made = self.function().bind(object.py()).call1((object,))?;
        Ok(Bytes::Object(made.cast_into::<PyBytes>()?))
    }
}

enum Bytes<'a, 'py> {
    Borrowed(&'a [u8]),
    Object(Bound<'py, PyBytes>),
}

impl Bytes<'_, '_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Object(bytes) => bytes.as_bytes(),
        }
    }
}

/// What is kept from one send to the next.
#[derive(Default)]
struct Kept {
    /// Memory for the value that is being made.
    text: Vec<u8>,
    /// Where the last record went, whose receipt may be used again.
    last: Option<SentTo>,
}

/// Sends of one topic with nothing but key and value.
///
/// A receipt that nobody holds any more when the next record is sent is used for that one: a loop that does not look at
/// what sending gives back has only one of them.
///
/// Args:
///     belt: Where records go.
///     topic: A declared topic.
///     channel: What receipts name as the place they were sent to.
///     key: Makes the bytes of a key.
///     value: Makes the bytes of a value; the method of a `RecordEncoder` is not called but used.
///     has_raw_keys: Whether `key` leaves bytes and text as they are.
///     receipt: The class of receipts, futures with the method ``deliver``, made of ``(channel, key, value)``, which
///         they keep in the slot ``_message``. One must hold itself once somebody has ended it or waits for it.
///     loop: Whose futures they are.
///     general: Sends in every other case, and raises what is to be raised.
///     unless: Collections; while one of them is not empty, everything goes the general way.
///
/// Raises:
///     ImproperlyConfigured: A topic that was not declared.
///
/// Signature:
///     __new__(belt: Belt, topic: str, channel: Any, key: Callable[[Any], bytes], value: Callable[[Any], bytes], *,
///         has_raw_keys: bool, receipt: type[Any], loop: Any, general: Callable[..., Any], unless: Sequence[Any]) -> Sender
#[pyclass(frozen, module = "beltline._native")]
pub struct Sender {
    belt: Py<Belt>,
    topic: TopicId,
    channel: Py<PyAny>,
    key: Way,
    value: Way,
    receipt_message: Slot,
    receipt_options: Py<PyDict>,
    general: Py<PyAny>,
    unless: Vec<Py<PyAny>>,
    kept: Guarded<Kept>,
}

#[pymethods]
impl Sender {
    #[new]
    #[pyo3(signature = (belt, topic, channel, key, value, *, has_raw_keys, receipt, r#loop, general, unless))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        belt: Py<Belt>,
        topic: &str,
        channel: Py<PyAny>,
        key: Bound<'_, PyAny>,
        value: Bound<'_, PyAny>,
        has_raw_keys: bool,
        receipt: &Bound<'_, PyType>,
        r#loop: Py<PyAny>,
        general: Py<PyAny>,
        unless: Vec<Py<PyAny>>,
    ) -> PyResult<Sender> {
        let topic = belt.get().enter(py)?.topic_id(topic).for_python(py)?;
        let (key, value) = (Way::of(key, has_raw_keys), Way::of(value, false));
        let no_slot = || PyTypeError::new_err("receipts need a slot _message");
        let receipt_message = Slot::of(receipt, "_message")?.ok_or_else(no_slot)?;
        let receipt_options = [("loop", r#loop)].into_py_dict(py)?.unbind();
        let kept = Guarded::new(Kept::default());
        Ok(Sender { belt, topic, channel, key, value, receipt_message, receipt_options, general, unless, kept })
    }

    /// Puts a record into the outbox and returns its receipt: `Topic.send_soon`, prepared once.
    ///
    /// Signature: (*, key: Any = None, value: Any = None, partition: Any = None, timestamp: Any = None, headers: Any = None,
    ///     key_serializer: Any = None, value_serializer: Any = None, callback: Any = None, force: Any = None,
    ///     eager_partitioning: Any = None) -> Any
    // All of them by name: with `**others` Python would make a dict of the arguments of every call.
    #[pyo3(signature = (*, key = None, value = None, partition = None, timestamp = None, headers = None,
        key_serializer = None, value_serializer = None, callback = None, force = None, eager_partitioning = None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn send_soon<'py>(
        &self,
        py: Python<'py>,
        key: Option<&Bound<'py, PyAny>>,
        value: Option<&Bound<'py, PyAny>>,
        partition: Option<&Bound<'py, PyAny>>,
        timestamp: Option<&Bound<'py, PyAny>>,
        headers: Option<&Bound<'py, PyAny>>,
        key_serializer: Option<&Bound<'py, PyAny>>,
        value_serializer: Option<&Bound<'py, PyAny>>,
        callback: Option<&Bound<'py, PyAny>>,
        force: Option<&Bound<'py, PyAny>>,
        eager_partitioning: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let special = [
            ("partition", partition),
            ("timestamp", timestamp),
            ("headers", headers),
            ("key_serializer", key_serializer),
            ("value_serializer", value_serializer),
            ("callback", callback),
            ("force", force),
            ("eager_partitioning", eager_partitioning),
        ];
        if special.iter().all(|(_, given)| given.is_none())
            && let Some(value) = value
            && let Some(receipt) = self.send(py, key, value)?
        {
            return Ok(receipt);
        }
        let given = [("key", key), ("value", value)].into_iter().chain(special);
        let given = given.filter_map(|(name, given)| given.map(|given| (name, given)));
        self.general.call(py, (), Some(&given.into_py_dict(py)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.belt)?;
        visit.call(&self.channel)?;
        visit.call(self.key.function())?;
        visit.call(self.value.function())?;
        if let Way::Record(encoder, _) = &self.value {
            visit.call(encoder)?;
        }
        visit.call(self.receipt_message.class())?;
        visit.call(&self.receipt_options)?;
        visit.call(&self.general)?;
        self.unless.iter().try_for_each(|one| visit.call(one))
    }
}

impl Sender {
    /// Nothing was done, and `None`: the general way is needed, in another thread, while somebody listens, or to explain
    /// what fails.
    fn send<'py>(
        &self,
        py: Python<'py>,
        key: Option<&Bound<'py, PyAny>>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Py<PyAny>>> {
        if self.unless.iter().any(|one| one.bind(py).len().is_ok_and(|length| length > 0)) {
            return Ok(None);
        }
        // A key or value that sends while it is made finds nothing kept, and what it keeps is replaced.
        let Some(mut kept) = self.kept.try_hold(py).map(|mut kept| std::mem::take(&mut *kept)) else { return Ok(None) };
        let Kept { text, last } = &mut kept;
        let mut key_text = Vec::new();
        let key_bytes = key.map(|key| self.key.bytes(key, &mut key_text)).transpose()?;
        let value_bytes = self.value.bytes(value, text)?;
        let receipt = self.receipt_for(py, key, value, last.take())?;
        let belt = self.belt.get();
        let origin = belt.shared.origin(py);
        let Some(mut inner) = belt.try_enter(py) else { return Ok(None) };
        if inner.is_taken_back(py) {
            return Ok(None);
        }
        let key_bytes = key_bytes.as_ref().map(Bytes::as_slice);
        let receiver = Receiver::Receipt(receipt.clone_ref(py));
        let Ok(sent) = inner.send_plain(self.topic, key_bytes, Some(value_bytes.as_slice()), origin, receiver) else {
            return Ok(None);
        };
        belt.wake_if_needed(&inner);
        drop(inner);
        drop(value_bytes);
        kept.last = Some(sent);
        if let Some(mut place) = self.kept.try_hold(py) {
            *place = kept;
        }
        Ok(Some(receipt))
    }

    /// The receipt of the record before, if nobody holds it, else a new one.
    fn receipt_for(
        &self,
        py: Python<'_>,
        key: Option<&Bound<'_, PyAny>>,
        value: &Bound<'_, PyAny>,
        last: Option<SentTo>,
    ) -> PyResult<Py<PyAny>> {
        let message = (&self.channel, key, value).into_pyobject(py)?;
        let unheld = last.and_then(|last| self.belt.get().try_enter(py)?.take_back(py, &last));
        if let Some(receipt) = unheld
            && self.receipt_message.write(receipt.bind(py), message.clone().into_any())
        {
            return Ok(receipt);
        }
        self.receipt_message.class().call(py, (message,), Some(self.receipt_options.bind(py)))
    }
}
