"""What the engine reads and writes itself."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Final

from beltline import _native
from beltline.models.fields import REQUIRED
from beltline.models.record import Record
from beltline.models.registry import BLESSED_KEY
from beltline.serializers import jsons

from .codecs import Codec, Json

__all__ = ["native_decoder", "native_encoder", "native_json"]

#: What the engine calls the types of flat fields.
KINDS: Final[dict[Any, str]] = {str: "str", int: "int", float: "float", bool: "bool"}


def native_json(codec: Codec, general: Callable[[bytes], Any]) -> Any | None:
    """Return a decoder for JSON of any shape, or None where somebody has put another codec in the place of ours.

    Args:
        codec: What reads the bytes otherwise.
        general: Decodes whatever the fast way does not take, such as records that name their model, or raises.
    """
    if type(codec) is not Json or len(codec.nodes) != 1:
        return None
    return _native.JsonDecoder(general, special=BLESSED_KEY)


def native_decoder(model: type[Record], general: Callable[[bytes], Any]) -> Any | None:
    """Return a decoder that writes the fields of a flat record by their offsets, or None where there is none.

    Args:
        model: A class of slots whose fields are text, numbers or truth values, with their own names in JSON.
        general: Decodes whatever the fast way does not take, or raises.
    """
    if not is_plain(model):
        return None
    fields = []
    model.converters()
    for name, field in model._fields.items():
        kind, nullable = flat_kind(field.type)
        if kind is None or field.input_name != name or field.coerce:
            return None
        fields.append(
            (
                name,
                f"{kind}?" if nullable else kind,
                field.required,
                None if field.default is REQUIRED else field.default,
            )
        )
    return _native.RecordDecoder(model, fields, general=general)


#: Whoever overrides one of these has a form of their own.
WRITING: Final = ("to_representation", "__json__", "__getattribute__")


def native_encoder(model: type[Record], general: Callable[[Any], bytes]) -> Callable[[Any], bytes] | None:
    """Return what writes instances whose fields are scalars, or None where the model has a form of its own.

    Args:
        model: A class of slots.
        general: Writes whatever the fast way does not take.
    """
    if any(getattr(model, name) is not getattr(Record, name) for name in WRITING):
        return None
    written = {name: field.output_name for name, field in model._fields.items() if not field.exclude}
    if len({*written.values(), BLESSED_KEY}) <= len(written):
        return None
    fields, before = [], b"{"
    for name, output_name in written.items():
        fields.append((name, before + jsons.dumps(output_name) + b":"))
        before = b","
    end = b"}" if fields else b"{}"
    if model._options.include_metadata:
        end = before + jsons.dumps(BLESSED_KEY) + b":" + jsons.dumps(model._blessed) + b"}"
    return _native.RecordEncoder(model, fields, end, general=general).encode


def is_plain(model: type[Record]) -> bool:
    """Whether instances may be made without their constructor."""
    options = model._options
    special = options.abstract or options.allow_blessed_key or options.coerce or options.validation or options.coercions
    bases = [base for base in model.__mro__ if issubclass(base, Record) and base is not Record]
    owned = {name for base in bases for name in base.__dict__.get("__slots__", ())}
    generated = "__init__" in model.__dict__ and model.__init__.__qualname__ == f"{model.__qualname__}.__init__"
    return not special and generated and not hasattr(model, "__post_init__") and owned.issuperset(model._fields)


def flat_kind(kind: Any) -> tuple[str | None, bool]:
    """Return the engine's name of a field's type, and whether it may be null."""
    arguments = typing.get_args(kind)
    nullable = len(arguments) == 2 and type(None) in arguments
    inner = next(one for one in arguments if one is not type(None)) if nullable else kind
    return (KINDS.get(inner) if isinstance(inner, type) else None), nullable
