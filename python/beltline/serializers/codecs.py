"""Codecs by name, and chains of them."""

from __future__ import annotations

import base64
import binascii
import pickle
import warnings
import zlib
from functools import reduce
from typing import Any, Final

from beltline.exceptions import ImproperlyConfigured, SecurityWarning

from . import jsons

__all__ = ["Codec", "codecs", "dumps", "get_codec", "loads", "register"]


#: Packages offer codecs under these names.
ENTRY_POINT_GROUPS: Final = ("beltline.codecs", "faust.codecs")

#: A window of the largest size, with the header of gzip.
GZIP_BITS: Final = 16 + zlib.MAX_WBITS

#: A record that was made small by compression may not become larger than this.
MAX_UNPACKED_BYTES: Final = 64 * 1024 * 1024


class Codec:
    """Objects to bytes and back. Override ``_dumps`` and ``_loads``; ``|`` makes a chain.

    Example:
        >>> (get_codec("json") | get_codec("binary")).dumps([1])
        b'WzFd'
    """

    #: The codecs of a chain, in the order of writing.
    nodes: tuple[Codec, ...] = ()

    def __init__(self, children: tuple[Codec, ...] | None = None, **kwargs: Any) -> None:
        self.nodes = (self, *(children or ()))
        self.kwargs = kwargs

    def _dumps(self, value: Any) -> bytes:
        raise NotImplementedError(f"{type(self).__name__} does not say how to write: override _dumps")

    def _loads(self, data: bytes) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say how to read: override _loads")

    def dumps(self, value: Any) -> bytes:
        """Return an object as bytes."""
        made: Any = value
        for node in self.nodes:
            made = node._dumps(made)
        return bytes(made)

    def loads(self, data: bytes) -> Any:
        """Read an object.

        Raises:
            ValueError: The bytes are not what the codec writes.
        """
        return reduce(lambda read, codec: codec._loads(read), reversed(self.nodes), data)

    def __or__(self, other: Codec) -> Codec:
        first, *rest = self.nodes
        made = type(first).__new__(type(first))
        made.__dict__.update(first.__dict__)
        made.nodes = (first, *rest, *other.nodes)
        return made

    def __repr__(self) -> str:
        return " | ".join(type(node).__name__ for node in self.nodes)


class Json(Codec):
    """JSON, compact and in ASCII."""

    def _dumps(self, value: Any) -> bytes:
        return jsons.dumps(value)

    def _loads(self, data: bytes) -> Any:
        return jsons.loads(data)


class Raw(Codec):
    """Bytes as they are, text as UTF-8, everything else as the text ``str`` makes of it."""

    def _dumps(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        return str(value).encode()

    def _loads(self, data: bytes) -> Any:
        return data


class Binary(Codec):
    """Bytes as base64."""

    def _dumps(self, value: Any) -> bytes:
        return base64.b64encode(value.encode() if isinstance(value, str) else value)

    def _loads(self, data: bytes) -> Any:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"no base64: {error}") from error


class Gzip(Codec):
    """Compressed bytes, the same ones for the same value whenever it is written."""

    def _dumps(self, value: Any) -> bytes:
        return zlib.compress(value.encode() if isinstance(value, str) else value, wbits=GZIP_BITS)

    def _loads(self, data: bytes) -> Any:
        unpacking = zlib.decompressobj(wbits=GZIP_BITS)
        try:
            plain = unpacking.decompress(data, MAX_UNPACKED_BYTES)
        except zlib.error as error:
            raise ValueError(f"no gzip: {error}") from error
        if unpacking.unconsumed_tail:
            raise ValueError(f"the unpacked record is larger than {MAX_UNPACKED_BYTES} bytes")
        if not unpacking.eof or unpacking.unused_data:
            raise ValueError("no gzip: it ends too early, or something follows it")
        return plain


class Pickle(Codec):
    """Pickle in base64. Whoever can write to the topic can run code here."""

    def _dumps(self, value: Any) -> bytes:
        return base64.b64encode(pickle.dumps(value))

    def _loads(self, data: bytes) -> Any:
        warnings.warn("the codec 'pickle' runs what the sender likes; use 'json'", SecurityWarning, stacklevel=3)
        try:
            return pickle.loads(base64.b64decode(data, validate=True))
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
            raise ValueError(f"no pickle: {error}") from error


#: Codecs by name.
codecs: Final[dict[str, Codec]] = {
    "json": Json(),
    "raw": Raw(),
    "binary": Binary(),
    "gzip": Gzip(),
    "pickle": Pickle(),
}


def register(name: str, codec: Codec) -> None:
    """Make a codec known by a name, for ``value_serializer=`` and the others."""
    codecs[name] = codec


def installed_codec(name: str) -> Codec | None:
    """Return a codec that an installed package offers, and make it known."""
    from importlib import metadata

    for group in ENTRY_POINT_GROUPS:
        for entry in metadata.entry_points(group=group, name=name):
            offered = entry.load()
            register(name, offered() if isinstance(offered, type) else offered)
            return codecs[name]
    return None


def get_codec(codec: Any) -> Codec:
    """Return a codec by its name, or by names joined with ``|``.

    Raises:
        ImproperlyConfigured: There is no codec of that name.
    """
    if isinstance(codec, Codec):
        return codec
    if not isinstance(codec, str):
        raise ImproperlyConfigured(f"{codec!r} is neither a codec nor the name of one")
    found = []
    for name in (part.strip() for part in codec.split("|")):
        if name not in codecs and installed_codec(name) is None:
            known = ", ".join(sorted(codecs))
            message = f"there is no codec {name!r}; there are {known}, and beltline.serializers.register() adds others"
            raise ImproperlyConfigured(message)
        found.append(codecs[name])
    return reduce(lambda chain, part: chain | part, found)


def dumps(codec: Any, value: Any) -> Any:
    """Return an object as bytes; without a codec, as it is."""
    return value if codec is None else get_codec(codec).dumps(value)


def loads(codec: Any, data: Any) -> Any:
    """Read an object; without a codec, return the data as they are."""
    return data if codec is None else get_codec(codec).loads(data)
