"""Carries out error policies: what `beltline.policies` says, for one agent, handler or forwarder."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ._native import Message
from .exceptions import CorruptLogError, EventTakenBack, ImproperlyConfigured, StorageError
from .policies import DeadLetter, Fail, Failure, Retry, final_policy, policy_of
from .topics import Topic

if TYPE_CHECKING:
    from .app.base import App
    from .policies import PolicyArgument
    from .streams.stream import Stream

__all__ = ["SETTLED_ERRORS", "ErrorDesk", "LetterBox", "decode_error_handler", "was_taken_back"]

logger = logging.getLogger(__name__)

#: So many failed events are remembered with their number of runs, per desk.
MAX_REMEMBERED: Final = 1000

#: An agent may fail so often in a row without having an event in hand; then it will never get anywhere.
MAX_BARREN: Final = 20

#: Seconds before an agent that failed without an event starts again, times the number of such failures.
BARREN_DELAY_S: Final = 0.01

#: Errors after which nothing that the worker does would last.
FATAL_ERRORS: Final = (StorageError, CorruptLogError)

#: What a consumer gives to `ErrorDesk.settle`; an `asyncio.TaskGroup` of a handler wraps what is no `Exception`.
SETTLED_ERRORS: Final = (Exception, EventTakenBack, BaseExceptionGroup)


def was_taken_back(messages: Sequence[Any]) -> bool:
    """Return whether records in hand were taken back, the oldest of which comes first; items in memory never are."""
    return bool(messages) and getattr(messages[0], "taken_back", False)


def failure_of(error: BaseException, handler: str, message: Any, attempts: int = 1) -> Failure:
    """Return the failure of one event; `message` is None when its record is not known."""
    if message is None:
        return Failure(error, handler, None, 0, -1, attempts)
    return Failure(error, handler, message.topic or None, message.partition, message.offset, attempts)


def annotate(error: BaseException, failure: Failure) -> None:
    """Add the address of the record to the error's text, once, so that every traceback shows it."""
    note = f"beltline: {failure.handler} failed on {failure.address} (run {failure.attempts})"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def decode_error_handler(app: App, policy: PolicyArgument | None, handler: str) -> Callable[[Any, Exception], object]:
    """Return what a stream calls as ``(message, error)`` for a record whose bytes it cannot decode.

    Raises:
        ImproperlyConfigured: When `policy` is no policy, or asks to run again.
    """
    final = final_policy(policy)
    letters = None
    if isinstance(final, DeadLetter):
        letters = app.letter_topic(final.topic)

    def handle(message: Any, error: Exception) -> None:
        failure = failure_of(error, "decode", message)
        app.count_failure(failure)
        annotate(error, failure)
        if isinstance(final, Fail):
            app.fatal(error)
            raise error
        if letters is None:
            logger.error("%s cannot decode %s, skipped: %s", handler, failure.address, error)
            return
        letters.send_now(message, failure)
        logger.error("%s cannot decode %s, sent to %s: %s", handler, failure.address, letters.name, error)

    return handle


