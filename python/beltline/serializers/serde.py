"""How keys or values of one type are written and read with one codec."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from beltline.exceptions import DecodeError, ValueDecodeError
from beltline.models.convert import converter_for
from beltline.models.record import Record
from beltline.models.registry import maybe_model

from .codecs import Codec, Raw, get_codec
from .native import native_decoder, native_encoder, native_json

__all__ = ["Serde", "get_serde"]


class Serde(NamedTuple):
    """Both ways between objects and bytes.

    Attributes:
        loads: Bytes to an object: a function, a native decoder, or the name of a kind the engine reads itself.
        dumps: An object to bytes.
    """

    loads: Any
    dumps: Callable[[Any], bytes]


def get_serde(kind: Any = None, serializer: Any = None, *, error: type[DecodeError] = ValueDecodeError) -> Serde:
    """Return how objects of a type are written and read.

    Args:
        kind: ``str bytes int float Decimal``, a `Record`, a dataclass, a TypedDict, a pydantic or msgspec model, an
            annotation made of them, or None for whatever the codec gives.
        serializer: A codec, its name, or names joined with ``|``; None is the model's own, and ``json`` if it has none.
        error: Raised for bytes that are no such object.

    Example:
        >>> serde = get_serde(int, "json")
        >>> serde.dumps(7), serde.loads(b"7")
        (b'7', 7)
    """
    if isinstance(kind, type) and issubclass(kind, Record):
        return record_serde(kind, serializer, error)
    codec = get_codec(serializer or "json")
    if is_raw(codec):
        return raw_serde(kind, codec, error)
    foreign = foreign_serde(kind, codec, error)
    if foreign is not None:
        return foreign
    convert = maybe_model if kind is None else converter_for(kind)
    name = getattr(kind, "__name__", str(kind))
    load = guarded(codec.loads, convert, name, error)
    return Serde((native_json(codec, load) if kind is None else None) or load, codec.dumps)


def is_raw(codec: Codec) -> bool:
    """Whether a codec leaves bytes as they are."""
    return len(codec.nodes) == 1 and type(codec) is Raw


def guarded(
    loads: Callable[[bytes], Any], convert: Callable[[Any], Any] | None, name: str, error: type[DecodeError]
) -> Callable[[bytes], Any]:
    """Return a function that reads and converts, and turns what goes wrong into `error`."""

    def load(data: bytes) -> Any:
        try:
            value = loads(data)
            return value if convert is None else convert(value)
        except DecodeError:
            raise
        except (ValueError, TypeError, ArithmeticError, LookupError) as reason:
            raise error(f"no {name}: {reason}") from reason

    return load


#: What turns the text of raw bytes into a number.
NUMBERS: Final[dict[Any, Callable[[str], Any]]] = {int: int, float: float, Decimal: Decimal}


def raw_serde(kind: Any, codec: Codec, error: type[DecodeError]) -> Serde:
    """Keys and values that are no JSON: text and numbers as text."""
    if kind in (None, bytes):
        return Serde("bytes", codec.dumps)
    if kind is str:
        return Serde("str", codec.dumps)
    if kind in NUMBERS:
        return Serde(guarded(bytes.decode, NUMBERS[kind], kind.__name__, error), codec.dumps)
    # Anything else has a form of its own, whatever the codec; without one it is JSON.
    made = get_serde(kind, "json", error=error)
    return Serde(made.loads, lambda value: value if isinstance(value, bytes) else made.dumps(value))


def record_serde(kind: type[Record], serializer: Any, error: type[DecodeError]) -> Serde:
    """Records: natively where the class is flat and the codec is JSON."""
    # The model's own codec counts before the app's default, which arrives here as a name.
    own = kind._options.serializer
    codec = get_codec(own if own is not None and serializer in (None, "json", "raw") else serializer or "json")
    if is_raw(codec):
        codec = get_codec("json")
    load = guarded(codec.loads, picking(kind), kind.__name__, error)

    def dump(value: Any) -> bytes:
        return codec.dumps(value.to_representation() if isinstance(value, Record) else value)

    if codec is not get_codec("json"):
        return Serde(load, dump)
    return Serde(native_decoder(kind, load) or load, native_encoder(kind, dump) or dump)


def picking(kind: type[Record]) -> Callable[[Any], Any]:
    """Return what makes a record of data, which may name a subclass."""
    if not (kind._options.abstract or kind._options.allow_blessed_key):
        return kind.from_data

    def make(data: Any) -> Any:
        told = maybe_model(data)
        return told if isinstance(told, kind) else kind.from_data(data)

    return make


def foreign_serde(kind: Any, codec: Codec, error: type[DecodeError]) -> Serde | None:
    """Models of pydantic and msgspec, if their package is loaded: it must be, or nobody could have made the class."""
    if not isinstance(kind, type):
        return None
    if "pydantic" in sys.modules and hasattr(kind, "model_validate_json"):
        return pydantic_serde(kind, codec, error)
    if "msgspec" in sys.modules and hasattr(kind, "__struct_fields__"):
        return msgspec_serde(kind, codec, error)
    return None


def pydantic_serde(model: Any, codec: Codec, error: type[DecodeError]) -> Serde:
    """Models of pydantic."""
    if codec is get_codec("json"):
        read = guarded(model.model_validate_json, None, model.__name__, error)
        return Serde(read, tolerant(model, lambda value: value.model_dump_json().encode(), codec))
    read = guarded(codec.loads, model.model_validate, model.__name__, error)
    return Serde(read, tolerant(model, lambda value: codec.dumps(value.model_dump(mode="json")), codec))


def msgspec_serde(struct: Any, codec: Codec, error: type[DecodeError]) -> Serde:
    """Structs of msgspec."""
    import msgspec

    if codec is get_codec("json"):
        read = guarded(msgspec.json.Decoder(struct).decode, None, struct.__name__, error)
        return Serde(read, tolerant(struct, msgspec.json.Encoder().encode, codec))
    read = guarded(codec.loads, lambda data: msgspec.convert(data, struct), struct.__name__, error)
    return Serde(read, tolerant(struct, lambda value: codec.dumps(msgspec.to_builtins(value)), codec))


def tolerant(kind: type[Any], write: Callable[[Any], bytes], codec: Codec) -> Callable[[Any], bytes]:
    """Return a writer that leaves what is no instance of the model to the codec."""
    return lambda value: write(value) if isinstance(value, kind) else codec.dumps(value)
