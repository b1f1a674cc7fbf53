"""Events that were taken away from their stream: those of a list, or one that is in another thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from beltline.failures import SETTLED_ERRORS, was_taken_back

if TYPE_CHECKING:
    from beltline.failures import ErrorDesk
    from beltline.streams.stream import Stream

__all__ = ["Held", "run_until_settled"]


class Held:
    """Stands for the stream before the `ErrorDesk`.

    Attributes:
        messages: The records in hand; None stands for a bare item of a channel.
        again: The desk wants the function to run once more.
    """

    __slots__ = ("again", "messages")

    def __init__(self, messages: Sequence[Any]) -> None:
        self.messages = messages
        self.again = False

    def in_hand(self) -> list[Any]:
        """Return the records."""
        return list(self.messages)

    def finish(self) -> None:
        """They are done."""
        for message in self.messages:
            if message is not None:
                message.ack()

    def give_back(self) -> None:
        """Run on them again, here: another reader must not get between them and those that follow."""
        self.again = True

    def release(self) -> None:
        """They were not processed and are delivered again."""
        for message in self.messages:
            if message is not None:
                message.release()


async def run_until_settled(desk: ErrorDesk, held: Held, call: Callable[[], Awaitable[None]]) -> None:
    """Run `call` until it succeeds, or until the desk says what becomes of the events; not if they were taken back.

    Raises:
        BaseException: What `call` raised, when the worker has to stop; the events are released then.
    """
    while not was_taken_back(held.messages):
        held.again = False
        try:
            await call()
        except asyncio.CancelledError:
            held.release()
            raise
        except SETTLED_ERRORS as error:
            try:
                await desk.settle(cast("Stream[Any]", held), error)
            except BaseException:
                held.release()
                raise
            if held.again:
                continue
        else:
            held.finish()
        return
