"""What happens to an event whose handler raised, or whose bytes cannot be decoded.

A policy is given to ``on_error=`` or ``on_decode_error=`` of an app, a topic, an agent or a handler. It is plain data:
it says what should happen, and the code that runs the handler does it.

=====================  ==============================================================================================
``"skip"``             log the record's address, count it, go on with the next event (the default, and Faust's way)
``"fail"``             stop the worker with a non-zero exit code; a restart meets the event again
``retry(3)``           run the handler again on the same event, waiting longer each time, then do what ``then=`` says
``dead_letter("bad")`` send the record's bytes unchanged to that topic, with headers that tell the cause, then go on
=====================  ==============================================================================================
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from .exceptions import ImproperlyConfigured

__all__ = [
    "DeadLetter",
    "ErrorPolicy",
    "Fail",
    "Failure",
    "PolicyArgument",
    "Retry",
    "Skip",
    "dead_letter",
    "policy_of",
    "retry",
]

#: Header values are cut here: a header is for the operator's eye, the whole story is in the log.
MAX_CAUSE_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that could not be handled, as a policy and the log see it.

    Attributes:
        exception: What was raised.
        handler: Name of the agent or function, or ``"decode"`` for bytes that could not be read.
        topic: Topic of the record; None for a channel in memory.
        partition: Partition of the record.
        offset: Offset of the record.
        attempts: How often the handler has run on this event, the failed run included.
    """

    exception: BaseException
    handler: str
    topic: str | None
    partition: int
    offset: int
    attempts: int = 1

    @property
    def address(self) -> str:
        """Where the record is, as ``topic[partition]@offset``."""
        return address_of(self.topic, self.partition, self.offset)

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers that a dead letter carries besides the record's own."""
        cause = "".join(traceback.format_exception_only(self.exception)).strip()
        pairs = [
            ("beltline-error-type", type(self.exception).__qualname__),
            ("beltline-error-message", cause),
            ("beltline-error-line", user_line(self.exception)),
            ("beltline-error-handler", self.handler),
            ("beltline-error-topic", self.topic or ""),
            ("beltline-error-partition", str(self.partition)),
            ("beltline-error-offset", str(self.offset)),
            ("beltline-error-attempts", str(self.attempts)),
        ]
        return [(name, text.encode("utf-8", "replace")[:MAX_CAUSE_BYTES]) for name, text in pairs]


def address_of(topic: str | None, partition: int, offset: int) -> str:
    """Return the address of a record as messages and logs write it."""
    return f"{topic or '(channel)'}[{partition}]@{offset}"


def user_line(exception: BaseException) -> str:
    """Return ``file:line in function`` of the innermost frame of the traceback, or an empty text."""
    frames = traceback.extract_tb(exception.__traceback__)
    if not frames:
        return ""
    frame = frames[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"


@dataclass(frozen=True, slots=True)
class Skip:
    """Acknowledge the event and go on."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Stop the worker without acknowledging the event."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Send the record to another topic, then acknowledge it.

    Attributes:
        topic: Name of the topic, or a topic or channel object.
    """

    topic: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """Run the handler again on the same event.

    Attributes:
        times: How many more runs after the first.
        backoff: Seconds before the first of them.
        factor: Each wait is this many times the one before.
        limit: No wait is longer than this many seconds.
        then: What happens when the last run failed too.
    """

    times: int
    backoff: float
    factor: float
    limit: float
    then: Skip | Fail | DeadLetter

    def delay(self, attempts: int) -> float | None:
        """Return the seconds to wait after ``attempts`` failed runs, or None when no run is left."""
        if attempts > self.times:
            return None
        return min(self.backoff * self.factor ** min(attempts - 1, 64), self.limit)


ErrorPolicy: TypeAlias = Skip | Fail | Retry | DeadLetter
PolicyArgument: TypeAlias = Literal["skip", "fail"] | ErrorPolicy


def retry(
    times: int,
    backoff: float = 1.0,
    *,
    factor: float = 2.0,
    limit: float = 60.0,
    then: Literal["skip", "fail"] | Skip | Fail | DeadLetter = "fail",
) -> Retry:
    """Run a failed handler again on the same event.

    What the failed run had already done stays done: a handler that is retried should write its tables last, or write
    the same thing on every run.

    Args:
        times: How many more runs after the first, at least 1.
        backoff: Seconds before the first retry.
        factor: Growth of the wait from one retry to the next.
        limit: The longest wait in seconds.
        then: What to do when all runs failed: ``"fail"``, ``"skip"`` or ``dead_letter(topic)``.

    Raises:
        ImproperlyConfigured: If a number is out of range, or ``then`` is no final policy.

    Example:
        >>> retry(3, 0.5, then="skip").delay(2)
        1.0
    """
    if times < 1:
        raise ImproperlyConfigured(f"retry(times={times}): at least one retry, or use on_error='skip'")
    if backoff < 0 or limit < 0 or factor < 1:
        raise ImproperlyConfigured("retry(): backoff and limit are seconds from 0 up, factor is 1 or more")
    last = policy_of(then)
    if isinstance(last, Retry):
        raise ImproperlyConfigured("retry(then=...) takes 'fail', 'skip' or dead_letter(topic), not another retry")
    return Retry(times, float(backoff), float(factor), float(limit), last)


def dead_letter(topic: Any) -> DeadLetter:
    """Send the record's key, value and headers unchanged to ``topic``, add the cause as headers, and go on.

    Args:
        topic: Name of a topic, or a topic or channel object. A topic named by a string is created when missing.

    Example:
        >>> dead_letter("bad-orders").topic
        'bad-orders'
    """
    if topic is None or topic == "":
        raise ImproperlyConfigured("dead_letter() needs the topic to which failed events go")
    return DeadLetter(topic)


def policy_of(value: object) -> ErrorPolicy:
    """Return the policy that a user's ``on_error=`` argument means.

    Raises:
        ImproperlyConfigured: If the argument is no policy; the message lists what is.
    """
    if isinstance(value, Skip | Fail | Retry | DeadLetter):
        return value
    if value is None or value == "skip":
        return Skip()
    if value == "fail":
        return Fail()
    raise ImproperlyConfigured(
        f"on_error={value!r} is no policy: use 'skip', 'fail', beltline.retry(3) or beltline.dead_letter('topic')"
    )


def final_policy(value: object) -> Skip | Fail | DeadLetter:
    """Return the policy for undecodable bytes, for which running again cannot help.

    Raises:
        ImproperlyConfigured: If the argument is ``retry(...)`` or no policy at all.
    """
    policy = policy_of(value)
    if isinstance(policy, Retry):
        raise ImproperlyConfigured(
            "on_decode_error=retry(...): the same bytes fail the same way; use dead_letter(topic)"
        )
    return policy
