"""The life of a running app: start in order, stop within the deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from mode.services import Service

from beltline.exceptions import CorruptLogError, StorageError
from beltline.streams.consumer import Consumer

from .health import HealthWatch

if TYPE_CHECKING:
    from beltline.types import TP

    from .base import App
    from .session import BeltSession

__all__ = ["AppService"]

logger = logging.getLogger(__name__)

#: Turns of the event loop that agents get to say what they read before the group is joined.
SUBSCRIBING_TURNS: Final = 5

#: Between two attempts to declare topics.
PREPARE_PAUSE_S: Final = 1.0

#: Share of the shutdown deadline that handlers have to finish the events they are in.
HANDLERS_SHARE: Final = 0.7


class AppService(Service):
    """Starts the belt, then the consumers, and when the tables are restored tasks, timers and services."""

    def __init__(self, app: App, **options: Any) -> None:
        self.app = app
        self.ready = asyncio.Event()
        self.consumes = False
        self._health: HealthWatch | None = None
        self._jobs: set[asyncio.Task[Any]] = set()
        super().__init__(**options)

    async def on_first_start(self) -> None:
        """Give the app its hook."""
        await self.app.on_first_start()

    async def on_start(self) -> None:
        """Open the belt and start to consume."""
        app = self.app
        app.finalize()
        await app.on_start()
        try:
            if not app.client_only:
                self._health = HealthWatch(app)
                self._health.start()
            session = await self._open_belt()
            session.gather_missing()
            await self._prepare(session)
            if not app.client_only:
                for consumer in app.consumers():
                    consumer.start()
                self.consumes = True
                if session.has_members:
                    # Streams that agents group or forward read more topics: known before the group is joined, they
                    # cost it no second rebalance.
                    for _ in range(SUBSCRIBING_TURNS):
                        await asyncio.sleep(0)
                if session.is_kafka:
                    session.check_partitions()
            session.require_topics()
            session.start()
            if self._health is not None:
                self._health.look()
        except BaseException:
            await self._abandon()
            raise
        if app.client_only:
            self.ready.set()
            return
        if not session.has_members:
            await app.on_partitions_assigned.send(session.topic_partitions())
        self._run(self._begin())

    async def _open_belt(self) -> BeltSession:
        """Open the belt; on Kafka a worker waits for brokers, and the event loop runs meanwhile."""
        app, health = self.app, self._health
        if health is None or not app.conf.is_kafka:
            return app.open_belt()
        opening = asyncio.ensure_future(asyncio.to_thread(app.open_belt, patience=health.waits_for_brokers))
        try:
            await asyncio.wait([opening])
        except asyncio.CancelledError:
            health.give_up()
            await asyncio.wait([opening])
            # Whoever asked for the end is not told that no broker came.
            opening.exception()
            raise
        return opening.result()

    async def _prepare(self, session: BeltSession) -> None:
        """Declare topics and attach tables.

        The first broker that comes back answers before the cluster can do everything that is asked of it.
        """
        deadline = asyncio.get_running_loop().time() + self.app.conf.broker_start_timeout
        while True:
            try:
                session.prepare()
            except StorageError as error:
                late = asyncio.get_running_loop().time() >= deadline
                if late or not session.is_kafka or self._health is None or not self._health.waits(str(error)):
                    raise
            else:
                return
            await asyncio.sleep(PREPARE_PAUSE_S)

    def hear_assignment(self) -> None:
        """Tell the app when the group has moved partitions; a log that nobody shares moves none."""
        session = self.app.session if self.app.has_session else None
        if session is None or not session.has_members:
            return
        changed = session.reassigned()
        if changed is not None and any(changed):
            self._run(self._tell_assignment(*changed))

    async def _tell_assignment(self, assigned: set[TP], revoked: set[TP]) -> None:
        if revoked:
            await self.app.on_partitions_revoked.send(revoked)
        if assigned:
            await self.app.on_partitions_assigned.send(assigned)
        if self.ready.is_set():
            await self.app.on_rebalance_complete.send()

    async def on_started(self) -> None:
        """Give the app its hook."""
        await self.app.on_started()

    async def _begin(self) -> None:
        app = self.app
        await app.session.wait_recovered()
        for table in app.tables.values():
            await table.call_recover_callbacks()
        await app.on_rebalance_complete.send()
        for job in app.background_jobs():
            self._run(job)
        for service in app.make_services():
            await self.add_runtime_dependency(service)
        self.ready.set()

    def _run(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.app.fatal(error)

    async def on_stop(self) -> None:
        """Let handlers finish, give back the events of those that do not, commit, close."""
        app = self.app
        loop = asyncio.get_running_loop()
        patience = app.conf.shutdown_deadline
        deadline = loop.time() + patience
        self.consumes = False
        await app.on_before_shutdown.send()
        await app.on_stop()
        await self._stop_children()
        await cancel_all(self._jobs)
        try:
            if app.has_session:
                await self._drain(list(app.consumers()), loop.time() + patience * HANDLERS_SHARE)
                await app.on_partitions_revoked.send(app.session.topic_partitions())
                app.close_belt(max(deadline - loop.time(), 0.1))
        finally:
            self._stop_health()

    async def _drain(self, consumers: list[Consumer], deadline: float) -> None:
        app = self.app
        loop = asyncio.get_running_loop()
        try:
            # What a failing handler has given back nobody will take any more: there is nothing to wait for.
            patience = 0.0 if app.has_failed else max(deadline - loop.time(), 0.0)
            app.session.belt.begin_stop(patience)
            if app.conf.stream_wait_empty:
                from_topics = [consumer for consumer in consumers if consumer.get_topic_names()]
                await join_all(from_topics, deadline)
                for consumer in consumers:
                    consumer.close_queues()
                await join_all(consumers, deadline)
        except (StorageError, CorruptLogError) as error:
            app.fatal(error)
        for consumer in consumers:
            if consumer.running:
                logger.warning("%s is still busy; its events are given back and come again", consumer.name)
            await consumer.cancel()

    async def _abandon(self) -> None:
        """Undo a start that failed half-way."""
        self.consumes = False
        self._stop_health()
        for consumer in self.app.consumers():
            await consumer.cancel()
        self.app.close_belt(0.1)

    def _stop_health(self) -> None:
        if self._health is not None:
            self._health.stop()
            self._health = None

    @property
    def label(self) -> str:
        """What log lines call it."""
        return type(self.app).__name__

    @property
    def shortlabel(self) -> str:
        """What log lines call it."""
        return type(self.app).__name__


async def join_all(consumers: Iterable[Consumer], deadline: float) -> None:
    """Wait until all have ended by themselves, or the deadline has come."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(consumer.join(max(deadline - loop.time(), 0.0)) for consumer in consumers))


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for them; what they raise meanwhile has been reported already."""
    pending = [task for task in tasks if task is not asyncio.current_task()]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
