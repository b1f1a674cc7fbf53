"""How values are written into errors, logs and ``repr`` without what nobody else may read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["HIDDEN", "hidden", "is_secret", "without_password", "without_secrets"]

HIDDEN: Final = "<hidden>"

#: Parts of the names of librdkafka's options that hold secrets. Locations of files are no secrets.
SECRET_PARTS: Final = ("password", "secret", "key.pem", "jaas", "token", "private", "passphrase")
PUBLIC_PARTS: Final = ("location", "endpoint.url")

#: Options whose text is a list of things among which there may be secrets.
SECRET_NAMES: Final = frozenset({"sasl.oauthbearer.config", "sasl.kerberos.kinit.cmd", "beltline.token"})


def is_secret(option: str) -> bool:
    """Whether the value of one of librdkafka's options is nobody's business.

    Example:
        >>> is_secret("ssl.key.password"), is_secret("producer.sasl.password"), is_secret("ssl.key.location")
        (True, True, False)
    """
    name = str(option).lower().removeprefix("consumer.").removeprefix("producer.")
    if name in SECRET_NAMES:
        return True
    return any(part in name for part in SECRET_PARTS) and not any(part in name for part in PUBLIC_PARTS)


def hidden(value: Any) -> str:
    """Return only whether there is a value.

    Example:
        >>> hidden("hush"), hidden(None)
        ('<hidden>', 'None')
    """
    return repr(None) if value is None else HIDDEN


def without_secrets(options: Any) -> str:
    """Return options as text, the secret ones hidden."""
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(options, Mapping):
        pairs = options.items()
    elif isinstance(options, tuple):
        pairs = options
    else:
        # Text of a variable, perhaps JSON gone wrong: what is in it cannot be told apart.
        return HIDDEN
    return "{" + ", ".join(f"{name!r}: {HIDDEN if is_secret(name) else repr(value)}" for name, value in pairs) + "}"


def without_password(url: Any) -> str:
    """Return a URL or several without what stands before an ``@``.

    Example:
        >>> without_password("kafka://shop:hush@broker:9092")
        "'kafka://<hidden>@broker:9092'"
    """
    return re.sub(r"(//|[;,'\"])[^/;,'\"]*@", rf"\1{HIDDEN}@", repr(str(url) if isinstance(url, str) else url))
