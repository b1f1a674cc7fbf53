"""Records: classes with typed fields that go to JSON and back."""

from __future__ import annotations

import contextlib
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform

from beltline._native import RecordMaker
from beltline.exceptions import DecodeError, ImproperlyConfigured, ValidationError, ValueDecodeError

from .convert import Converter, converter_for, wrong
from .fields import FIELD_TYPES, REQUIRED, DatetimeField, FieldDescriptor
from .options import ModelOptions
from .registry import BLESSED_KEY, registry

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Record"]

T = TypeVar("T")

#: Attributes of a class that say how instances are made.
MAKING: Final = ("__init__", "__new__", "__setattr__")

#: Names of the class statement's ``class Options`` and what else is no field.
OPTIONS: Final = "Options"


class RecordType(type):
    """Makes the annotated attributes of a record slots, and shows them on the class as `FieldDescriptor`."""

    _fields: dict[str, FieldDescriptor]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> RecordType:
        if not any(isinstance(base, RecordType) for base in bases):
            return super().__new__(mcs, name, bases, namespace)
        own = own_annotations(namespace)
        given = {field: namespace.pop(field, REQUIRED) for field in own}
        inherited: dict[str, FieldDescriptor] = {}
        for base in reversed(bases):
            inherited.update(getattr(base, "_fields", {}))
        # Whoever writes a constructor may set other attributes in it; without one there is no room for them, which
        # makes instances smaller, and lets the decoder use one again that nobody holds any more.
        roomy = "__init__" in namespace or "__post_init__" in namespace
        # An attribute of a base that becomes a field again keeps its slot there; layouts with two bases have none.
        slots = [] if len(bases) > 1 else [field for field in own if field not in inherited]
        taken = any(hasattr(base, "__dictoffset__") and base.__dictoffset__ for base in bases)
        namespace.setdefault("__slots__", (*slots, *(("__dict__",) if roomy and not taken else ())))
        nested = namespace.pop(OPTIONS, None)
        made = super().__new__(mcs, name, bases, namespace)
        changes = {key: value for key, value in vars(nested).items() if key[:1] != "_"} if nested else {}
        made._setup(own, given, inherited, {"abstract": False, "namespace": None, **changes, **options})
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> None:
        super().__init__(name, bases, namespace)

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in MAKING:
            make_by_constructor(cls)

    def __getattribute__(cls, name: str) -> Any:
        if name[:1] != "_":
            field = type.__getattribute__(cls, "_fields").get(name)
            if field is not None:
                return field
        return type.__getattribute__(cls, name)


def make_by_constructor(record_class: type[Any]) -> None:
    """Have calls of a class, and of those that inherit from it, go the way that Python has for them."""
    type.__setattr__(record_class, "_maker", None)
    for inheriting in record_class.__subclasses__():
        make_by_constructor(inheriting)


