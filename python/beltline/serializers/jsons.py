"""JSON with Faust's flavour: compact, ASCII, and a word for what JSON has none for."""

from __future__ import annotations

import enum
import json
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

__all__ = ["dumps", "loads"]

UTC_OFFSET: Final = "+00:00"


def represent(value: Any) -> Any:
    """Return something JSON has a word for, for what it has none.

    Raises:
        TypeError: Nobody knows how.
    """
    as_json = getattr(value, "__json__", None)
    if as_json is not None:
        return as_json()
    if isinstance(value, datetime):
        text = value.isoformat()
        return f"{text[: -len(UTC_OFFSET)]}Z" if text.endswith(UTC_OFFSET) else text
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00"
    if isinstance(value, Decimal | uuid.UUID | bytes):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, set | frozenset | deque):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    fields = getattr(value, "__dataclass_fields__", None) or getattr(value, "__struct_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields}
    raise TypeError(
        f"JSON has no word for {type(value).__name__}: give the topic a value_type, or the class a __json__()"
    )


encoder = json.JSONEncoder(separators=(",", ":"), default=represent, check_circular=False)

#: Writes an object as text.
dumps_text = encoder.encode


def dumps(value: Any) -> bytes:
    """Return an object as JSON.

    Example:
        >>> dumps({"name": "é", "n": 1})
        b'{"name":"\\\\u00e9","n":1}'
    """
    return dumps_text(value).encode()


def loads(data: bytes) -> Any:
    """Read JSON.

    Raises:
        ValueError: The bytes are no JSON, or no UTF-8; the message says where.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
