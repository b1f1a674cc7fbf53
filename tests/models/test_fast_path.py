"""The engine's way of reading and writing flat records, against a reference in plain Python."""

from __future__ import annotations

import gc
import json
import typing
from typing import Any

import beltline as bl
import pytest
from beltline._native import RecordDecoder
from beltline.exceptions import ValueDecodeError
from beltline.serializers import get_serde
from hypothesis import given, settings
from hypothesis import strategies as st


class Flat(bl.Record, namespace="test.Flat"):
    text: str
    count: int
    amount: float
    flag: bool = False
    note: str | None = None


#: What the reference knows about the fields: name, type, whether null is allowed, default (``...``: there is none).
SHAPE: list[tuple[str, type, bool, Any]] = [
    ("text", str, False, ...),
    ("count", int, False, ...),
    ("amount", float, False, ...),
    ("flag", bool, False, False),
    ("note", str, True, None),
]

SERDE = get_serde(Flat, "json")


def reference(data: bytes) -> dict[str, Any] | None:
    """Return the fields that `data` holds, or None when it is no such record."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    fields = {}
    for name, kind, nullable, default in SHAPE:
        if name not in found and default is ...:
            return None
        value = found.get(name, default)
        if kind is float and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                return None
        if type(value) is not kind and not (nullable and value is None):
            return None
        fields[name] = value
    return fields


def check(data: bytes) -> None:
    """Both ways take or refuse the same bytes, with the same values of the same types."""
    wanted = reference(data)
    try:
        read = SERDE.loads.decode(data)
    except ValueDecodeError:
        assert wanted is None, data
        return
    assert wanted is not None, data
    assert type(read) is Flat
    # Compared as text, since NaN is not equal to itself, and 1 is equal to True and to 1.0.
    assert repr(read.asdict()) == repr(wanted), data


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.decimals(-1000, 1000, places=2).map(float),
    st.text(max_size=20),
    st.sampled_from(["", "a", "\x00", "\x7f", "é", "😀", "\\", '"', "\ud800", "x" * 300]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
names = st.sampled_from([name for name, *_ in SHAPE] * 3 + ["other", "", "__faust", "te\\xt"])
gaps = st.sampled_from(["", " ", "\n\t "])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """Return objects whose members may be missing, of another type, unknown or twice there."""
    typed = [("text", st.text()), ("count", st.integers(-(2**70), 2**70)), ("amount", st.floats() | st.integers())]
    members = [(name, draw(kind)) for name, kind in typed]
    members += draw(st.lists(st.tuples(names, values), max_size=4))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    if draw(st.integers(0, 9)) == 0:
        members = members[:-1]
    gap, ascii_only = draw(gaps), draw(st.booleans())
    written = [
        json.dumps(name) + gap + ":" + gap + json.dumps(value, ensure_ascii=ascii_only) for name, value in members
    ]
    return (gap + "{" + gap + (gap + "," + gap).join(written) + gap + "}" + gap).encode("utf-8", "surrogatepass")


@settings(max_examples=400, deadline=None)
@given(st.lists(objects(), min_size=1, max_size=4))
def test_the_fast_way_reads_what_the_reference_reads(records: list[bytes]) -> None:
    for data in records:
        check(data)


@settings(max_examples=200, deadline=None)
@given(objects(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_damaged_bytes_are_never_misread(data: bytes, damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, byte in damage:
        damaged[place % len(damaged)] = byte
    check(bytes(damaged))
    check(data[: damage[0][0] % len(data)])


GOOD = '{"text":"a","count":1,"amount":1.5}'


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{}",
        "null",
        "[]",
        "1",
        GOOD[:-1],
        GOOD + "}",
        GOOD + "\0",
        GOOD.replace("1,", "01,"),
        GOOD.replace("1,", "-0,"),
        GOOD.replace("1,", "true,"),
        GOOD.replace("1,", "1.0,"),
        GOOD.replace("1,", "9223372036854775808,"),
        GOOD.replace("1,", "9" * 5000 + ","),
        GOOD.replace("1.5", "1e999"),
        GOOD.replace("1.5", "NaN"),
        GOOD.replace("1.5", "-Infinity"),
        GOOD.replace("1.5", "-0"),
        GOOD.replace("1.5", "1" + "0" * 400),
        GOOD.replace("1.5", "0." + "1" * 400),
        GOOD.replace("1.5", "null"),
        GOOD.replace('"a"', '"\\ud800"'),
        GOOD.replace('"a"', '"\\ud83d\\ude00"'),
        GOOD.replace('"a"', '"' + "x" * 1_000_000 + '"'),
        GOOD.replace('"a"', '"\n"'),
        GOOD.replace('"text"', '"\\u0074ext"'),
        GOOD[:-1] + ',"count":2}',
        GOOD[:-1] + ',"count":"2"}',
        GOOD[:-1] + ',"deep":' + "[" * 50 + "]" * 50 + "}",
        GOOD[:-1] + ',"deep":' + "[" * 100_000 + "]" * 100_000 + "}",
        GOOD[:-1] + ',"deep":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
        GOOD[:-1] + "".join(f',"f{number}":{number}' for number in range(5000)) + "}",
    ],
)
def test_hostile_records(data: str) -> None:
    for _ in range(2):
        check(data.encode())
        check(GOOD.encode())


def test_invalid_utf_8_is_refused() -> None:
    with pytest.raises(ValueDecodeError):
        SERDE.loads.decode(GOOD.encode().replace(b'"a"', b'"\xff"'))
    with pytest.raises(ValueDecodeError):
        SERDE.loads.decode(GOOD.encode()[:-1] + b',"other":"\xff"}')


def test_flat_records_take_the_fast_way_and_others_do_not() -> None:
    class Nested(bl.Record):
        inner: Flat

    class Made(bl.Record):
        a: int

        def __post_init__(self) -> None:
            self.a += 1

    class Annotated(bl.Record):
        number: typing.Annotated[int, ["cannot be hashed"]]

    assert isinstance(SERDE.loads, RecordDecoder)
    assert get_serde(Annotated, "json").loads(b'{"number":1}').number == 1
    assert SERDE.loads.is_fast
    assert not isinstance(get_serde(Nested, "json").loads, RecordDecoder)
    assert get_serde(Made, "json").loads(b'{"a":1}').a == 2
    assert get_serde(Flat, "json|binary").loads(b"eyJ0ZXh0IjoiYSIsImNvdW50IjoxLCJhbW91bnQiOjF9") == Flat("a", 1, 1.0)


def record(number: int, **more: Any) -> bytes:
    """Return the bytes of a record told apart by a number."""
    return json.dumps({"text": f"t{number}", "count": number, "amount": number / 2, **more}).encode()


def test_instances_that_are_kept_do_not_change() -> None:
    decode = SERDE.loads.decode
    kept = [decode(record(number)) for number in range(50)]
    for number in range(50):
        decode(record(1000 + number))
    assert [(one.text, one.count, one.amount) for one in kept] == [(f"t{n}", n, n / 2) for n in range(50)]
    assert len({id(one) for one in kept}) == 50


def test_nothing_of_an_earlier_record_shines_through() -> None:
    decode = SERDE.loads.decode
    for number in range(10):
        read = decode(record(number, flag=True, note="seen"))
        read.note = "changed"
        del read
        read = decode(record(number))
        assert (read.flag, read.note) == (False, None)
        del read


def test_values_outlive_their_record() -> None:
    decode = SERDE.loads.decode
    texts = []
    for number in range(100):
        read = decode(record(number, note=f"a longer text that no cache keeps {number}"))
        texts.append((read.text, read.note, read.amount))
    gc.collect()
    assert texts == [(f"t{n}", f"a longer text that no cache keeps {n}", n / 2) for n in range(100)]


def test_a_deleted_attribute_and_a_changed_class_do_no_harm() -> None:
    class Other(bl.Record):
        text: str
        count: int
        amount: float
        flag: bool = False
        note: str | None = None

    decode = SERDE.loads.decode
    for number in range(6):
        read = decode(record(number))
        del read.text
        read.__class__ = Other
        del read
    read = decode(record(7))
    assert (type(read), read.text) == (Flat, "t7")


def test_a_class_that_wants_to_know_its_end_hears_of_every_one() -> None:
    ended = []

    class Mortal(bl.Record):
        number: int

        def __del__(self) -> None:
            ended.append(self.number)

    loads = get_serde(Mortal, "json").loads
    for number in range(5):
        loads.decode(b'{"number":%d}' % number)
    del loads
    gc.collect()
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_a_value_whose_end_decodes_again_does_no_harm() -> None:
    decode = SERDE.loads.decode
    seen = []

    class Bomb:
        def __del__(self) -> None:
            try:
                seen.append(decode(record(5)).count)
            except RuntimeError as error:
                seen.append(error)

    for number in range(5):
        read = decode(record(number))
        read.note = Bomb()
        del read
    assert decode(record(6)).count == 6
    assert seen


def test_a_decoder_can_be_collected_with_its_class() -> None:
    def make() -> int:
        class Local(bl.Record, namespace="test.Local"):
            a: int

        loads = get_serde(Local, "json").loads
        assert loads.decode(b'{"a":1}').a == 1
        from beltline.models import registry

        del registry["test.Local"]
        return id(Local)

    identity = make()
    gc.collect()
    assert not any(id(one) == identity and isinstance(one, type) for one in gc.get_objects())


def test_a_decoder_takes_bytes_alone() -> None:
    with pytest.raises(TypeError, match="bytes"):
        SERDE.loads.decode("{}")


def general_bytes(one: bl.Record) -> bytes:
    """Return the bytes of a record by way of Python's own encoder."""
    return json.dumps(one.to_representation(), separators=(",", ":")).encode()


@settings(max_examples=300, deadline=None)
@given(st.text(), st.integers(), st.floats(), st.booleans(), st.none() | st.text())
def test_written_bytes_are_those_of_python(text: str, count: int, amount: float, flag: bool, note: str | None) -> None:
    one = Flat(text, count, amount, flag, note)
    assert SERDE.dumps(one) == general_bytes(one)


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_a_record_that_holds_other_types_is_written_all_the_same(first: Any, second: Any) -> None:
    one = Flat(first, second, 1.0)
    assert SERDE.dumps(one) == general_bytes(one)


def test_subclasses_and_what_is_no_record_are_written_by_the_codec() -> None:
    class More(Flat, namespace="test.More"):
        extra: int = 1

    assert SERDE.dumps(More("a", 1, 1.0)) == general_bytes(More("a", 1, 1.0))
    assert SERDE.dumps({"a": 1}) == b'{"a":1}'
    assert SERDE.dumps(None) == b"null"


def test_a_record_with_an_empty_field_cannot_be_written() -> None:
    one = Flat("a", 1, 1.0)
    del one.text
    with pytest.raises(AttributeError, match="text"):
        SERDE.dumps(one)
