"""From what JSON has to what an annotation wants.

A converter takes a value and returns it converted, or raises ``ValueError`` that says what was wanted; ``None`` as a
converter means that values pass as they are. Converters are made once per annotation.
"""

from __future__ import annotations

import ast
import collections
import collections.abc
import dataclasses
import enum
import sys
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Union, get_args, get_origin

from .registry import blessed_model

__all__ = ["Converter", "converter_for", "is_typed_dict", "shorten", "wrong"]

Converter = Callable[[Any], Any]

#: Values are shown in messages up to this many characters.
MAX_SHOWN: Final = 60


def shorten(value: Any) -> str:
    """Return how a value looks in a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def wrong(wanted: str, value: Any) -> ValueError:
    """Return the error for a value of another type."""
    return ValueError(f"{wanted} is wanted, not {shorten(value)}")


def to_str(value: Any) -> Any:
    if type(value) is str:
        return value
    raise wrong("text", value)


def to_int(value: Any) -> Any:
    if type(value) is int:
        return value
    raise wrong("an integer", value)


def to_float(value: Any) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise wrong("a number a float can hold", value) from None
    raise wrong("a number", value)


def to_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    raise wrong("true or false", value)


def to_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        # Faust writes bytes as their literal, b'..', so that is what comes back.
        if value[:2] in ("b'", 'b"'):
            try:
                read = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                return value.encode()
            return read if isinstance(read, bytes) else value.encode()
        return value.encode()
    raise wrong("text", value)


def to_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if type(value) in (str, int, float):
        try:
            return Decimal(str(value))
        except InvalidOperation:
            pass
    raise wrong("a decimal number", value)


def to_datetime(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise wrong("a date and time as ISO 8601 has them", value)


def to_date(value: Any) -> Any:
    return value if type(value) is date else to_datetime(value).date()


def to_uuid(value: Any) -> Any:
    try:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise wrong("a UUID", value) from None


def to_none(value: Any) -> Any:
    if value is None:
        return None
    raise wrong("null", value)


SCALARS: Final[dict[Any, Converter]] = {
    str: to_str,
    int: to_int,
    float: to_float,
    bool: to_bool,
    bytes: to_bytes,
    Decimal: to_decimal,
    datetime: to_datetime,
    date: to_date,
    uuid.UUID: to_uuid,
    type(None): to_none,
    None: to_none,
}

#: What an annotation of a collection is made of.
COLLECTIONS: Final[dict[Any, Callable[[Any], Any]]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.deque: collections.deque,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}

MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping, collections.OrderedDict)


def converter_for(
    kind: Any, coercions: Mapping[Any, Converter] | None = None, *, polymorphic: bool = False
) -> Converter | None:
    """Return the converter of an annotation.

    Args:
        kind: The annotation, resolved.
        coercions: The user's own converters by type.
        polymorphic: Whether a model's place may hold a subclass, told by the blessed key.
    """

    def inner(argument: Any) -> Converter | None:
        return converter_for(argument, coercions, polymorphic=polymorphic)

    if coercions:
        for base, convert in coercions.items():
            if kind is base or (isinstance(kind, type) and isinstance(base, type) and issubclass(kind, base)):
                return coercing(kind, convert)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Annotated or origin is typing.ClassVar:
        # Before anything is looked up: what an annotation carries along may have no hash.
        return inner(arguments[0])
    if kind in SCALARS:
        return SCALARS[kind]
    if kind is Any or kind is object or isinstance(kind, typing.TypeVar):
        return None
    if isinstance(kind, typing.NewType):
        return inner(kind.__supertype__)
    if origin is typing.Literal:
        return literal(arguments)
    if origin is Union or origin is types.UnionType:
        return union(arguments, [inner(argument) for argument in arguments])
    base = origin or kind
    if base in COLLECTIONS:
        return collection(COLLECTIONS[base], inner(arguments[0]) if arguments else None)
    if base is tuple:
        return tuples(arguments, [inner(argument) for argument in arguments if argument is not ...])
    if base in MAPPINGS or base in (collections.defaultdict, collections.Counter):
        return mapping(inner(arguments[0]) if arguments else None, inner(arguments[1]) if len(arguments) > 1 else None)
    if isinstance(base, type):
        return of_class(base, inner, polymorphic)
    return None


def of_class(kind: type[Any], inner: Callable[[Any], Converter | None], polymorphic: bool) -> Converter | None:
    """Return the converter of a class that is no builtin."""
    if hasattr(kind, "from_data") and hasattr(kind, "_fields"):
        return model(kind, polymorphic)
    if issubclass(kind, enum.Enum):
        return enumeration(kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return named_tuple(kind, inner)
    if is_typed_dict(kind):
        return typed_dict(kind, inner)
    if dataclasses.is_dataclass(kind):
        return dataclass(kind, inner)
    return None


def coercing(kind: Any, convert: Converter) -> Converter:
    """A converter of the user's, which leaves what is right already."""

    def coerce(value: Any) -> Any:
        return value if isinstance(kind, type) and isinstance(value, kind) else convert(value)

    return coerce


def literal(allowed: tuple[Any, ...]) -> Converter:
    def check(value: Any) -> Any:
        if any(value == one and type(value) is type(one) for one in allowed):
            return value
        raise wrong(f"one of {', '.join(map(repr, allowed))}", value)

    return check