def own_annotations(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class body that are fields: no private names, no ``ClassVar``."""
    annotations = namespace.get("__annotations__", {})
    return {name: kind for name, kind in annotations.items() if name[:1] != "_" and not is_class_var(kind)}


def is_class_var(kind: Any) -> bool:
    """Whether an annotation, resolved or not, is a ``ClassVar``."""
    if isinstance(kind, str):
        return kind.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))
    return kind is ClassVar or typing.get_origin(kind) is ClassVar


@dataclass_transform(kw_only_default=False, order_default=True)
class Record(metaclass=RecordType):
    """A record: annotated attributes are fields, in the order in which the constructor takes them.

    Fields are read and written by their names in JSON objects. A field whose annotation allows ``None`` has the default
    ``None``; names that are no fields are ignored on loading. Options are keywords of the class statement, see
    `beltline.models.ModelOptions`.

    Example:
        >>> class Order(Record, namespace="doc.Order"):
        ...     customer: str
        ...     amount: float = 0.0
        >>> Order("ada", 1.5).dumps(serializer="json")
        b'{"customer":"ada","amount":1.5,"__faust":{"ns":"doc.Order"}}'
        >>> Order.loads(b'{"customer": "ada"}', serializer="json")
        <Order: customer='ada', amount=0.0>
    """

    _fields: ClassVar[dict[str, FieldDescriptor]] = {}
    _options: ClassVar[ModelOptions] = ModelOptions(abstract=True)
    _converters: ClassVar[dict[str, Converter | None] | None] = None
    _inputs: ClassVar[dict[str, str]] = {}
    _blessed: ClassVar[dict[str, str]] = {}
    _annotations: ClassVar[dict[str, Any]] = {}
    _maker: ClassVar[RecordMaker | None] = None

    __slots__ = ()

    @classmethod
    def _setup(
        cls,
        own: dict[str, Any],
        given: dict[str, Any],
        inherited: dict[str, FieldDescriptor],
        options: dict[str, Any],
    ) -> None:
        cls._options = cls.__mro__[1]._options.changed(cls.__name__, options)  # type: ignore[attr-defined]
        namespace = cls._options.namespace or f"{cls.__module__}.{cls.__qualname__}"
        cls._blessed = {"ns": namespace}
        resolved = resolve(cls, own)
        fields = {name: field.bound(name, field.type, cls, field.default) for name, field in inherited.items()}
        for name, kind in resolved.items():
            fields[name] = make_field(cls, name, kind, given[name])
        cls._fields = fields
        cls._inputs = {field.input_name: name for name, field in fields.items()}
        cls._converters = None
        type.__setattr__(cls, "__match_args__", tuple(fields))
        if "__init__" not in cls.__dict__:
            cls.__init__ = make_init(cls)  # type: ignore[method-assign]
            if cls._is_plain():
                cls._maker = RecordMaker(cls, [(name, field.required, field.default) for name, field in fields.items()])
        registry[namespace] = cls

    @classmethod
    def _is_plain(cls) -> bool:
        """Whether the constructor does nothing but keep its arguments, or defaults that all instances may share."""
        return not (
            cls._options.abstract
            or needs_conversion(cls)
            or hasattr(cls, "__post_init__")
            or cls.__setattr__ is not object.__setattr__
            or any(is_shared(field.default) for field in cls._fields.values())
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("Record is made to be inherited from; it has no fields of its own")

    @classmethod
    def converters(cls) -> dict[str, Converter | None]:
        """Return what converts each field on loading; made when first asked for, when all models are defined."""
        if cls._converters is None:
            options = cls._options
            kinds = resolve(cls, {name: field.type for name, field in cls._fields.items()})
            for name, kind in kinds.items():
                cls._fields[name].type = kind
            cls._converters = {name: field_converter(cls._fields[name], kind, options) for name, kind in kinds.items()}
        return cls._converters

    @classmethod
    def from_data(cls, data: Mapping[str, Any], *, preferred_type: type[Any] | None = None) -> Self:
        """Make an instance of what JSON has.

        Args:
            data: By the fields' input names; others are ignored.
            preferred_type: Instead of this class.

        Raises:
            ValueError: A field is missing, or its value is of another type; the message names it.
        """
        if preferred_type is not None and preferred_type is not cls:
            made: Self = preferred_type.from_data(data)
            return made
        if not isinstance(data, Mapping):
            raise wrong(f"{cls.__name__}: an object", data)
        converters = cls._converters or cls.converters()
        values: dict[str, Any] = {}
        for key, value in data.items():
            name = cls._inputs.get(key)
            if name is not None:
                convert = converters[name]
                try:
                    values[name] = value if convert is None else convert(value)
                except ValueError as error:
                    raise ValueError(f"{cls.__name__}.{name}: {error}") from error
        for name, field in cls._fields.items():
            if name not in values and field.required:
                raise ValueError(f"{cls.__name__}: the field {field.input_name!r} is missing")
        return cls(**values)

    @classmethod
    def loads(cls, data: bytes | str, *, serializer: Any = None, default_serializer: Any = None) -> Self:
        """Read an instance from its bytes.

        Args:
            data: As `dumps` returns them.
            serializer: A codec or its name; None is the model's, and ``json`` if it has none.

        Raises:
            DecodeError: The bytes are no such record.
        """
        from beltline.serializers import get_codec

        codec = get_codec(serializer or cls._options.serializer or default_serializer or "json")
        try:
            return cls.from_data(codec.loads(data.encode() if isinstance(data, str) else data))
        except DecodeError:
            raise
        except (ValueError, TypeError) as error:
            raise ValueDecodeError(f"no {cls.__name__}: {error}") from error

    def dumps(self, *, serializer: Any = None) -> bytes:
        """Return the bytes of the record.

        Args:
            serializer: A codec or its name; None is the model's, and ``json`` if it has none.
        """
        from beltline.serializers import get_codec

        return get_codec(serializer or self._options.serializer or "json").dumps(self.to_representation())

    def to_representation(self) -> dict[str, Any]:
        """Return what a codec writes: fields by their output names, and the blessed key."""
        data = {field.output_name: getattr(self, name) for name, field in self._fields.items() if not field.exclude}
        if self._options.include_metadata:
            data[BLESSED_KEY] = self._blessed
        return data

    def __json__(self) -> dict[str, Any]:
        return self.to_representation()

    def asdict(self) -> dict[str, Any]:
        """Return the fields by their names.

        Example:
            >>> class Point(Record, namespace="doc.Point"):
            ...     x: int
            >>> Point(1).asdict()
            {'x': 1}
        """
        return {name: getattr(self, name) for name in self._fields}

    def derive(self, *objects: Record, **fields: Any) -> Self:
        """Return a copy with the fields of other records, then of keywords."""
        values = self.asdict()
        for other in objects:
            values.update(other.asdict())
        known = {name: value for name, value in {**values, **fields}.items() if name in self._fields}
        return type(self)(**known)

    @classmethod
    def make_final(cls) -> None:
        """Accepted from Faust, where it ends lazy creation; classes are always final here."""

    def is_valid(self) -> bool:
        """Whether no field has anything wrong."""
        return not self.validation_errors

    def validate(self) -> list[ValidationError]:
        """Return what is wrong with the fields."""
        return list(self._problems())

    def validate_or_raise(self) -> None:
        """Raise the first thing that is wrong.

        Raises:
            ValidationError: It names the field.
        """
        for error in self._problems():
            raise error

    @property
    def validation_errors(self) -> list[ValidationError]:
        """What is wrong with the fields."""
        return self.validate()

    def _problems(self) -> Iterator[ValidationError]:
        for name, field in self._fields.items():
            value = getattr(self, name)
            if value is not None:
                yield from field.validate(value)
            elif field.required:
                yield field.validation_error("must not be None")

    def _convert_and_check(self) -> None:
        """What the constructor does with ``coerce`` and ``validation``."""
        for name, field in self._fields.items():
            if self._options.coerce or field.coerce:
                value = getattr(self, name)
                try:
                    setattr(self, name, field.convert(value))
                except (ValueError, TypeError, ArithmeticError) as error:
                    raise field.validation_error(f"{value!r} cannot be converted: {error}") from error
        if self._options.validation:
            self.validate_or_raise()

    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __lt__(self, other: Self) -> bool:
        return self._key() < other._key() if type(other) is type(self) else NotImplemented

    def __le__(self, other: Self) -> bool:
        return self._key() <= other._key() if type(other) is type(self) else NotImplemented

    def __gt__(self, other: Self) -> bool:
        return self._key() > other._key() if type(other) is type(self) else NotImplemented

    def __ge__(self, other: Self) -> bool:
        return self._key() >= other._key() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self._key()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name, None)!r}" for name in self._fields)
        return f"<{type(self).__name__}: {inside}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (restore, (type(self), self.asdict(), dict(getattr(self, "__dict__", {}))))


def restore(kind: type[Record], fields: dict[str, Any], extra: dict[str, Any]) -> Record:
    """Make a record again that was pickled or copied, without its constructor."""
    made = kind.__new__(kind)
    for name, value in {**fields, **extra}.items():
        setattr(made, name, value)
    return made


def resolve(cls: type, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return annotations with names in quotes looked up; what is not defined yet stays as it is."""
    module = vars(sys.modules.get(cls.__module__, sys))
    resolved = {}
    for name, kind in kinds.items():
        if isinstance(kind, str):
            kind = looked_up(cls, kind, module)
        resolved[name] = kind
    return resolved


def looked_up(cls: type, kind: str, module: Mapping[str, Any]) -> Any:
    """Return what an annotation in quotes stands for; the text itself while a name in it is not defined."""
    try:
        return eval(kind, {**module, cls.__name__: cls})
    except NameError:
        with contextlib.suppress(NameError):
            return eval(kind, {**module, **defining_locals(cls), cls.__name__: cls})
    return kind


def defining_locals(cls: type) -> dict[str, Any]:
    """Return the names a class inside of a function can see, while its class statement runs."""
    names: dict[str, Any] = {}
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == cls.__module__:
            names = {**frame.f_locals, **names}
        frame = frame.f_back  # type: ignore[assignment]
    return names


def make_field(cls: type[Record], name: str, kind: Any, given: Any) -> FieldDescriptor:
    """Return the descriptor of a field from its annotation and what the class body assigns to it."""
    if isinstance(given, FieldDescriptor):
        return given.bound(name, kind, cls, REQUIRED)
    optional = type(None) in typing.get_args(kind)
    default = None if optional and given is REQUIRED else given
    plain = [one for one in typing.get_args(kind) if one is not type(None)] if optional else [kind]
    field_type = (
        FIELD_TYPES.get(plain[0], FieldDescriptor) if len(plain) == 1 and is_hashable(plain[0]) else FieldDescriptor
    )
    date_parser = cls._options.date_parser
    return (
        field_type().bound(name, kind, cls, default)
        if date_parser is None
        else field_type(date_parser=date_parser).bound(name, kind, cls, default)
    )


def is_hashable(kind: Any) -> bool:
    """Whether an annotation can be looked up."""
    try:
        hash(kind)
    except TypeError:
        return False
    return True


def field_converter(field: FieldDescriptor, kind: Any, options: ModelOptions) -> Converter | None:
    """Return the converter of a field on loading."""
    if isinstance(field, DatetimeField) and field.date_parser is not None:
        convert: Callable[[Any], Any] = field.convert
        return convert
    made = converter_for(kind, options.coercions, polymorphic=options.polymorphic_fields)
    if made is not None and (options.coerce or field.coerce):
        # The constructor converts, and says what is wrong.
        plain = {one for one in (kind, *typing.get_args(kind)) if is_hashable(one)}
        if plain & set(FIELD_TYPES):
            return None
    return made


def needs_conversion(cls: type[Record]) -> bool:
    """Whether the constructor converts or validates anything."""
    return cls._options.coerce or cls._options.validation or any(field.coerce for field in cls._fields.values())


def is_shared(default: Any) -> bool:
    """Whether every instance needs a copy of a default, for it could be changed in one of them."""
    return isinstance(default, list | dict | set)


def make_init(cls: type[Record]) -> Any:
    """Return a constructor with one parameter per field, as fast as one written by hand."""
    seen_default = None
    parameters, body, scope = [], [], {"_REQUIRED": REQUIRED}
    for index, (name, field) in enumerate(cls._fields.items()):
        if field.required:
            if seen_default is not None:
                raise TypeError(
                    f"{cls.__name__}: the field {name!r} has no default but follows {seen_default!r}, which has one"
                )
            parameters.append(name)
        else:
            seen_default = name
            scope[f"_default_{index}"] = field.default
            parameters.append(f"{name}=_default_{index}")
        own = f"{name}.copy() if {name} is _default_{index} else {name}" if is_shared(field.default) else name
        body.append(f"    self.{name} = {own}")
    options = cls._options
    if options.abstract:
        message = f"{cls.__name__} is abstract: inherit from it"
        body = [f"    raise NotImplementedError({message!r})"]
    else:
        if needs_conversion(cls):
            body.append("    self._convert_and_check()")
        if hasattr(cls, "__post_init__"):
            body.append("    self.__post_init__()")
    source = f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(body or ["    pass"])
    if not all(name.isidentifier() for name in cls._fields):
        raise ImproperlyConfigured(f"{cls.__name__}: a field has a name that is none")
    exec(source, scope)
    init = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init
