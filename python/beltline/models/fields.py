"""Fields: what a class shows of its annotated attributes, and how values are checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from beltline.exceptions import ValidationError

__all__ = [
    "REQUIRED",
    "BooleanField",
    "BytesField",
    "DatetimeField",
    "DecimalField",
    "FieldDescriptor",
    "FloatField",
    "IntegerField",
    "StringField",
]

#: A field without a default.
REQUIRED: Final[Any] = type("REQUIRED", (), {"__repr__": lambda self: "REQUIRED"})()


class FieldDescriptor:
    """A field of a model, as ``Order.customer`` gives it; what ``group_by`` and ``by=`` take.

    Args:
        field: Name of the attribute.
        type: Its annotation.
        model: The class.
        required: Whether it has no default.
        default: Its default.
        input_name: Its name in JSON when it is read.
        output_name: Its name in JSON when it is written.
        exclude: Whether it is left out when it is written.
        coerce: Whether the constructor converts.
        date_parser: Reads text as a date.
        parent: The field whose model this one belongs to: ``Order.address.city``.

    Example:
        >>> from beltline import Record
        >>> class Order(Record, namespace="doc.Order"):
        ...     customer: str
        >>> Order.customer.ident, Order.customer.getattr(Order("ada"))
        ('Order.customer', 'ada')
    """

    def __init__(
        self,
        *,
        field: str = "",
        type: Any = None,  # noqa: A002 - Faust's name
        model: Any = None,
        required: bool = True,
        default: Any = REQUIRED,
        input_name: str | None = None,
        output_name: str | None = None,
        exclude: bool = False,
        coerce: bool | None = None,
        date_parser: Callable[[Any], datetime] | None = None,
        tag: Any = None,
        parent: FieldDescriptor | None = None,
        **options: Any,
    ) -> None:
        self.field = field
        self.type = type
        self.model = model
        self.default = default
        self.required = required and default is REQUIRED
        self.input_name = input_name or field
        self.output_name = output_name or self.input_name
        self.renamed = (input_name, output_name)
        self.exclude = exclude
        self.coerce = coerce
        self.date_parser = date_parser
        self.tag = tag
        self.parent = parent
        self.options = options

    def bound(self, field: str, kind: Any, model: Any, default: Any) -> FieldDescriptor:
        """Return this field for one attribute of a class."""
        made = copy.copy(self)
        made.field, made.type, made.model = field, kind, model
        made.default = self.default if default is REQUIRED else default
        made.required = self.required and made.default is REQUIRED
        given_in, given_out = self.renamed
        made.input_name = given_in or field
        made.output_name = given_out or made.input_name
        return made

    @property
    def ident(self) -> str:
        """``Model.field``; what a repartition topic is called after."""
        return f"{self.model.__name__}.{self.field}"

    def getattr(self, obj: Any) -> Any:
        """Return the field's value in an instance of the model."""
        if self.parent is not None:
            obj = self.parent.getattr(obj)
        return getattr(obj, self.field)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        nested = self.__dict__.get("type")
        inner = getattr(nested, "_fields", {}).get(name) if isinstance(nested, type) else None
        if inner is None:
            raise AttributeError(f"{self.__dict__.get('field')!r} has no field {name!r}")
        made = inner.bound(inner.field, inner.type, inner.model, inner.default)
        made.parent = self
        return made

    def convert(self, value: Any) -> Any:
        """Convert an argument of the constructor to the field's type."""
        return value

    def validate(self, value: Any) -> Iterator[ValidationError]:
        """Yield what is wrong with a value; override it in fields of your own."""
        yield from ()

    def validation_error(self, reason: str) -> ValidationError:
        """Return the error for a value of this field."""
        return ValidationError(reason, field=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.ident}: {getattr(self.type, '__name__', self.type)}>"


class BooleanField(FieldDescriptor):
    """True or False."""

    def convert(self, value: Any) -> Any:
        return value if value is None else bool(value)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if not isinstance(value, bool):
            yield self.validation_error(f"must be True or False, of type bool, not {value!r}")


