"""Who reads: the subscriptions of one agent, handler or free stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beltline._native import Subscription
from beltline.failures import decode_error_handler

from .keys import BETWEEN

if TYPE_CHECKING:
    from beltline.app.base import App
    from beltline.policies import PolicyArgument

__all__ = ["Reader"]


class Reader:
    """Keeps what its streams read from, so that a stream that replaces a failed one goes on where that one stopped.

    Streams of one reader share the events of a source; streams of different readers see every event each.

    Attributes:
        app: The app whose belt is read.
        name: Shown in errors and in the health of the belt.
        prefix: What the names of repartition topics begin with.
        concurrency: How many streams of this reader run side by side.
        policy: What happens to an event that cannot be forwarded.
        on_decode_error: What happens to records that cannot be read; None leaves it to the topic.
        tables: What its events are written to; None when that is not known.
        regroups: Whether events get other keys before that, and go through a topic in between.
    """

    def __init__(
        self,
        app: App,
        name: str,
        *,
        prefix: str = "",
        concurrency: int = 1,
        policy: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
        tables: list[str] | None = None,
        regroups: bool = False,
    ) -> None:
        self.app = app
        self.name = name
        self.prefix = prefix
        self.concurrency = concurrency
        self.policy = policy
        self.on_decode_error = on_decode_error
        self.tables = tables
        self.regroups = regroups
        self._sources: dict[Any, Any] = {}

    def keep(self, source_of: Any, make: Callable[[], Any]) -> Any:
        """Return what was made for `source_of` before, or make it."""
        kept = self._sources.get(source_of)
        if kept is None:
            kept = self._sources[source_of] = make()
        return kept

    def tables_behind(self, topics: tuple[str, ...]) -> list[str] | None:
        """Return the tables that events of these topics are written to; None when that is not known."""
        if self.regroups and not any(topic.endswith(BETWEEN) for topic in topics):
            return []
        return self.tables

    def decode_error_handler(self, policy: PolicyArgument | None) -> Callable[[Any, Exception], object]:
        """Return what a stream calls for a record that it cannot decode."""
        return decode_error_handler(self.app, policy, self.name)

    def close_queues(self) -> None:
        """End the streams of channels in memory, after the items that are in."""
        for source in self._sources.values():
            if not isinstance(source, Subscription):
                source.queue.close()

    def close(self) -> None:
        """End all streams; their unfinished events no longer hold the app's position back."""
        for source in self._sources.values():
            if isinstance(source, Subscription):
                source.close()
            else:
                source.queue.close()
        self._sources.clear()
