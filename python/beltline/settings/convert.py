"""What users and environment variables write, turned into what the engine wants."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")

#: What an environment variable may say for yes and for no, in any case.
TRUE_WORDS = frozenset({"1", "true", "yes", "y", "on", "enable", "enabled"})
FALSE_WORDS = frozenset({"0", "false", "no", "n", "off", "disable", "disabled", ""})


def boolean(value: Any) -> bool:
    """Return a truth value.

    Raises:
        ValueError: A word that means neither yes nor no.

    Example:
        >>> boolean("off")
        False
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise ValueError("write yes or no")
    return bool(value)


def integer(value: Any) -> int:
    """Return a whole number; text may carry the unit KiB, MiB or GiB.

    Raises:
        ValueError: No whole number.

    Example:
        >>> integer("16 MiB")
        16777216
    """
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    if isinstance(value, str):
        text = value.strip()
        for power, unit in enumerate(("KiB", "MiB", "GiB"), start=1):
            if text.lower().endswith(unit.lower()):
                return int(text[: -len(unit)].strip()) << (10 * power)
        return int(text)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("a whole number is wanted")
    return int(value)


def seconds(value: Any) -> float:
    """Return a duration in seconds from a number, a ``timedelta`` or a number as text.

    Raises:
        ValueError: No duration.

    Example:
        >>> seconds(timedelta(minutes=2))
        120.0
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        raise ValueError("a truth value is no duration")
    result = float(value)
    if result != result:
        raise ValueError("a duration is a number of seconds")
    return result


def text(value: Any) -> str:
    """Return text.

    Raises:
        ValueError: Something else.
    """
    if isinstance(value, str):
        return value
    raise ValueError("text is wanted")


def path(value: Any) -> Path:
    """Return a path; ``~`` is the home directory."""
    return Path(value).expanduser()


def anything(value: Any) -> Any:
    """Return what was given."""
    return value


def zone(value: Any) -> tzinfo:
    """Return a time zone from its name or from a ``tzinfo``.

    Raises:
        ValueError: An unknown name.
    """
    if isinstance(value, tzinfo):
        return value
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text(value))
    except ZoneInfoNotFoundError:
        raise ValueError("no such time zone; write it like 'Europe/Oslo'") from None


def symbol(value: Any) -> Any:
    """Return the class or function that a dotted path (``package.module:name``) names.

    Raises:
        ValueError: There is no such module or name.
    """
    if not isinstance(value, str):
        return value
    module_name, separator, attribute = value.partition(":")
    if not separator:
        module_name, _, attribute = value.rpartition(".")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cannot be imported: {error}") from error
    return found


def one_of(*choices: str) -> Callable[[Any], str]:
    """Return a converter that takes one of these words."""

    def convert(value: Any) -> str:
        word = str(getattr(value, "value", value)).strip().lower()
        if word not in choices:
            raise ValueError("it is one of " + ", ".join(repr(choice) for choice in choices))
        return word

    return convert


def optional(convert: Callable[[Any], _T]) -> Callable[[Any], _T | None]:
    """Return a converter that lets None through."""

    def convert_optional(value: Any) -> _T | None:
        return None if value is None else convert(value)

    return convert_optional


def error_policy(value: Any) -> Any:
    """Return the error policy, see `beltline.policies`."""
    from beltline.policies import policy_of

    return policy_of(value)


def decode_error_policy(value: Any) -> Any:
    """Return the policy for bytes that cannot be decoded, see `beltline.policies`."""
    from beltline.policies import final_policy

    return final_policy(value)


def broker_url(value: Any) -> str:
    """Return the URL of the log.

    Raises:
        ValueError: Another scheme than ``embedded://`` and ``memory://``.
    """
    if value is None or value == "":
        return "embedded://"
    if isinstance(value, str):
        scheme = value.partition("://")[0] if "://" in value else ""
        if scheme in ("embedded", "memory"):
            return f"{scheme}://"
    raise ValueError(
        "Kafka support is not in this version of beltline. Leave broker= out (and BROKER_URL unset) to use the durable "
        "log in the data directory, or write 'memory://' for one that forgets"
    )
