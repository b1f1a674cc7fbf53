"""Models by namespace: what the blessed key of a record says it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BLESSED_KEY", "maybe_model", "registry"]

#: The key that Faust adds to every record: ``{"ns": namespace}``.
BLESSED_KEY: Final = "__faust"

#: Every model that was defined, by namespace.
registry: dict[str, type[Any]] = {}


def blessed_model(data: Any) -> type[Any] | None:
    """Return the model that `data` says it is, if it is known here."""
    if isinstance(data, Mapping):
        blessed = data.get(BLESSED_KEY)
        if isinstance(blessed, Mapping):
            return registry.get(blessed.get("ns", ""))
    return None


def maybe_model(data: Any) -> Any:
    """Return an instance of the model that `data` says it is, or `data` itself.

    Example:
        >>> maybe_model({"a": 1})
        {'a': 1}
    """
    model = blessed_model(data)
    return data if model is None else model.from_data(data)
