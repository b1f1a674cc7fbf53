"""The app: a facade. What it declares is in `declarations`, what it runs in `service` and `session`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mode.proxy import ServiceProxy

from beltline._native import current_stream
from beltline.channels import Channel
from beltline.events import HeadersArgument
from beltline.exceptions import ImproperlyConfigured, NotReady
from beltline.failures import LetterBox
from beltline.policies import Failure
from beltline.sending import FutureMessage
from beltline.settings import Settings
from beltline.streams.consumer import Consumer
from beltline.streams.feeding import raise_thrown
from beltline.streams.reader import Reader
from beltline.streams.stream import Stream
from beltline.topics import Topic

from .declarations import Declarations
from .discovery import discover_modules, modules_to_search
from .signals import AppSignals
from .sources import import_object, settings_of

if TYPE_CHECKING:
    from .service import AppService
    from .session import BeltSession

__all__ = ["App"]

logger = logging.getLogger(__name__)

#: Who waits for the app to be ready looks this often whether it has failed instead.
FAILURE_LOOK_S: Final = 0.05

#: So many of the last failures are kept for who asks.
MAX_KEPT_FAILURES: Final = 100


class App(Declarations, AppSignals, ServiceProxy):
    """A program on a belt. Making one does no I/O; `main` runs the command line, `start` a worker.

    Args:
        id: Name of the group, of the data directory and of the topics it owns.
        config_source: An object or mapping with settings, or the name of one to import.
        loop: Of the service; None is the running one.
        settings: Anything `beltline.settings.Settings` knows: ``broker``, ``datadir``, ``topic_partitions``, …

    Example:
        >>> import beltline
        >>> app = beltline.App("shop", broker="memory://")
        >>> app.conf.topic_partitions
        8
    """

    #: Start without agents and handlers: for programs that only send, or only look at tables.
    client_only: bool = False

    def __init__(
        self,
        id: str,  # noqa: A002 - Faust's name
        *,
        config_source: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **settings: Any,
    ) -> None:
        ServiceProxy.__init__(self, loop=loop)
        Declarations.__init__(self)
        AppSignals.__init__(self)
        self._id = id
        self._settings = settings
        self._config_source = config_source
        self._conf: Settings | None = None
        self._is_test = False
        self._app_service: AppService | None = None
        self._session: BeltSession | None = None
        self._fatal_error: BaseException | None = None
        self.finalized = False
        self.in_worker = False
        self.failure_counts: Counter[str] = Counter()
        self.recent_failures: deque[Failure] = deque(maxlen=MAX_KEPT_FAILURES)

    # -- settings --------------------------------------------------------------------------------------------------

    @property
    def conf(self) -> Settings:
        """The settings, made when they are first asked for."""
        if self._conf is None:
            self.on_before_configured.send()
            given = {**self._settings, **settings_of(self._config_source)}
            self._conf = Settings(self._id, **given)
            self.on_configured.send(self._conf)
        return self._conf

    @conf.setter
    def conf(self, conf: Settings) -> None:
        self._conf = conf

    @property
    def configured(self) -> bool:
        """Whether the settings were asked for."""
        return self._conf is not None

    def config_from_object(self, obj: Any, *, silent: bool = False, force: bool = False) -> None:
        """Take settings from an object, a mapping, or the name of one; they win over the constructor's.

        Args:
            obj: Attributes or keys that are names of settings count.
            silent: Go on when a name cannot be imported.
            force: Read the settings anew, even when they were read before.

        Raises:
            ImportError: The name cannot be imported.
        """
        try:
            self._config_source = import_object(obj) if isinstance(obj, str) else obj
        except ImportError:
            if not silent:
                raise
            return
        if force or self.configured:
            self._conf = None

    def finalize(self) -> None:
        """Settle the settings; what was declared is final when a worker starts."""
        if not self.finalized:
            self.finalized = True
            conf = self.conf
            self.on_after_configured.send()
            logger.debug("settings of %s: %r", conf.id, conf)

    def discover(self, *extra: str, ignore: Callable[[str], bool] | None = None) -> list[str]:
        """Import the modules that the setting ``autodiscover`` names, and `extra` ones; returns their names."""
        names = [*modules_to_search(self.conf.autodiscover, self.conf.origin), *extra]
        return discover_modules(names, ignore)

    def main(self) -> None:
        """Run the command line: ``python app.py worker``. Does not return."""
        from beltline.cli.main import run_app

        self.finalize()
        self.discover()
        run_app(self)

    def Worker(self, **options: Any) -> Any:
        """Return a worker process for this app."""
        from beltline.worker import Worker

        return (self.conf.Worker or Worker)(self, **options)

    # -- channels --------------------------------------------------------------------------------------------------

    def topic(self, *names: str, **options: Any) -> Topic:
        """Declare a topic, or several read as one; the options are those of `Topic`."""
        topic: Topic = (self.conf.Topic or Topic)(self, topics=names, **options)
        for name in names:
            known = self.topics.get(name)
            # The description that says more is the one by which a missing topic is created.
            if known is None or (known.partitions is None and topic.partitions is not None):
                self.topics[name] = topic if len(names) == 1 else topic.derive_topic(topics=(name,))
        return topic

    def channel(self, **options: Any) -> Channel:
        """Make a channel in memory; the options are those of `Channel`."""
        return Channel(self, **options)

    def stream(self, channel: Channel | Iterable[Any] | AsyncIterable[Any], **options: Any) -> Stream[Any]:
        """Return a stream over a topic, a channel, or whatever can be iterated."""
        make: Any = self.conf.Stream or Stream
        if isinstance(channel, Channel):
            made: Stream[Any] = make(channel, app=self, **options)
            return made
        made = make(self.channel().clone(is_iterator=True), app=self, feed=channel, **options)
        made.add_processor(raise_thrown)
        return made

    async def send(
        self,
        channel: Channel | str,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArgument = None,
        **options: Any,
    ) -> FutureMessage:
        """Send to a topic, a channel, or to a topic by its name; the arguments are those of `Topic.send`."""
        target = (self.topics.get(channel) or self.topic(channel)) if isinstance(channel, str) else channel
        return await target.send(
            key=key, value=value, partition=partition, timestamp=timestamp, headers=headers, **options
        )

    def letter_topic(self, target: Any) -> LetterBox:
        """Return where dead letters for `target` go."""
        return LetterBox(self, (self.topics.get(target) or target) if isinstance(target, str) else target)

    # -- the belt --------------------------------------------------------------------------------------------------

    def open_belt(
        self,
        *,
        memory: bool | None = None,
        manual_clock: bool = False,
        observe: bool = False,
        patience: Callable[[str], bool] | None = None,
    ) -> BeltSession:
        """Open the app's belt, or return the one that is open. `start` uses it; `close_belt` ends it.

        Args:
            memory: Keep nothing; None is what the setting ``broker`` says.
            manual_clock: Time stands still until ``session.advance(seconds)``.
            observe: Look or send without being a member of the group, and without listening for others.
            patience: On Kafka, wait long for brokers, see `BeltSession`.

        Raises:
            DataDirectoryError: The data directory is held by another process, foreign, read-only or newer.
        """
        if self._session is not None and self._is_test:
            self.close_belt(0.1)
        if self._session is None:
            # Not every command that needs the app opens its belt.
            from .session import BeltSession

            self._session = BeltSession(
                self, memory=memory, manual_clock=manual_clock, observe=observe, patience=patience
            )
        return self._session

    def close_belt(self, deadline_s: float = 30.0) -> None:
        """Commit what is finished and give up the data directory. Idempotent.

        Raises:
            StorageError: The last commit failed.
        """
        session, self._session = self._session, None
        self._is_test = False
        if session is not None:
            session.stop(deadline_s)

    @property
    def session(self) -> BeltSession:
        """The open belt.

        Raises:
            NotReady: There is none.
        """
        if self._session is None:
            raise NotReady(f"app {self._id} has not started: run a worker, or await app.start_client() first")
        return self._session

    @property
    def has_session(self) -> bool:
        """Whether a belt is open."""
        return self._session is not None

    async def prepare_test(self) -> None:
        """Let agents run in a test context: with tables and topics in memory, without a worker."""
        self.finalize()
        if self._session is None:
            session = self.open_belt(memory=True)
            self._is_test = True
            session.prepare()
        self.session.start()
        await self.session.wait_recovered()

    async def wait_idle(self, timeout: float = 30.0) -> None:
        """Return when every event is worked off and committed; for tests and scripts.

        Raises:
            TimeoutError: That takes longer; the message has the state of the belt.
            BaseException: The error that stops the worker.
        """
        await self.session.wait_idle(timeout)

    async def commit(self, topics: Any = None) -> bool:
        """Begin a commit as soon as the events in flight allow it."""
        self.session.belt.request_commit()
        return True

    def is_leader(self) -> bool:
        """Whether this worker is the one that runs ``on_leader`` jobs; of one worker it is that."""
        return True

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def _service(self) -> AppService:
        if self._app_service is None:
            from .service import AppService

            self._app_service = AppService(self, loop=self._loop)
        return self._app_service

    async def start(self) -> None:
        """Start a worker in the running event loop: open the belt, restore tables, run agents and handlers.

        Raises:
            DataDirectoryError: The data directory cannot be used; the message says why and what helps.
        """
        if self._app_service is not None and self._app_service.should_stop:
            self._renew()
        await self._service.start()

    async def start_client(self) -> None:
        """Start without agents and handlers, to send and to look at tables."""
        self.client_only = True
        await self.maybe_start()

    async def maybe_start_client(self) -> None:
        """Start as a client if there is no belt yet."""
        if self._session is None:
            await self.start_client()

    async def wait_ready(self) -> None:
        """Return when tables are restored and tasks, timers and services have started.

        Raises:
            BaseException: The error that stops the worker.
        """
        ready = self._service.ready
        while not ready.is_set():
            self.raise_failure()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAILURE_LOOK_S):
                    await ready.wait()
        self.raise_failure()

    @property
    def is_ready(self) -> bool:
        """Whether tables are restored and tasks, timers and services have started."""
        return self._app_service is not None and self._app_service.ready.is_set()

    def service_reset(self) -> None:
        """Get ready for another start."""
        self._renew()

    def _renew(self) -> None:
        self._app_service = None
        self._fatal_error = None

    @property
    def is_stopping(self) -> bool:
        """Whether the worker has been told to stop, or fails."""
        return self.has_failed or (self._app_service is not None and self._app_service.should_stop)

    @property
    def has_failed(self) -> bool:
        """Whether an error stops the worker."""
        return self._fatal_error is not None

    @property
    def fatal_error(self) -> BaseException | None:
        """The error that stops the worker."""
        return self._fatal_error

    def fatal(self, error: BaseException) -> None:
        """Stop the worker because of an error; the first one counts. Nothing in flight is acknowledged."""
        if self._fatal_error is not None:
            return
        self._fatal_error = error
        service = self._app_service
        if service is not None and self._session is not None:
            self._crash_task = self._session.loop.create_task(crash(service, error))

    def turned(self) -> None:
        """Hear what has changed with a turn of the belt."""
        if self._session is not None:
            try:
                self._session.patterns.hear()
            except ImproperlyConfigured as error:
                self.fatal(error)
        if self._app_service is not None:
            self._app_service.hear_assignment()

    def start_late(self, consumer: Consumer) -> None:
        """Start an agent or handler that was declared while the worker runs; before that it starts with the worker."""
        if self._session is None or self._app_service is None or not self._app_service.consumes:
            return
        if self._session.is_owner():
            consumer.start()
        else:
            self._session.loop.call_soon_threadsafe(consumer.start)

    def raise_failure(self) -> None:
        """Raise the error that stops the worker, if there is one."""
        if self._fatal_error is not None:
            raise self._fatal_error

    def waits_for_itself(self) -> bool:
        """Whether the running task is in the middle of an event without which nothing can be committed."""
        stream = current_stream()
        if self.conf.processing_guarantee != "exactly_once" or stream is None or stream.current_message is None:
            return False
        return any(consumer.runs(asyncio.current_task()) for consumer in self.consumers())

    def check_wait(self) -> None:
        """Refuse to wait, within an event, for a record that is committed together with that event.

        Raises:
            RuntimeError: The running task is an agent's or handler's in the middle of an event, and the app counts
                exactly once.
        """
        if self.waits_for_itself():
            raise RuntimeError(
                "a record sent within an event is committed together with that event, so its offset cannot be awaited "
                "there; use callback=, or processing_guarantee='at_least_once'"
            )

    def count_failure(self, failure: Failure) -> None:
        """Remember a failed event for who asks."""
        self.failure_counts[failure.handler] += 1
        self.recent_failures.append(failure)

    def consumers(self) -> Iterator[Consumer]:
        """All agents and handlers."""
        yield from self.agents.values()
        yield from self.handlers.values()

    def consumers_idle(self) -> bool:
        """Whether no item of a channel in memory waits or is worked on."""
        return all(consumer.is_idle() for consumer in self.consumers())

    def background_jobs(self) -> list[Coroutine[Any, Any, Any]]:
        """Return tasks, timers and crontabs as coroutines that run until cancelled."""
        return [make(self.session.clock) for make in self.job_makers]

    def watches_sends(self) -> bool:
        """Whether anybody listens to `on_produce_message`."""
        return any(self.on_produce_message.listeners())

    def reader(self, name: str) -> Reader:
        """Return a reader for streams that belong to no agent."""
        return Reader(self, name)

    async def on_first_start(self) -> None:
        """Called before the first start; for subclasses."""

    async def on_start(self) -> None:
        """Called before the belt is opened; for subclasses."""

    async def on_started(self) -> None:
        """Called when agents and handlers run; for subclasses."""

    async def on_stop(self) -> None:
        """Called before agents and handlers stop; for subclasses."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._id}>"


async def crash(service: AppService, error: BaseException) -> None:
    """Have the service, and the worker around it, end with an error; it is logged from where it was raised."""
    try:
        raise error
    except BaseException as raised:
        await service.crash(raised)
