"""Tasks that handlers make: each belongs to the event in the middle of which it was made, and to no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from beltline._native import stay_within_event

__all__ = ["keep_tasks_within_events"]


class TaskFactory:
    """Makes the tasks of an event loop.

    A task starts with a copy of its maker's context variables, and what a handler works on is one of these. But a
    stream changes it in place from event to event, because that is quicker, and so a task that outlives its event would
    work on whichever event the stream has come to.

    Args:
        make: What made tasks before.
    """

    def __init__(self, make: Callable[..., asyncio.Future[Any]]) -> None:
        self._make = make

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
        if options.get("context") is not None:
            return self._make(loop, coroutine, **options)
        context = copy_context()
        context.run(stay_within_event)
        return context.run(self._make, loop, coroutine, **options)


def plain_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
    """Make a task as a loop does that has no factory."""
    return asyncio.Task(coroutine, loop=loop, **options)


def keep_tasks_within_events(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop's tasks belong to the event in which they are made, and to none afterwards. Idempotent.

    The loop keeps the factory, which calls the one that the loop had before.
    """
    before = loop.get_task_factory()
    if not isinstance(before, TaskFactory):
        loop.set_task_factory(TaskFactory(before or plain_task))
