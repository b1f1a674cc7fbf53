"""What users and environment variables write, turned into what the engine wants."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
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


#: Schemes that mean Kafka; Faust chose its client by them, and here there is one.
KAFKA_SCHEMES = frozenset({"kafka", "aiokafka", "confluent"})

KAFKA_PORT = 9092


def broker_url(value: Any) -> str:
    """Return the URL of the log; several brokers become one URL with semicolons.

    Raises:
        ValueError: A scheme that is none of ours, or an address that cannot be.

    Example:
        >>> broker_url(["aiokafka://a", "kafka://b:9093"])
        'kafka://a:9092;b:9093'
    """
    if value is None or value == "":
        return "embedded://"
    if isinstance(value, str) and value.partition("://")[0] in ("embedded", "memory") and "://" in value:
        return value.partition("://")[0] + "://"
    return kafka_url(value)


def kafka_url(value: Any) -> str:
    """Return the URL of one or several brokers, in one form for all that Faust takes.

    Raises:
        ValueError: It is none; the text of it is not repeated, there might be a password in it.
    """
    given = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    addresses = [part for one in given for part in str(one).replace(",", ";").split(";") if part.strip()]
    if not addresses:
        raise ValueError("no broker is named; write 'kafka://host:9092'")
    return "kafka://" + ";".join(broker_address(part.strip(), is_first=i == 0) for i, part in enumerate(addresses))


def broker_address(text: str, *, is_first: bool) -> str:
    """Return ``host:port`` of one broker."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if separator and scheme not in KAFKA_SCHEMES:
        raise ValueError("write 'kafka://host:9092', 'embedded://' or 'memory://'")
    if "@" in rest:
        raise ValueError(
            "no user or password in the URL, which ends up in logs; give broker_credentials="
            "beltline.SASLCredentials(username=..., password=...)"
        )
    host, port = split_port(rest.rstrip("/"))
    if not scheme and is_first and port is None:
        raise ValueError("write 'kafka://host:9092', 'embedded://' or 'memory://'")
    if not host or any(char in host for char in "/?# "):
        raise ValueError("the address of a broker is host:port")
    return f"{host}:{KAFKA_PORT if port is None else port}"


def split_port(address: str) -> tuple[str, int | None]:
    """Return host and port; a host that is an IPv6 address stands in brackets.

    Raises:
        ValueError: The port is no port.
    """
    if address.startswith("["):
        host, bracket, rest = address.partition("]")
        host, port_text = host + bracket, rest.removeprefix(":")
    else:
        host, _, port_text = address.partition(":")
    if not port_text:
        return host, None
    if not port_text.isdecimal() or not 0 < int(port_text) < 65_536:
        raise ValueError("the port of a broker is a number from 1 to 65535")
    return host, int(port_text)


def credentials(value: Any) -> Any:
    """Return credentials, see `beltline.auth`."""
    from beltline.auth import to_credentials

    return to_credentials(value)


def client_options(value: Any) -> tuple[tuple[str, str], ...]:
    """Return librdkafka options as pairs of text, from a mapping or from JSON.

    Raises:
        ValueError: It is neither; what was given is not repeated.

    Example:
        >>> client_options({"socket.keepalive.enable": True, "consumer.fetch.wait.max.ms": 20})
        (('socket.keepalive.enable', 'true'), ('consumer.fetch.wait.max.ms', '20'))
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('librdkafka options as text are JSON: {"socket.keepalive.enable": true}') from None
    if isinstance(value, tuple):
        value = dict(value)
    if not isinstance(value, Mapping):
        raise ValueError("librdkafka options are a mapping of names to values")
    pairs = []
    for name, one in value.items():
        if not isinstance(one, str | int | float):
            raise ValueError(f"librdkafka option {name!r}: a value is text, a number or a truth value")
        pairs.append((str(name), str(one).lower() if isinstance(one, bool) else str(one)))
    return tuple(pairs)
