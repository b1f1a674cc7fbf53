"""Models: what keys and values are made of."""

from .fields import (
    BooleanField,
    BytesField,
    DatetimeField,
    DecimalField,
    FieldDescriptor,
    FloatField,
    IntegerField,
    StringField,
)
from .options import ModelOptions
from .record import Record
from .registry import maybe_model, registry

__all__ = [
    "BooleanField",
    "BytesField",
    "DatetimeField",
    "DecimalField",
    "FieldDescriptor",
    "FloatField",
    "IntegerField",
    "ModelOptions",
    "Record",
    "StringField",
    "maybe_model",
    "registry",
]
