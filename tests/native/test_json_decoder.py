"""JSON of any shape: natively, and exactly what `json.loads` says of the same bytes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from beltline import serializers
from beltline._native import JsonDecoder
from beltline.serializers import get_serde
from hypothesis import given, settings
from hypothesis import strategies as st

NOT_TAKEN = object()

#: Decodes natively or not at all.
native = JsonDecoder(lambda _: NOT_TAKEN)

#: As it is used.
decode = JsonDecoder(json.loads)


def outcome(loads: Any, data: bytes) -> tuple[str, str]:
    """Return what reading comes to, in a form in which equal means the same."""
    try:
        return "value", repr(loads(data))
    except (ValueError, RecursionError) as error:
        return type(error).__name__, str(error)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | st.text()
    | st.text(st.characters(codec="ascii"))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=8)
)


@settings(max_examples=300)
@given(values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_python_writes_is_read_as_python_does(value: Any, ascii_only: bool, indent: Any) -> None:
    try:
        data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    except UnicodeEncodeError:
        return
    assert outcome(decode, data) == outcome(json.loads, data)


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            [*'{}[]:,"\\ \t\n-+.eE0123456789', "null", "true", "false", "NaN", "Infinity", '"a"', '"a":', "1.5", "{}"]
        ),
        max_size=12,
    )
)
def test_what_is_nearly_json_is_judged_as_python_does(parts: list[str]) -> None:
    data = "".join(parts).encode()
    assert outcome(decode, data) == outcome(json.loads, data)


@settings(max_examples=300)
@given(st.binary(max_size=12), st.sampled_from([b"%s", b'"%s"', b'{"a":%s}', b'{"%s":1}', b"[%s]"]))
def test_any_bytes_are_judged_as_python_does(inner: bytes, around: bytes) -> None:
    data = around % inner
    assert outcome(decode, data) == outcome(json.loads, data)


@pytest.mark.parametrize(
    "data",
    [
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775808",
        b"1" * 40,
        b"1" * 5000,
        b"-0",
        b"-0.0",
        b"1e400",
        b"-1E400",
        b"5e-324",
        b"1.7976931348623157e308",
        b"123456789.123456789",
        b"0.1e1",
        b"1E2",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"NaN",
        b"[Infinity,-Infinity]",
        b'{"a":1,"b":2,"a":3}',
        b'"\\ud83e\\udd8a \\ud83e \\udd8a"',
        b'"\xf0\x9f\xa6\x8a \xc3\xa9"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\x00"',
        b'"\x1f\x7f"',
        b'"\\x"',
        b'"\\u12"',
        b'"open',
        b"[" * 63 + b"]" * 63,
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b"[" * 100_000,
        b" \r\n\t[ 1 , 2 ] \n",
        b"[1,]",
        b'{"a":1,}',
        b"{} {}",
        b"[1] x",
        b"\xef\xbb\xbf[1]",
        "[1]".encode("utf-16"),
        "[1]".encode("utf-32-le"),
        b"",
        b" ",
        b'{"' + b"name" * 40 + b'":"' + b"text" * 40 + b'"}',
        b"{1:2}",
        b'{"a" 1}',
        b'{"a":}',
    ],
)
def test_corners(data: bytes) -> None:
    assert outcome(decode, data) == outcome(json.loads, data)


def test_what_is_plain_is_taken_natively() -> None:
    plain = {"a": [1, 2.5, {"b": None}], "c": "text", "d": "\u00e9", "e": [], "f": {}, "g": True, "h": -7, "i": 10**18}
    for _ in range(3):
        assert native(json.dumps(plain).encode()) == plain
        assert native(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()) == plain
    assert list(native(b'{"b":1,"a":2,"b":3}')) == ["b", "a"]


def test_every_result_is_one_of_its_own() -> None:
    first, second = native(b'{"a":[1]}'), native(b'{"a":[1]}')
    first["a"].append(2)
    first["b"] = 3
    assert second == {"a": [1]} == native(b'{"a":[1]}')


def test_names_of_all_lengths_are_kept_apart() -> None:
    names = [stem + "x" * length for length in range(80) for stem in ("", "a", "b", "same beginning ", "y" * 20)]
    for _ in range(2):
        for name in names:
            assert native(json.dumps({name: name}).encode()) == {name: name}


def test_a_special_name_goes_the_general_way() -> None:
    seen: list[bytes] = []
    special = JsonDecoder(lambda data: seen.append(data), special="__faust")
    for data in (b'{"__faust":1}', b'{"a":{"__faust":1}}', b'{"\\u005f_faust":1}'):
        assert special(data) is None
    assert len(seen) == 3
    assert special(b'{"_faust":1}') == {"_faust": 1}


def test_only_bytes_are_decoded() -> None:
    with pytest.raises(TypeError, match="bytes"):
        decode("{}")  # type: ignore[arg-type]


def test_a_codec_of_the_users_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(get_serde(None, "json").loads, JsonDecoder)

    class Mine(serializers.Codec):
        """Reads everything as one thing."""

        def _loads(self, data: bytes) -> Any:
            return "mine"

    monkeypatch.setitem(serializers.codecs, "json", Mine())
    loads = get_serde(None, "json").loads
    assert not isinstance(loads, JsonDecoder)
    assert loads(b"{}") == "mine"


def test_floats_are_exact() -> None:
    for text in ("0.1", "2.675", "1e22", "1e23", "9007199254740993.0", "0.3e-5", "123456.789e3"):
        assert native(text.encode()) == float(text)
        assert math.copysign(1, native(b"-" + text.encode())) == -1
