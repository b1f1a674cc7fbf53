"""Records: what a class statement makes, and what goes to bytes and back."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

import beltline as bl
import pytest
from beltline.exceptions import ValidationError, ValueDecodeError
from beltline.models import IntegerField, StringField, maybe_model, registry
from beltline.serializers import get_serde
from hypothesis import given
from hypothesis import strategies as st


class Color(enum.Enum):
    """An enumeration."""

    RED = "red"
    BLUE = "blue"


class Address(bl.Record):
    """A nested record."""

    city: str
    zip: str | None = None


class Person(bl.Record):
    """A record with fields of many kinds."""

    name: str
    age: int
    home: Address
    born: datetime | None = None
    balance: Decimal = Decimal(0)
    tags: set[str] = frozenset()
    scores: list[float] = []  # noqa: RUF012 - a default as Faust's users write it
    by_city: dict[str, Address] = {}  # noqa: RUF012
    pair: tuple[int, str] = (0, "")
    color: Color = Color.RED
    KIND: ClassVar[str] = "person"


def ada() -> Person:
    """Return a person with everything."""
    home = Address("London", "NW1")
    return Person(
        "Ada",
        36,
        home,
        datetime(1815, 12, 10, tzinfo=UTC),
        Decimal("1.50"),
        {"a", "b"},
        [1.5, 2.0],
        {"x": home},
        (1, "z"),
        Color.BLUE,
    )


def test_everything_survives_the_way_to_bytes_and_back() -> None:
    assert Person.loads(ada().dumps()) == ada()
    assert json.loads(ada().dumps())["__faust"] == {"ns": f"{__name__}.Person"}
    assert json.loads(ada().dumps())["born"] == "1815-12-10T00:00:00Z"


def test_copies_and_pickles_are_equal() -> None:
    for again in (copy.copy(ada()), copy.deepcopy(ada()), pickle.loads(pickle.dumps(ada()))):
        assert again == ada()
        assert again is not ada()


def test_fields_on_the_class_are_descriptors() -> None:
    assert (Person.name.field, Person.name.ident, Person.name.model) == ("name", "Person.name", Person)
    assert Person.home.city.getattr(ada()) == "London"
    assert Person.age.required
    assert not Person.born.required
    assert Person.KIND == "person"
    assert "KIND" not in ada().asdict()


def test_instances_have_no_room_for_mistyped_names() -> None:
    person = ada()
    with pytest.raises(AttributeError):
        person.nmae = "Bob"  # type: ignore[attr-defined]


def test_a_constructor_of_ones_own_may_set_other_attributes() -> None:
    class Point(bl.Record, namespace="test.Point"):
        x: int

        def __post_init__(self) -> None:
            self.double = 2 * self.x

    assert Point(2).double == 4
    assert Point.loads(b'{"x": 3}').double == 6


def test_the_constructor_says_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'home'"):
        Person("Ada", 36)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
        Address("London", nmae=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'b' has no default but follows 'a'"):

        class Wrong(bl.Record):
            a: int = 0
            b: int


def test_records_compare_by_their_fields() -> None:
    one, other = Address("A"), Address("B")
    assert one < other <= Address("B")
    assert other > one
    assert hash(one) == hash(Address("A"))
    assert one != "A"
    with pytest.raises(TypeError):
        assert one < 3  # type: ignore[operator]


def test_derive_changes_a_copy() -> None:
    one = Address("A", "1")
    assert one.derive(city="B") == Address("B", "1")
    assert one.derive(Address("C", "2"), zip="3") == Address("C", "3")
    assert one == Address("A", "1")


def test_inherited_fields_come_first() -> None:
    class Employee(Address, namespace="test.Employee"):
        salary: float = 0.0

    assert Employee("A", None, 2.0).asdict() == {"city": "A", "zip": None, "salary": 2.0}
    assert Employee.loads(Employee("A").dumps()) == Employee("A")
    assert Employee.city.ident == "Employee.city"


def test_abstract_records_have_no_instances() -> None:
    class Base(bl.Record, abstract=True, namespace="test.Base"):
        a: int

    class Real(Base, namespace="test.Real"):
        b: int = 1

    with pytest.raises(NotImplementedError, match="abstract"):
        Base(1)
    assert Real(1).asdict() == {"a": 1, "b": 1}


def test_the_blessed_key_picks_the_class() -> None:
    class Animal(bl.Record, abstract=True, namespace="test.Animal"):
        name: str

    class Dog(Animal, namespace="test.Dog"):
        good: bool = True

    class Owner(bl.Record, polymorphic_fields=True, namespace="test.Owner"):
        pet: Animal

    assert Owner.loads(Owner(Dog("Rex")).dumps()) == Owner(Dog("Rex"))
    assert registry["test.Dog"] is Dog
    assert maybe_model({"name": "Rex", "__faust": {"ns": "test.Dog"}}) == Dog("Rex")
    assert maybe_model({"__faust": {"ns": "nobody.knows"}}) == {"__faust": {"ns": "nobody.knows"}}
    assert get_serde(None, "json").loads(Dog("Rex").dumps()) == Dog("Rex")


def test_names_in_json_can_be_others() -> None:
    class Move(bl.Record, namespace="test.Move", include_metadata=False):
        origin: str = StringField(input_name="from", output_name="from")
        secret: int = IntegerField(exclude=True, default=7)

    assert Move("A").dumps() == b'{"from":"A"}'
    assert Move.loads(b'{"from":"B","secret":8}') == Move("B", 8)


def test_validation_and_coercion() -> None:
    class Order(bl.Record, validation=True, namespace="test.Order"):
        amount: int = IntegerField(min_value=0, max_value=10)
        name: str = StringField(max_length=3, default="")

    assert Order("7").amount == 7
    for amount, name, reason in [(-1, "", "at least 0"), (11, "", "at most 10"), (1, "long", "at most 3 long")]:
        with pytest.raises(ValidationError, match=reason):
            Order(amount, name)
    with pytest.raises(ValidationError, match=r"Order.amount: 'x' cannot be converted"):
        Order("x")
    with pytest.raises(ValueDecodeError, match=r"Order.amount: must be at most 10"):
        get_serde(Order, "json").loads(b'{"amount": 99}')


def test_validity_can_be_asked_for() -> None:
    class Order(bl.Record, namespace="test.Lax"):
        amount: int = IntegerField(max_value=10)

    assert Order(3).is_valid()
    assert [error.reason for error in Order(30).validation_errors] == ["must be at most 10, is 30"]


BAD = [
    (b"", "Expecting value"),
    (b'{"name": "x"', "Expecting"),
    (b"[1]", "an object is wanted"),
    (b"null", "an object is wanted"),
    (b'{"age": 1, "home": {"city": "x"}}', "the field 'name' is missing"),
    (b'{"name": 1, "age": 1, "home": {"city": "x"}}', "Person.name: text is wanted, not 1"),
    (b'{"name": "x", "age": "1", "home": {"city": "x"}}', "Person.age: an integer is wanted, not '1'"),
    (b'{"name": "x", "age": true, "home": {"city": "x"}}', "Person.age: an integer is wanted, not True"),
    (b'{"name": "x", "age": 1.5, "home": {"city": "x"}}', "Person.age: an integer is wanted, not 1.5"),
    (b'{"name": "x", "age": 1, "home": {}}', "Person.home: Address: the field 'city' is missing"),
    (b'{"name": "x", "age": 1, "home": {"city": null}}', "Person.home: Address.city: text is wanted, not None"),
    (
        b'{"name": "x", "age": 1, "home": {"city": "x"}, "scores": [1, "a"]}',
        "Person.scores: item 1: a number is wanted",
    ),
    (b'{"name": "x", "age": 1, "home": {"city": "x"}, "pair": [1]}', "Person.pair: a list of 2 is wanted"),
    (b'{"name": "x", "age": 1, "home": {"city": "x"}, "color": "green"}', "Person.color: one of 'red', 'blue'"),
    (b'{"name": "x", "age": 1, "home": {"city": "x"}, "born": "yesterday"}', "Person.born: a date and time"),
    (b'{"name": "\xff"}', "can't decode byte 0xff"),
    (b'{"name": "x", "age": 1, "home": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
]


@pytest.mark.parametrize(("data", "says"), BAD)
def test_bad_bytes_are_named(data: bytes, says: str) -> None:
    with pytest.raises(ValueDecodeError) as caught:
        get_serde(Person, "json").loads(data)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_unknown_fields_are_ignored_and_the_last_duplicate_counts() -> None:
    assert Address.loads(b'{"city": "A", "mayor": {"x": [1]}, "city": "B"}') == Address("B")


class Flat(bl.Record, namespace="test.Flat"):
    """A record the engine decodes itself."""

    text: str
    number: int
    amount: float
    flag: bool = False
    note: str | None = None


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
likely = st.fixed_dictionaries(
    {"text": st.text() | anything, "number": st.integers() | anything, "amount": st.floats(allow_nan=False) | anything},
    optional={"flag": st.booleans() | anything, "note": st.none() | st.text() | anything, "extra": anything},
)


def outcome(decode: object, data: bytes) -> object:
    """Return what a decoder makes of bytes: the record, or that there is none."""
    try:
        return decode(data)  # type: ignore[operator]
    except ValueDecodeError:
        return "no Flat"


@given(likely, st.booleans(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_fast_and_the_general_way_agree(data: dict[str, object], ascii_only: bool, dice: object, gap: int) -> None:
    items = list(data.items())
    dice.shuffle(items)  # type: ignore[attr-defined]
    text = json.dumps(dict(items), ensure_ascii=ascii_only, indent=gap or None)
    raw = text.encode("utf-8", "surrogatepass")
    decoder = get_serde(Flat, "json").loads
    assert decoder.is_fast
    fast, general = outcome(decoder.decode, raw), outcome(Flat.loads, raw)
    assert fast == general
    if isinstance(fast, Flat):
        assert [type(value) for value in fast.asdict().values()] == [type(value) for value in general.asdict().values()]


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_records_never_do_harm(noise: bytes, at: int) -> None:
    good = Flat("caf\u00e9", 12, 1.5, True, "note").dumps()
    at %= len(good)
    raw = good[:at] + noise + good[at + len(noise) :]
    decoder = get_serde(Flat, "json").loads
    assert outcome(decoder.decode, good) == outcome(Flat.loads, good)
    assert outcome(decoder.decode, raw) == outcome(Flat.loads, raw)


def test_an_instance_is_used_again_only_when_nobody_holds_it() -> None:
    decoder = get_serde(Flat, "json").loads
    kept = [decoder.decode(Flat("a", number, 0.5).dumps()) for number in range(10)]
    assert [one.number for one in kept] == list(range(10))
    identities = set()
    for number in range(10):
        identities.add(id(decoder.decode(Flat("a", number, 0.5).dumps())))
    assert len(identities) <= 3
    last = decoder.decode(b'{"text": "b", "number": 1, "amount": 1}')
    assert last == Flat("b", 1, 1.0, False, None)