class NumberField(FieldDescriptor):
    """A number with limits.

    Args:
        max_value: The largest value allowed.
        min_value: The smallest value allowed.
    """

    def __init__(self, *, max_value: Any = None, min_value: Any = None, **options: Any) -> None:
        self.max_value = max_value
        self.min_value = min_value
        super().__init__(**options)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if self.max_value is not None and value > self.max_value:
            yield self.validation_error(f"must be at most {self.max_value}, is {value!r}")
        if self.min_value is not None and value < self.min_value:
            yield self.validation_error(f"must be at least {self.min_value}, is {value!r}")


class IntegerField(NumberField):
    """An integer."""

    def convert(self, value: Any) -> Any:
        return value if value is None else int(value)


class FloatField(NumberField):
    """A float."""

    def convert(self, value: Any) -> Any:
        return value if value is None else float(value)


class DecimalField(NumberField):
    """A Decimal.

    Args:
        max_digits: Digits in all.
        max_decimal_places: Digits after the point.
    """

    def __init__(self, *, max_digits: int | None = None, max_decimal_places: int | None = None, **options: Any) -> None:
        self.max_digits = max_digits
        self.max_decimal_places = max_decimal_places
        super().__init__(**options)

    def convert(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Decimal) else Decimal(str(value))

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if not value.is_finite():
            yield self.validation_error(f"must be a finite number, is {value}")
            return
        yield from super().validate(value)
        _, digits, exponent = value.as_tuple()
        places = max(-exponent, 0)
        if self.max_digits is not None and len(digits) > self.max_digits:
            yield self.validation_error(f"must have at most {self.max_digits} digits, has {len(digits)}")
        if self.max_decimal_places is not None and places > self.max_decimal_places:
            yield self.validation_error(f"must have at most {self.max_decimal_places} decimal places, has {places}")


class CharField(FieldDescriptor):
    """Text or bytes with a length.

    Args:
        max_length: The longest allowed.
        min_length: The shortest allowed.
        trim_whitespace: Whether blanks at both ends are removed.
        allow_blank: Whether it may be empty.
    """

    def __init__(
        self,
        *,
        max_length: int | None = None,
        min_length: int | None = None,
        trim_whitespace: bool = False,
        allow_blank: bool = True,
        **options: Any,
    ) -> None:
        self.max_length = max_length
        self.min_length = min_length
        self.trim_whitespace = trim_whitespace
        self.allow_blank = allow_blank
        super().__init__(**options)

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if not self.allow_blank and not value:
            yield self.validation_error("must not be empty")
        if self.max_length is not None and len(value) > self.max_length:
            yield self.validation_error(f"must be at most {self.max_length} long, is {len(value)}")
        if self.min_length is not None and len(value) < self.min_length:
            yield self.validation_error(f"must be at least {self.min_length} long, is {len(value)}")


class StringField(CharField):
    """Text."""

    def convert(self, value: Any) -> Any:
        if value is None:
            return value
        text = value if isinstance(value, str) else str(value)
        return text.strip() if self.trim_whitespace else text


class BytesField(CharField):
    """Bytes; text in JSON.

    Args:
        encoding: Of the text.
        errors: As ``str.encode`` takes it.
    """

    def __init__(self, *, encoding: str = "utf-8", errors: str = "strict", **options: Any) -> None:
        self.encoding = encoding
        self.errors = errors
        super().__init__(**options)

    def convert(self, value: Any) -> Any:
        if isinstance(value, str):
            value = value.encode(self.encoding, self.errors)
        return value.strip() if value is not None and self.trim_whitespace else value


class DatetimeField(FieldDescriptor):
    """A date with a time."""

    def convert(self, value: Any) -> Any:
        if value is None or isinstance(value, datetime):
            return value
        parse = self.date_parser or datetime.fromisoformat
        return parse(value)


#: Which field an annotation gets.
FIELD_TYPES: Final[dict[Any, type[FieldDescriptor]]] = {
    bool: BooleanField,
    int: IntegerField,
    float: FloatField,
    Decimal: DecimalField,
    str: StringField,
    bytes: BytesField,
    datetime: DatetimeField,
}
