"""Codecs: objects to bytes and back."""

from .codecs import Codec, codecs, dumps, get_codec, loads, register
from .serde import Serde, get_serde

__all__ = ["Codec", "Serde", "codecs", "dumps", "get_codec", "get_serde", "loads", "register"]
