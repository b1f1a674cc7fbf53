"""Everything beltline raises on purpose, with Faust's names where Faust has one."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyConfiguredWarning",
    "BeltlineError",
    "ConsumerNotStarted",
    "CorruptLogError",
    "DataDirectoryError",
    "DecodeError",
    "EventTakenBack",
    "FaustError",
    "FaustPredicate",
    "FaustWarning",
    "ImproperlyConfigured",
    "KeyDecodeError",
    "NotReady",
    "PartitionsMismatch",
    "ProducerSendError",
    "SameNode",
    "SecurityError",
    "SecurityWarning",
    "Skip",
    "StorageError",
    "ValidationError",
    "ValueDecodeError",
]


class BeltlineError(Exception):
    """Base of all errors."""


FaustError = BeltlineError


class FaustWarning(UserWarning):
    """Base of all warnings."""


class FaustPredicate(BaseException):
    """Base of exceptions that say something about an event and are no errors."""


class Skip(FaustPredicate):
    """Raised in a stream processor: the event is done, the next one please."""


class EventTakenBack(FaustPredicate):
    """Raised where a handler sends or writes in the middle of an event that was taken back and is delivered again.

    Under exactly-once that happens when the handler awaited something, and meanwhile the commit was refused or the
    partition went to another worker. What the handler did before is gone, and what it does now would count twice.
    Agents and handlers that let it pass go on with the next event, which is no failure. ``except Exception`` does not
    catch it; a program that iterates a stream of its own may catch it, and ask for the next event.
    """


class SecurityError(BeltlineError):
    """Something was asked for that would give a secret away."""


class SecurityWarning(FaustWarning):
    """Something is used that an attacker could turn against the app."""


class NotReady(BeltlineError):
    """The app has not started."""


class AlreadyConfiguredWarning(FaustWarning):
    """A setting was changed after it had been used."""


class ImproperlyConfigured(BeltlineError):
    """The program asks for something that cannot work; the message says what to change."""


class ValidationError(BeltlineError, ValueError):
    """A field of a model has a value that it must not have.

    Attributes:
        reason: What is wrong.
        field: The field's descriptor.
    """

    def __init__(self, reason: str, *, field: Any = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(reason if field is None else f"{getattr(field, 'ident', field)}: {reason}")


class DecodeError(BeltlineError, ValueError):
    """A record's bytes are not what its topic promises."""


class KeyDecodeError(DecodeError):
    """A key cannot be decoded."""


class ValueDecodeError(DecodeError):
    """A value cannot be decoded."""


class SameNode(BeltlineError):
    """A request was to be forwarded to the worker that has it."""


class ProducerSendError(BeltlineError):
    """A record could not be sent."""


class ConsumerNotStarted(NotReady):
    """Something was asked of a consumer that does not run."""


class PartitionsMismatch(BeltlineError):
    """Topics that belong together have different numbers of partitions."""


class DataDirectoryError(BeltlineError):
    """The data directory is held by another process, foreign, read-only, or of a newer format."""


class StorageError(BeltlineError):
    """The disk is full or refuses writes; nothing that was committed is lost."""


class CorruptLogError(BeltlineError):
    """Bytes on disk fail their checksum; nothing behind them is read."""