class ErrorDesk:
    """Decides about every failed event of one agent or handler.

    Attributes:
        failed: How many runs failed.
        skipped: How many events were given up.
    """

    def __init__(self, app: App, name: str, policy: PolicyArgument | None) -> None:
        self.app = app
        self.name = name
        self.policy = policy_of(policy)
        self.failed = 0
        self.skipped = 0
        self._barren = 0
        self._runs: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    async def settle(self, stream: Stream[Any], error: BaseException) -> None:
        """Finish or give back the events that `stream` has in hand; returns when its consumer may go on.

        Events that were taken back are delivered again, whatever their handler failed on: that is no failure.

        Raises:
            BaseException: `error` itself, when the worker has to stop. Nothing was acknowledged then.
        """
        try:
            await self._settle(stream, error)
        except EventTakenBack:
            # While its dead letter waited for room.
            stream.give_back()

    async def _settle(self, stream: Stream[Any], error: BaseException) -> None:
        if self.app.has_failed or isinstance(error, FATAL_ERRORS):
            stream.give_back()
            self.app.fatal(error)
            raise error
        messages = stream.in_hand()
        if isinstance(error, EventTakenBack) or was_taken_back(messages):
            logger.debug("%s goes on with the next event: %r", self.name, error)
            stream.give_back()
            return
        if not isinstance(error, Exception):
            raise error
        if not messages:
            await self._settle_barren(error)
            return
        self._barren = 0
        self.failed += 1
        runs = self._count_run(messages[0])
        failure = failure_of(error, self.name, messages[0], runs)
        annotate(error, failure)
        policy = self.policy
        if isinstance(policy, Retry):
            delay = policy.delay(runs)
            if delay is not None:
                logger.warning("%s: run again in %g s: %r", failure.address, delay, error, exc_info=error)
                await asyncio.sleep(delay)
                stream.give_back()
                return
            policy = policy.then
        self._forget(messages[0])
        if isinstance(policy, Fail):
            stream.give_back()
            self.app.fatal(error)
            raise error
        await self._give_up(policy, messages, failure)
        stream.finish()

    async def _give_up(self, policy: Any, messages: Sequence[Any], failure: Failure) -> None:
        self.skipped += len(messages)
        self.app.count_failure(failure)
        error = failure.exception
        if not isinstance(policy, DeadLetter):
            logger.error("%s failed on %s, skipped: %r", self.name, failure.address, error, exc_info=error)
            return
        letters = self.app.letter_topic(policy.topic)
        for message in messages:
            if message is not None:
                await letters.send(message, failure_of(error, self.name, message, failure.attempts))
        logger.error("%s failed on %s, sent to %s: %r", self.name, failure.address, letters.name, error, exc_info=error)

    async def _settle_barren(self, error: Exception) -> None:
        """An error before the first event, or between two: nothing can be skipped, so it may not go on for ever."""
        self._barren += 1
        if self._barren >= MAX_BARREN:
            error.add_note(f"beltline: {self.name} failed {self._barren} times without having an event in hand")
            self.app.fatal(error)
            raise error
        self.app.count_failure(failure_of(error, self.name, None))
        logger.error("%s failed without an event in hand, starts again: %r", self.name, error, exc_info=error)
        await asyncio.sleep(self._barren * BARREN_DELAY_S)

    def _count_run(self, message: Any) -> int:
        address = address_key(message)
        runs = self._runs[address] = self._runs.pop(address, 0) + 1
        if len(self._runs) > MAX_REMEMBERED:
            self._runs.popitem(last=False)
        return runs

    def _forget(self, message: Any) -> None:
        self._runs.pop(address_key(message), None)


def address_key(message: Any) -> tuple[str, int, int]:
    """Return what tells one record from another; bare items of a channel share one key."""
    return ("", -1, -1) if message is None else (message.topic, message.partition, message.offset)


class LetterBox:
    """Takes dead letters to a topic or channel.

    Args:
        app: The app that sends.
        target: Name of a topic, a topic, or a channel in memory.
    """

    def __init__(self, app: App, target: Any) -> None:
        self.app = app
        self.channel = app.topic(target) if isinstance(target, str) else target
        self.topic = self.channel if isinstance(self.channel, Topic) else None
        self.name = str(self.channel)

    def send_now(self, message: Any, failure: Failure) -> None:
        """Send a record whose bytes could not be decoded.

        Raises:
            BufferError: The outbox is full.
            ImproperlyConfigured: The target is a channel in memory, which does not take bytes.
        """
        if self.topic is None:
            raise ImproperlyConfigured(f"on_decode_error=dead_letter({self.name}): raw bytes need a topic")
        session = self.app.session
        session.declare(self.topic)
        headers = [*message.headers, *failure.headers()]
        session.send_now(self.topic.get_topic_name(), message.key, message.value, headers=headers)

    async def send(self, message: Any, failure: Failure) -> None:
        """Send a record or an item that could not be handled: bytes as they are, objects as the topic encodes them."""
        headers = [*message.headers, *failure.headers()]
        if self.topic is None or not is_raw(message):
            await self.channel.send(key=message.key, value=message.value, headers=headers)
            return
        session = self.app.session
        session.declare(self.topic)
        await session.send(self.topic.get_topic_name(), message.key, message.value, headers=headers)


def is_raw(message: Any) -> bool:
    """Whether a message has the bytes of a record, not the objects of a channel in memory."""
    return isinstance(message, Message)
