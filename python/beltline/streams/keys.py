"""Keys by which streams are grouped, and the names of the topics in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from beltline.exceptions import ImproperlyConfigured
from beltline.serializers import get_serde

__all__ = ["BETWEEN", "GroupKey", "dump_key", "group_key", "repartition_topic_name"]

#: How the names of topics end that `group_by` makes.
BETWEEN: Final = "-repartition"

#: Types that a record's key can have as it is; a field of another type leaves the key's type to the topic.
KEY_TYPES: Final = (str, bytes, int, float)


class GroupKey(NamedTuple):
    """How to get the new key out of a value.

    Attributes:
        label: Stands for it in the name of the repartition topic.
        get: Takes the value; may be a coroutine function.
        type: Type of the new key; None when it is not known.
    """

    label: str
    get: Callable[[Any], Any]
    type: Any


def group_key(key: Any, name: str | None = None) -> GroupKey:
    """Return what ``group_by(key, name=name)`` groups by.

    Args:
        key: A field of a model (``Order.customer``), the name of a field, or a function of the value.
        name: What a function is called in the name of the repartition topic.

    Raises:
        ImproperlyConfigured: A function without a name, or something else altogether.
    """
    ident = getattr(key, "ident", None)
    if isinstance(ident, str):
        declared = getattr(key, "type", None)
        return GroupKey(name or ident, key.getattr, declared if declared in KEY_TYPES else None)
    if isinstance(key, str):
        return GroupKey(name or key, field_getter(key), None)
    if not callable(key):
        raise ImproperlyConfigured(
            f"cannot group by {key!r}: give a field (Order.customer), the name of a field, or a function of the value"
        )
    function_name = getattr(key, "__name__", "")
    label = name or ("" if function_name == "<lambda>" else function_name)
    if not label:
        raise ImproperlyConfigured(
            "grouping by a lambda needs a name, which becomes part of a topic's: name='customer'"
        )
    return GroupKey(label, key, None)


def field_getter(name: str) -> Callable[[Any], Any]:
    """Return a function that reads one field of a mapping or an object."""

    def get(value: Any) -> Any:
        return value[name] if isinstance(value, Mapping) else getattr(value, name)

    return get


def repartition_topic_name(prefix: str, topic: str, label: str, *, has_prefix: bool = False) -> str:
    """Return Faust's name of the topic in between.

    Args:
        prefix: Of the agent.
        topic: The source's name.
        label: Of the key.
        has_prefix: The source is named after app and agent already, as an agent's own topic is. A topic whose name only
            looks so is not.

    Example:
        >>> repartition_topic_name("shop.tally-", "orders", "Order.customer")
        'shop.tally-orders-Order.customer-repartition'
    """
    return f"{'' if has_prefix else prefix}{topic}-{label}{BETWEEN}"


def dump_key(key: Any) -> bytes | None:
    """Return a key's bytes when no type says how to write it: text as UTF-8, numbers as text, the rest as JSON."""
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    return get_serde(None, "json").dumps(key)
