"""Codecs: their bytes, chains, names, and hostile input."""

from __future__ import annotations

import contextlib
import enum
import json
import uuid
import zlib
from collections import Counter, deque
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beltline.exceptions import ImproperlyConfigured, SecurityWarning
from beltline.serializers import Codec, codecs, dumps, get_codec, loads, register
from hypothesis import given
from hypothesis import strategies as st


class Shade(enum.Enum):
    DARK = "dark"


class Own:
    def __json__(self) -> Any:
        return {"own": 1}


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        ("json", {"a": 1, "b": "é"}, b'{"a":1,"b":"\\u00e9"}'),
        ("raw", "hé", "hé".encode()),
        ("raw", b"\xff", b"\xff"),
        ("raw", 5, b"5"),
        ("binary", b"ab", b"YWI="),
        ("json|binary", [1], b"WzFd"),
        (" json | binary ", [1], b"WzFd"),
    ],
)
def test_bytes(codec: str, value: Any, data: bytes) -> None:
    assert dumps(codec, value) == data


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"ab", "\"b'ab'\""),
        (datetime(2020, 1, 1, tzinfo=UTC), '"2020-01-01T00:00:00Z"'),
        (datetime(2020, 1, 1), '"2020-01-01T00:00:00"'),
        (date(2020, 1, 1), '"2020-01-01T00:00:00"'),
        (Shade.DARK, '"dark"'),
        ({1}, "[1]"),
        (deque([1, 2]), "[1,2]"),
        ((1, 2), "[1,2]"),
        (Counter("aa"), '{"a":2}'),
        (Own(), '{"own":1}'),
    ],
)
def test_json_has_a_word_for_more_than_json(value: Any, text: str) -> None:
    assert dumps("json", value) == text.encode()


def test_what_json_cannot_say_is_an_error_with_the_cure() -> None:
    with pytest.raises(TypeError, match="__json__"):
        dumps("json", object())


@pytest.mark.parametrize("codec", ["json", "json|binary", "json|gzip", "json|gzip|binary", "pickle"])
@pytest.mark.filterwarnings("ignore::beltline.exceptions.SecurityWarning")
def test_every_chain_reads_what_it_wrote(codec: str) -> None:
    value = {"a": [1, 2.5, None, "é"]}
    assert loads(codec, dumps(codec, value)) == value


@given(st.binary(max_size=64))
@pytest.mark.parametrize("codec", ["json", "binary", "gzip", "json|binary", "json|gzip"])
def test_any_bytes_are_read_or_are_a_value_error(codec: str, data: bytes) -> None:
    with contextlib.suppress(ValueError):
        loads(codec, data)


def test_gzip_writes_the_same_bytes_for_the_same_value() -> None:
    assert dumps("gzip", b"a" * 100) == dumps("gzip", b"a" * 100)
    assert len(dumps("gzip", b"a" * 10_000)) < 100
    assert zlib.decompress(dumps("gzip", "é"), wbits=31) == "é".encode()


def test_a_small_record_does_not_become_a_huge_one() -> None:
    bomb = zlib.compress(bytes(80 * 1024 * 1024), wbits=31)
    assert len(bomb) < 200_000
    with pytest.raises(ValueError, match="larger than"):
        loads("gzip", bomb)


def test_json_that_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        loads("json", b"[" * 200_000)


def test_pickle_warns() -> None:
    with pytest.warns(SecurityWarning, match="json"):
        assert loads("pickle", dumps("pickle", [1])) == [1]


def test_without_a_codec_nothing_happens() -> None:
    value = object()
    assert dumps(None, value) is value
    assert loads(None, value) is value


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'jsno'.*json.*register"):
        get_codec("jsno")
    with pytest.raises(ImproperlyConfigured, match="neither"):
        get_codec(5)


class Swapped(Codec):
    """Swaps upper and lower case."""

    def _dumps(self, value: Any) -> bytes:
        return value.swapcase()

    def _loads(self, data: bytes) -> Any:
        return data.swapcase()


def test_a_codec_of_ones_own_is_used_by_name_and_in_chains() -> None:
    register("swapped", Swapped())
    assert dumps("json|swapped", {"a": "b"}) == b'{"A":"B"}'
    assert loads("json|swapped", b'{"A":"B"}') == {"a": "b"}
    chain = get_codec("json") | Swapped()
    assert chain.loads(chain.dumps(["x"])) == ["x"]
    assert repr(chain) == "Json | Swapped"
    del codecs["swapped"]


def test_a_codec_that_does_not_say_how_is_told_so() -> None:
    with pytest.raises(NotImplementedError, match="_dumps"):
        Codec().dumps(1)


def test_codecs_of_installed_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shouting-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[faust.codecs]\nshout = shouting:Shout\n")
    (tmp_path / "shouting.py").write_text(
        "from beltline.serializers import Codec\n"
        "class Shout(Codec):\n"
        "    def _dumps(self, value): return value.upper()\n"
        "    def _loads(self, data): return data.lower()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert dumps("json|shout", "a") == b'"A"'
    del codecs["shout"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_json_is_what_the_standard_library_writes(value: Any) -> None:
    assert dumps("json", value) == json.dumps(value, separators=(",", ":")).encode()