def union(kinds: tuple[Any, ...], converters: list[Converter | None]) -> Converter | None:
    """The first alternative that takes the value; text is a date only where nothing takes it as text."""
    if any(convert is None for convert in converters):
        return None
    alternatives = [convert for convert in converters if convert is not None]
    if to_none in alternatives and len(alternatives) == 2:
        only = next(convert for convert in alternatives if convert is not to_none)
        return lambda value: None if value is None else only(value)

    def convert(value: Any) -> Any:
        model_of = blessed_model(value)
        if model_of is not None and any(kind is model_of for kind in kinds):
            return model_of.from_data(value)
        for alternative in alternatives:
            try:
                return alternative(value)
            except ValueError:
                continue
        raise wrong(" or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds), value)

    return convert


def placed(place: str, convert: Converter, value: Any) -> Any:
    """Convert a part, and say which one it was when that fails."""
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def collection(make: Callable[[Any], Any], item: Converter | None) -> Converter:
    def convert(value: Any) -> Any:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, collections.abc.Iterable):
            raise wrong("a list", value)
        if item is None:
            return make(value)
        return make([placed(f"item {index}", item, one) for index, one in enumerate(value)])

    return convert


def tuples(arguments: tuple[Any, ...], converters: list[Converter | None]) -> Converter:
    if not arguments or arguments[-1] is ...:
        return collection(tuple, converters[0] if converters else None)

    def convert(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(converters):
            raise wrong(f"a list of {len(converters)}", value)
        pairs = enumerate(zip(converters, value, strict=True))
        return tuple(one if item is None else placed(f"item {index}", item, one) for index, (item, one) in pairs)

    return convert


def mapping(key: Converter | None, item: Converter | None) -> Converter:
    # JSON has only text as keys: numbers come back as numbers.
    read_key: Converter | None = int if key is to_int else float if key is to_float else key

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise wrong("an object", value)
        if read_key is None and item is None:
            return dict(value)
        return {
            (name if read_key is None else placed(f"key {shorten(name)}", read_key, name)): (
                one if item is None else placed(f"value of {shorten(name)}", item, one)
            )
            for name, one in value.items()
        }

    return convert


def model(kind: type[Any], polymorphic: bool) -> Converter:
    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise wrong(f"a {kind.__name__}", value)
        if polymorphic or kind._options.abstract or kind._options.allow_blessed_key:
            told = blessed_model(value)
            if told is not None and issubclass(told, kind):
                return told.from_data(value)
        return kind.from_data(value)

    return convert


def enumeration(kind: type[enum.Enum]) -> Converter:
    def convert(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise wrong(f"one of {', '.join(repr(one.value) for one in kind)}", value) from None

    return convert


def annotations_of(kind: Any) -> dict[str, Any]:
    """Return the resolved annotations of a class."""
    return typing.get_type_hints(kind, vars(sys.modules.get(kind.__module__, types)), include_extras=False)


def named_tuple(kind: Any, inner: Callable[[Any], Converter | None]) -> Converter:
    hints = annotations_of(kind)
    converters = [inner(hints.get(name, Any)) for name in kind._fields]

    def convert(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) > len(converters):
            raise wrong(f"a list of {len(converters)}", value)
        pairs = zip(kind._fields, converters, value, strict=False)
        return kind(*(one if item is None else placed(name, item, one) for name, item, one in pairs))

    return convert


def is_typed_dict(kind: Any) -> bool:
    """Whether a class is a ``TypedDict``."""
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def fields_from(
    name: str, value: Mapping[str, Any], converters: Mapping[str, Converter | None], required: collections.abc.Set[str]
) -> dict[str, Any]:
    """Return the known fields of an object, converted."""
    missing = [field for field in converters if field in required and field not in value]
    if missing:
        raise ValueError(f"{name}: the field {missing[0]!r} is missing")
    return {
        field: one if (item := converters[field]) is None else placed(f"{name}.{field}", item, one)
        for field, one in value.items()
        if field in converters
    }


def typed_dict(kind: Any, inner: Callable[[Any], Converter | None]) -> Converter:
    converters = {name: inner(hint) for name, hint in annotations_of(kind).items()}
    # Annotations that were written as text hide from the class which of its keys may be missing.
    told = typing.get_type_hints(kind, vars(sys.modules.get(kind.__module__, types)), include_extras=True)
    required = {
        name
        for name, hint in told.items()
        if get_origin(hint) is typing.Required
        or (name in kind.__required_keys__ and get_origin(hint) is not typing.NotRequired)
    }

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise wrong(f"a {kind.__name__}", value)
        extra = {name: one for name, one in value.items() if name not in converters}
        return {**fields_from(kind.__name__, value, converters, required), **extra}

    return convert


def dataclass(kind: Any, inner: Callable[[Any], Converter | None]) -> Converter:
    hints = annotations_of(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    converters = {field.name: inner(hints[field.name]) for field in fields}
    nothing = dataclasses.MISSING
    required = {field.name for field in fields if field.default is nothing and field.default_factory is nothing}

    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping):
            raise wrong(f"a {kind.__name__}", value)
        return kind(**fields_from(kind.__name__, value, converters, required))

    return convert
