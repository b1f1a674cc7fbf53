"""Fields of every type on their way to bytes and back, options, and what errors say."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID

import beltline as bl
import pytest
from beltline.exceptions import DecodeError, ImproperlyConfigured, ValidationError, ValueDecodeError
from beltline.models import FieldDescriptor, IntegerField, StringField, maybe_model, registry


class Colour(Enum):
    RED = "red"


class Address(bl.Record, namespace="test.Address"):
    city: str
    zip_code: str = ""


class Order(bl.Record, namespace="test.Order"):
    customer: str
    amount: float = 0.0
    note: str | None = None
    kinds: ClassVar[int] = 3


class Wide(bl.Record, namespace="test.Wide"):
    address: Address
    more: list[Address] = []  # noqa: RUF012 - a default as Faust's users write it
    by_name: dict[str, Address] = {}  # noqa: RUF012 - a default as Faust's users write it
    counts: dict[int, int] = {}  # noqa: RUF012 - a default as Faust's users write it
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    tags: set[str] = set()  # noqa: RUF012 - a default as Faust's users write it
    price: Decimal | None = None
    at: datetime | None = None
    either: int | str | None = None
    parent: Wide | None = None
    colour: Colour | None = None
    identity: UUID | None = None
    raw: bytes = b""


def test_a_record_is_made_by_position_or_by_name() -> None:
    assert Order("ada", 1.5) == Order(customer="ada", amount=1.5)
    assert Order("ada").amount == 0.0
    assert Order("ada").note is None
    with pytest.raises(TypeError, match="colour"):
        Order("ada", colour="red")
    with pytest.raises(TypeError, match="customer"):
        Order()


def test_records_compare_hash_and_show_like_tuples() -> None:
    assert Order("a", 1.0) < Order("a", 2.0) <= Order("b")
    assert Order("b") > Order("a") >= Order("a")
    assert Order("a") != Address("a")
    assert len({Order("a"), Order("a"), Order("b")}) == 2
    assert repr(Order("ada", 1.5)) == "<Order: customer='ada', amount=1.5, note=None>"


def test_the_bytes_are_those_of_faust() -> None:
    wanted = b'{"customer":"\\u00e9","amount":1.5,"note":null,"__faust":{"ns":"test.Order"}}'
    assert Order("é", 1.5).dumps() == wanted
    assert Order.loads(wanted) == Order("é", 1.5)


def test_a_record_without_metadata_does_not_say_what_it_is() -> None:
    class Quiet(bl.Record, include_metadata=False):
        a: int

    assert Quiet(1).dumps() == b'{"a":1}'


def test_nested_types_come_back_as_they_were() -> None:
    whole = Wide(
        address=Address("Paris"),
        more=[Address("Rome", "1")],
        by_name={"x": Address("Oslo")},
        counts={7: 1},
        pair=(1, "a"),
        many=(1, 2, 3),
        tags={"a"},
        price=Decimal("1.50"),
        at=datetime(2020, 1, 1, tzinfo=UTC),
        either="text",
        parent=Wide(Address("Bern")),
        colour=Colour.RED,
        identity=UUID(int=1),
        raw=b"\xff'",
    )
    read = Wide.loads(whole.dumps())
    assert read == whole
    assert isinstance(read.parent, Wide)
    assert type(read.price) is Decimal
    assert b'"2020-01-01T00:00:00Z"' in whole.dumps()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, ["Wide", "'address'", "missing"]),
        ({"address": 1}, ["Wide.address", "Address", "1"]),
        ({"address": {"city": 5}}, ["Wide.address", "Address.city", "text", "5"]),
        ({"address": {"city": "x"}, "more": [{"city": "a"}, {}]}, ["Wide.more", "item 1", "'city'", "missing"]),
        ({"address": {"city": "x"}, "counts": {"a": 1}}, ["Wide.counts", "'a'"]),
        ({"address": {"city": "x"}, "counts": {"1": "b"}}, ["Wide.counts", "'1'", "integer", "'b'"]),
        ({"address": {"city": "x"}, "pair": [1]}, ["Wide.pair", "a list of 2"]),
        ({"address": {"city": "x"}, "price": "much"}, ["Wide.price", "decimal", "'much'"]),
        ({"address": {"city": "x"}, "at": "noon"}, ["Wide.at", "ISO 8601", "'noon'"]),
        ({"address": {"city": "x"}, "either": [1]}, ["Wide.either", "int or str"]),
        ({"address": {"city": "x"}, "colour": "blue"}, ["Wide.colour", "'red'", "'blue'"]),
        ({"address": {"city": "x" * 500}, "more": 3}, ["Wide.more", "a list", "3"]),
    ],
)
def test_an_error_names_the_field_what_is_wanted_and_what_is_there(data: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is looked at below
        Wide.from_data(data)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_values_in_errors_are_shortened() -> None:
    with pytest.raises(ValueDecodeError) as caught:
        Order.loads(b'{"customer": ["' + b"x" * 100_000 + b'"]}')
    assert len(str(caught.value)) < 200


def test_bytes_that_are_no_record_are_a_decode_error() -> None:
    for hostile in (b"", b"{", b"null", b"[]", b"\xff", b'{"customer":"\xff"}', b"[" * 200_000):
        with pytest.raises(DecodeError):
            Order.loads(hostile)


def test_unknown_fields_are_ignored() -> None:
    assert Order.from_data({"customer": "a", "later": 1}) == Order("a")


def test_a_field_without_default_may_not_follow_one_with() -> None:
    with pytest.raises(TypeError, match="'b' has no default"):

        class Wrong(bl.Record):
            a: int = 0
            b: int


def test_an_unknown_option_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'serialiser'.*serializer"):

        class Wrong(bl.Record, serialiser="json"):
            a: int


def test_defaults_that_can_change_are_not_shared() -> None:
    one, two = Wide(Address("a")), Wide(Address("b"))
    one.more.append(Address("c"))
    one.by_name["x"] = Address("d")
    one.tags.add("e")
    assert two.more == []
    assert two.by_name == {}
    assert Wide(Address("f")).tags == set()


def test_subclasses_inherit_fields_and_options() -> None:
    class Base(bl.Record, abstract=True, include_metadata=False):
        a: int

    class Child(Base):
        b: int = 2

    assert Child(1).dumps() == b'{"a":1,"b":2}'
    assert Child.loads(b'{"a":5}') == Child(5, 2)
    with pytest.raises(NotImplementedError, match="abstract"):
        Base(1)


def test_descriptors_name_and_read_fields_also_nested() -> None:
    assert isinstance(Order.customer, FieldDescriptor)
    assert Order.customer.ident == "Order.customer"
    assert Order.customer.getattr(Order("ada")) == "ada"
    assert Order.customer.type is str
    assert Wide.address.city.getattr(Wide(Address("Paris"))) == "Paris"
    with pytest.raises(AttributeError):
        _ = Wide.address.street


def test_an_order_can_be_derived_copied_and_pickled() -> None:
    order = Order("ada", 1.5, "x")
    assert order.derive(amount=2.0) == Order("ada", 2.0, "x")
    assert order.derive(Order("bob")) == Order("bob", 0.0, None)
    assert order.asdict() == {"customer": "ada", "amount": 1.5, "note": "x"}
    assert copy.copy(order) == copy.deepcopy(order) == pickle.loads(pickle.dumps(order)) == order


def test_coerce_converts_in_the_constructor() -> None:
    class Loose(bl.Record, coerce=True):
        a: int
        b: float = 0.0

    assert Loose("3", "1.5") == Loose(3, 1.5)
    assert Loose.loads(b'{"a":"4"}').a == 4


def test_validation_names_the_field() -> None:
    class Strict(bl.Record, validation=True):
        a: int = IntegerField(max_value=0, default=0)
        b: str = StringField(max_length=2, default="")

    assert Strict(0, "ab").is_valid()
    with pytest.raises(ValidationError, match=r"Strict\.a: must be at most 0, is 9") as caught:
        Strict(9)
    assert caught.value.field.ident == "Strict.a"
    with pytest.raises(ValidationError, match=r"Strict\.b: must be at most 2 long, is 3"):
        Strict(0, "abc")


def test_validation_can_be_asked_for_without_the_option() -> None:
    class Lazy(bl.Record):
        a: int = IntegerField(min_value=1, default=1)

    wrong = Lazy(0)
    assert not wrong.is_valid()
    assert [error.field.ident for error in wrong.validation_errors] == ["Lazy.a"]
    with pytest.raises(ValidationError):
        wrong.validate_or_raise()


def test_fields_may_have_other_names_in_json_or_be_left_out() -> None:
    class Renamed(bl.Record, include_metadata=False):
        origin: str = StringField(input_name="in", output_name="out")
        secret: str = StringField(exclude=True, default="-")

    assert Renamed.loads(b'{"in":"a","secret":"b"}') == Renamed("a", "b")
    assert Renamed("a", "b").dumps() == b'{"out":"a"}'


def test_the_users_own_coercions_are_used() -> None:
    class Money(bl.Record, coercions={complex: complex}):
        a: complex

    assert Money.from_data({"a": "1+2j"}).a == 1 + 2j


def test_the_blessed_key_picks_the_subclass() -> None:
    class Animal(bl.Record, abstract=True):
        name: str

    class Dog(Animal, namespace="test.Dog"):
        pass

    class Zoo(bl.Record, namespace="test.Zoo"):
        first: Animal

    zoo = Zoo.loads(Zoo(Dog("Rex")).dumps())
    assert isinstance(zoo.first, Dog)
    assert registry["test.Dog"] is Dog
    assert maybe_model({"__faust": {"ns": "test.Dog"}, "name": "Rex"}) == Dog("Rex")
    assert maybe_model({"__faust": {"ns": "test.Cat"}}) == {"__faust": {"ns": "test.Cat"}}
    with pytest.raises(ValueError, match="name"):
        maybe_model({"__faust": {"ns": "test.Dog"}})


def test_a_constructor_may_set_more_than_the_fields() -> None:
    class Sum(bl.Record):
        a: int
        b: int

        def __post_init__(self) -> None:
            self.total = self.a + self.b

    assert Sum.loads(b'{"a":1,"b":2}').total == 3
    assert pickle.loads(pickle.dumps(Order("a"))).customer == "a"


def test_a_record_is_matched_by_position() -> None:
    match Order("ada", 2.0):
        case Order(name, amount):
            assert (name, amount) == ("ada", 2.0)


def test_other_mappings_are_taken_as_data() -> None:
    class Data(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return {"customer": "ada"}[key]

        def __iter__(self) -> Any:
            return iter(["customer"])

        def __len__(self) -> int:
            return 1

    assert Order.from_data(Data()) == Order("ada")
