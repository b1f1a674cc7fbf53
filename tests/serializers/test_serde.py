"""Typed keys and values: every type a topic or a table may be given."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, NotRequired, TypedDict

import beltline as bl
import msgspec
import pydantic
import pytest
from beltline.exceptions import KeyDecodeError, ValueDecodeError
from beltline.serializers import Serde, get_serde


class Order(bl.Record, namespace="serde.Order"):
    customer: str
    amount: float


@dataclasses.dataclass
class Plain:
    name: str
    at: datetime | None = None
    parts: list[int] = dataclasses.field(default_factory=list)


class Named(NamedTuple):
    x: int
    y: str


class Typed(TypedDict):
    a: int
    b: NotRequired[str]


class Pydantic(pydantic.BaseModel):
    a: int
    b: str = "x"


class Struct(msgspec.Struct):
    a: int
    b: str = "x"


def read(serde: Serde, data: bytes) -> Any:
    """Read as a stream does."""
    if serde.loads == "bytes":
        return data
    if serde.loads == "str":
        return data.decode()
    return serde.loads.decode(data) if hasattr(serde.loads, "decode") else serde.loads(data)


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (str, "hé", b'"h\\u00e9"'),
        (int, 7, b"7"),
        (int, 2**80, b"1208925819614629174706176"),
        (float, 1.5, b"1.5"),
        (bool, True, b"true"),
        (Decimal, Decimal("1.50"), b'"1.50"'),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
        (list[Order], [Order("a", 1.0)], b'[{"customer":"a","amount":1.0,"__faust":{"ns":"serde.Order"}}]'),
        (tuple[str, float], ("a", 1.0), b'["a",1.0]'),
        (Order, Order("a", 1.0), b'{"customer":"a","amount":1.0,"__faust":{"ns":"serde.Order"}}'),
        (Plain, Plain("a", None, [1]), b'{"name":"a","at":null,"parts":[1]}'),
        (Named, Named(1, "a"), b'[1,"a"]'),
        (Typed, {"a": 1}, b'{"a":1}'),
        (Pydantic, Pydantic(a=1), b'{"a":1,"b":"x"}'),
        (Struct, Struct(1), b'{"a":1,"b":"x"}'),
        (None, {"a": [1]}, b'{"a":[1]}'),
        (None, Order("a", 1.0), b'{"customer":"a","amount":1.0,"__faust":{"ns":"serde.Order"}}'),
    ],
)
def test_json_both_ways(kind: Any, value: Any, data: bytes) -> None:
    serde = get_serde(kind, "json")
    assert serde.dumps(value) == data
    back = read(serde, data)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (None, b"\xff", b"\xff"),
        (bytes, b"\xff", b"\xff"),
        (str, "hé", "hé".encode()),
        (int, 7, b"7"),
        (float, 1.5, b"1.5"),
        (Decimal, Decimal("1.50"), b"1.50"),
    ],
)
def test_raw_both_ways(kind: Any, value: Any, data: bytes) -> None:
    serde = get_serde(kind, "raw")
    assert serde.dumps(value) == data
    back = read(serde, data)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (str, b"hej", ["no str"]),
        (str, b"1", ["no str", "text", "1"]),
        (int, b'"1"', ["no int", "integer", "'1'"]),
        (int, b"true", ["no int", "integer", "True"]),
        (float, b'"x"', ["no float", "number", "'x'"]),
        (Decimal, b'"x"', ["no Decimal", "'x'"]),
        (Order, b"null", ["no Order", "object", "None"]),
        (Order, b'{"customer":"a"}', ["Order", "'amount'", "missing"]),
        (Order, b'{"customer":"a","amount":"b"}', ["Order.amount", "number", "'b'"]),
        (Plain, b'{"name":1}', ["Plain.name", "text", "1"]),
        (Plain, b'{"name":"a","parts":[1,"x"]}', ["Plain.parts", "item 1", "'x'"]),
        (Plain, b"{}", ["Plain", "'name'", "missing"]),
        (Typed, b"{}", ["Typed", "'a'", "missing"]),
        (Named, b'["a","b"]', ["x", "integer", "'a'"]),
        (Pydantic, b'{"a":"x"}', ["Pydantic", "a"]),
        (Struct, b'{"a":"x"}', ["Struct", "a"]),
    ],
)
def test_errors_say_what_was_wanted_and_what_is_there(kind: Any, data: bytes, said: list[str]) -> None:
    with pytest.raises(ValueDecodeError) as caught:
        read(get_serde(kind, "json"), data)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_keys_have_an_error_of_their_own() -> None:
    with pytest.raises(KeyDecodeError, match="no int"):
        get_serde(int, "json", error=KeyDecodeError).loads(b"x")
    with pytest.raises(KeyDecodeError, match="no int"):
        get_serde(int, "raw", error=KeyDecodeError).loads(b"x")
    with pytest.raises(KeyDecodeError):
        read(get_serde(Order, "json", error=KeyDecodeError), b"{")


def test_a_models_own_codec_counts_before_the_default() -> None:
    class Packed(bl.Record, serializer="json|binary", include_metadata=False):
        a: int

    serde = get_serde(Packed, "json")
    assert serde.dumps(Packed(1)) == b"eyJhIjoxfQ=="
    assert read(serde, b"eyJhIjoxfQ==") == Packed(1)


def test_models_of_other_packages_are_read_through_chains() -> None:
    for value in (Pydantic(a=1), Struct(1)):
        serde = get_serde(type(value), "json|binary")
        assert read(serde, serde.dumps(value)) == value


def test_packages_that_are_not_loaded_stay_so() -> None:
    code = (
        "import sys\nfrom beltline.serializers import get_serde\nget_serde(dict, 'json').dumps({})\n"
        "print([name for name in ('pydantic', 'msgspec', 'orjson') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
