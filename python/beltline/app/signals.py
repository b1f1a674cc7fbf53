"""The signals of an app: who listens to one app, and who to all of them.

They are those of `mode`, which keeps listeners to one sender in a mapping that all senders share, under the hash of the
sender: an app that was made where another one lay in memory would tell the listeners of that one. Here every app keeps
its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final
from weakref import WeakMethod, ref

from mode.signals import BaseSignal, Signal, SyncSignal

__all__ = ["AppSignal", "AppSignals", "SyncAppSignal"]

#: Names of the signals; every app has copies that are sent in its name.
SIGNALS: Final = (
    "on_before_configured",
    "on_configured",
    "on_after_configured",
    "on_worker_init",
    "on_produce_message",
    "on_partitions_assigned",
    "on_partitions_revoked",
    "on_rebalance_complete",
    "on_before_shutdown",
)


class KeptApart(BaseSignal[Any]):
    """A signal of a class of apps; the copy that is sent in the name of one app keeps that app's listeners itself."""

    def of_app(self, app: Any) -> Any:
        """Return the copy for one app."""
        return self.clone(default_sender=app, receivers=self._receivers, filter_receivers=defaultdict(set))

    def listeners(self) -> tuple[Collection[Any], Collection[Any]]:
        """Return those who listen to every app, and those who listen to this one.

        Both are the collections themselves: they are empty as soon as nobody listens any more.
        """
        return self._receivers, self._filter_receivers[self._create_id(self.default_sender)]

    def _copy_of(self, sender: Any) -> BaseSignal[Any] | None:
        """The signal where listeners to `sender` are kept, if it is another one than this."""
        if sender is None or self.default_sender is not None:
            return None
        found = getattr(sender, self.name, None)
        return found if isinstance(found, KeptApart) else None

    def _connect(self, fun: Any, *, weak: bool = False, sender: Any = None) -> Any:
        copy = self._copy_of(sender)
        if copy is not None:
            return copy.connect(fun, weak=weak)
        return super()._connect(fun, weak=weak, sender=sender)

    def disconnect(self, fun: Any, *, weak: bool = False, sender: Any = None) -> None:
        """Tell a listener no more; `weak` and `sender` are those with which it was connected."""
        copy = self._copy_of(sender)
        if copy is not None:
            copy.disconnect(fun, weak=weak)
        else:
            super().disconnect(fun, weak=weak, sender=sender)

    def _create_ref(self, fun: Any) -> Any:
        # The reference leaves with its listener, and not when the signal is sent the next time.
        if hasattr(fun, "__func__") and hasattr(fun, "__self__"):
            return WeakMethod(fun, self._forget)
        return ref(fun, self._forget)

    def _forget(self, reference: Any) -> None:
        for receivers in (self._receivers, *self._filter_receivers.values()):
            receivers.discard(reference)


class AppSignal(KeptApart, Signal[Any]):
    """A signal whose listeners may be ``async def`` functions."""


class SyncAppSignal(KeptApart, SyncSignal[Any]):
    """A signal whose listeners are plain functions."""


class AppSignals:
    """The signals of `App`: those of the class tell of every app, those of an app of that one.

    Example:
        >>> import beltline
        >>> app = beltline.App("shop", broker="memory://")
        >>> @app.on_configured.connect
        ... def look(app, conf, **_):
        ...     print(app.id, conf.topic_partitions)
        >>> app.finalize()
        shop 8
    """

    on_before_configured: SyncAppSignal = SyncAppSignal()
    on_configured: SyncAppSignal = SyncAppSignal()
    on_after_configured: SyncAppSignal = SyncAppSignal()
    on_worker_init: SyncAppSignal = SyncAppSignal()
    on_produce_message: SyncAppSignal = SyncAppSignal()
    on_partitions_assigned: AppSignal = AppSignal()
    on_partitions_revoked: AppSignal = AppSignal()
    on_rebalance_complete: AppSignal = AppSignal()
    on_before_shutdown: AppSignal = AppSignal()

    def __init__(self) -> None:
        for name in SIGNALS:
            setattr(self, name, getattr(type(self), name).of_app(self))
