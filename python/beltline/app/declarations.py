"""What is declared on an app with decorators: agents, handlers, tables, timers, tasks, services, commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar, cast

from beltline.agents.agent import Agent, AgentFunction
from beltline.channels import Channel
from beltline.exceptions import ImproperlyConfigured
from beltline.handlers.handler import Handler
from beltline.services import Clock, check_crontab, interval_seconds, run_crontab, run_timer
from beltline.tables.table import Table as AppTable

from .commands import CommandSpec

if TYPE_CHECKING:
    from mode import Service

    from beltline.policies import PolicyArgument
    from beltline.topics import Topic

    from .base import App

__all__ = ["Declarations"]

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="type[Service]")

JobMaker = Callable[[Clock], Coroutine[Any, Any, Any]]


class Declarations:
    """The declaring half of `App`.

    Attributes:
        agents: By name.
        handlers: By name, what ``@app.on`` made.
        tables: By name.
        topics: By name, the description by which a missing topic is created.
        commands: By name, for the command line.
    """

    def __init__(self) -> None:
        self.agents: dict[str, Agent[Any]] = {}
        self.handlers: dict[str, Handler] = {}
        self.tables: dict[str, AppTable[Any, Any]] = {}
        self.topics: dict[str, Topic] = {}
        self.commands: dict[str, CommandSpec] = {}
        self.job_makers: list[JobMaker] = []
        self._services: list[Any] = []

    @property
    def _app(self) -> App:
        return cast("App", self)

    # -- consuming -------------------------------------------------------------------------------------------------

    def on(
        self,
        channel: Channel | Agent[Any] | str | Iterable[str],
        *,
        by: Any = None,
        to: Any = None,
        batch: int | None = None,
        threads: int | None = None,
        within: float | None = None,
        on_error: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
        name: str | None = None,
        concurrency: int = 1,
    ) -> Callable[[F], F]:
        """Call a function, plain or async, with every event of a topic or channel; the function stays what it is.

        The arguments are those of `Handler`. While the worker runs, the function is called from now on.

        Example:
            >>> import beltline
            >>> app = beltline.App("shop", broker="memory://")
            >>> @app.on("orders", to="big-orders")
            ... def big(order):
            ...     return order if order["amount"] > 1000 else None
            >>> list(app.handlers)
            ['...big']
        """

        def register(fun: F) -> F:
            handler = Handler(
                self._app,
                fun,
                cast(Any, channel),
                by=by,
                to=to,
                batch=batch,
                threads=threads,
                within=within,
                on_error=on_error,
                on_decode_error=on_decode_error,
                name=name,
                concurrency=concurrency,
            )
            base, count = handler.name, 1
            while handler.name in self.handlers:
                # One function on several topics; the order of declaration numbers them.
                count += 1
                handler.name = f"{base}-{count}"
            self.handlers[handler.name] = handler
            self._app.start_late(handler)
            return fun

        return register

    def agent(
        self,
        channel: Channel | str | AgentFunction | None = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        on_error: PolicyArgument | None = None,
        on_decode_error: PolicyArgument | None = None,
        supervisor_strategy: Any = None,
        isolated_partitions: bool = False,
        use_reply_headers: bool = True,
        help: str | None = None,  # noqa: A002 - Faust's name
        **topic_options: Any,
    ) -> Any:
        """Make an agent of a function over a stream: ``async for event in stream``.

        While the worker runs, the agent starts at once.

        Args:
            channel: A topic or channel, or the name of a topic; None is a topic of the agent's own.
            supervisor_strategy: mode's `CrashingSupervisor` means ``on_error="fail"``; agents are started again
                one by one in any other case.
            topic_options: For ``app.topic`` when no topic is given.

        The other arguments are those of `Agent`.
        """
        if isolated_partitions:
            raise ImproperlyConfigured("isolated_partitions=True is not available; partitions never stop one another")
        if getattr(supervisor_strategy, "__name__", "") == "CrashingSupervisor":
            on_error = on_error or "fail"

        def register(fun: AgentFunction) -> Agent[Any]:
            make = self._app.conf.Agent or Agent
            agent: Agent[Any] = make(
                fun,
                app=self._app,
                name=name,
                channel=None if bare else cast("Channel | str | None", channel),
                concurrency=concurrency,
                sink=sink,
                on_error=on_error,
                on_decode_error=on_decode_error,
                help=help,
                topic_options=topic_options,
            )
            self.agents[agent.name] = agent
            self._app.start_late(agent)
            return agent

        bare = callable(channel) and not isinstance(channel, Channel)
        return register(cast(AgentFunction, channel)) if bare else register

    actor = agent

    # -- tables ----------------------------------------------------------------------------------------------------

    def Table(self, name: str, *, default: Callable[[], Any] | None = None, **options: Any) -> AppTable[Any, Any]:
        """Declare a table; the arguments are those of `beltline.tables.Table`.

        Raises:
            ValueError: There is one of that name.
            RuntimeError: The worker runs already.
        """
        if name in self.tables:
            raise ValueError(f"there is a table {name!r} already; give this one another name")
        if self._app.has_session:
            raise RuntimeError(f"table {name!r} is declared while the app runs; declare it before app.start()")
        make = self._app.conf.Table or AppTable
        table: AppTable[Any, Any] = make(self._app, name=name, default=default, **options)
        self.tables[name] = table
        return table

    table = Table

    # -- beside the streams ----------------------------------------------------------------------------------------

    def task(self, fun: F | None = None, *, on_leader: bool = False, traced: bool = True) -> Any:
        """Start a coroutine function once per worker, when tables are restored. It takes the app, or nothing."""

        def register(fun: F) -> F:
            self.job_makers.append(lambda _: call_job(self._app, fun)())
            return fun

        return register if fun is None else register(fun)

    def timer(
        self,
        interval: float | timedelta | str,
        on_leader: bool = False,
        traced: bool = True,
        name: str | None = None,
        max_drift_correction: float = 0.1,
    ) -> Callable[[F], F]:
        """Await a coroutine function every `interval` seconds, the first time after one interval.

        An exception in it stops the worker.

        Raises:
            ImproperlyConfigured: The interval is not above zero.
        """
        seconds = interval_seconds(interval)

        def register(fun: F) -> F:
            title = str(name or getattr(fun, "__name__", "timer"))
            self.job_makers.append(
                lambda clock: run_timer(
                    call_job(self._app, fun),
                    seconds,
                    clock=clock,
                    name=title,
                    max_drift_correction=max_drift_correction,
                )
            )
            return fun

        return register

    def crontab(
        self,
        cron_format: str,
        *,
        timezone: tzinfo | None = None,
        tz: tzinfo | None = None,
        on_leader: bool = False,
        traced: bool = True,
    ) -> Callable[[F], F]:
        """Await a coroutine function at the times of a crontab line; `tz` is another name of `timezone`.

        Raises:
            ImproperlyConfigured: The line cannot be read.
        """
        check_crontab(cron_format)

        def register(fun: F) -> F:
            self.job_makers.append(
                lambda clock: run_crontab(
                    call_job(self._app, fun),
                    cron_format,
                    clock=clock,
                    timezone=timezone or tz or self._app.conf.timezone,
                )
            )
            return fun

        return register

    def service(self, cls: Any) -> Any:
        """Start a mode service (a class, or one made already) after the tasks, and stop it with the app."""
        self._services.append(cls)
        return cls

    def make_services(self) -> list[Any]:
        """Return the services to start, making those that were declared as classes."""
        app = self._app

        def make(one: Any) -> Any:
            return cast(Any, one)(loop=app.loop, beacon=app.beacon) if inspect.isclass(one) else one

        return [make(one) for one in self._services]

    def command(self, *options: Any, base: type[Any] | None = None, **settings: Any) -> Callable[[F], F]:
        """Make a coroutine function a command of the command line.

        Args:
            options: Click options and arguments: ``beltline.cli.option(...)``.
            base: Class that the command derives from.
            settings: Further options of the command, such as ``daemon=True``.
        """

        def register(fun: F) -> F:
            name = settings.pop("name", None) or getattr(fun, "__name__", type(fun).__name__)
            self.commands[name] = CommandSpec(name, fun, options, base, dict(settings))
            return fun

        return register


def call_job(app: App, fun: Callable[..., Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """Return a coroutine function without parameters that calls `fun`, with the app if it wants it."""
    wants_app = bool(inspect.signature(fun).parameters)

    async def call() -> Any:
        result = fun(app) if wants_app else fun()
        return await result if inspect.isawaitable(result) else result

    return call
