"""What a model can be told in its class statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from beltline.exceptions import ImproperlyConfigured

__all__ = ["ModelOptions"]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of a model; subclasses inherit them.

    Attributes:
        serializer: Codec of the model's values; None leaves it to the topic and the app.
        namespace: What the blessed key says; None is ``module.Class``.
        include_metadata: Whether the blessed key is written.
        isodates: Text is read as a date where a date is wanted; that is always so here.
        abstract: No instances, only subclasses.
        allow_blessed_key: The blessed key picks the class on loading.
        decimals: Text is read as a Decimal where one is wanted; that is always so here.
        coerce: The constructor converts its arguments to the types of the fields.
        coercions: Types and what makes them of what JSON has.
        polymorphic_fields: Fields that are models may hold subclasses.
        validation: The constructor raises `ValidationError`; implies `coerce`.
        date_parser: Reads text as a date.
        lazy_creation: Accepted; classes are always made at once.
    """

    serializer: Any = None
    namespace: str | None = None
    include_metadata: bool = True
    isodates: bool = False
    abstract: bool = False
    allow_blessed_key: bool = False
    decimals: bool = False
    coerce: bool = False
    coercions: Mapping[Any, Callable[[Any], Any]] = field(default_factory=dict)
    polymorphic_fields: bool = False
    validation: bool = False
    date_parser: Callable[[Any], datetime] | None = None
    lazy_creation: bool = False

    def changed(self, model: str, changes: Mapping[str, Any]) -> ModelOptions:
        """Return these options with changes.

        Raises:
            ImproperlyConfigured: There is no such option.
        """
        unknown = [name for name in changes if name not in ModelOptions.__slots__]
        if unknown:
            known = ", ".join(ModelOptions.__slots__)
            raise ImproperlyConfigured(f"model {model}: there is no option {unknown[0]!r}; there are: {known}")
        made = replace(self, **changes)
        return replace(made, coerce=True) if made.validation else made
