"""Runs one app in this process until somebody, or an error, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from beltline.app.service import AppService
from beltline.exceptions import ImproperlyConfigured

from .banner import print_banner
from .blocking import BlockingWatch
from .guard import ShutdownGuard
from .logs import redirected_prints, set_up_logging
from .recovery import show_recovery

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

#: With the setting ``debug`` a handler that blocks for so many seconds is reported.
DEBUG_BLOCKING_S: Final = 10.0

EXIT_OK = 0
EXIT_FAILURE = 1


class Worker:
    """A process around an app: banner, logging, signals, exit code.

    Args:
        app: What it runs.
        services: Mode services that run beside the app, from when it is ready until it stops.
        quiet: No banner and no progress.
        loglevel: Least level logged; None is ``warn``.
        logfile: Log lines go there; None is the standard error stream.
        workdir: Change to this directory first.
        loop: ``"aio"`` or ``"uvloop"``.
        blocking_timeout: Log the stack of a handler that blocks for so many seconds; None is what the settings say.

    Example:
        >>> import beltline
        >>> worker = Worker(beltline.App("shop", broker="memory://"), quiet=True)
        >>> worker.app.conf.id
        'shop'
    """

    def __init__(
        self,
        app: App,
        *services: Any,
        quiet: bool = False,
        loglevel: int | str | None = None,
        logfile: Path | str | None = None,
        workdir: Path | str | None = None,
        loop: str = "aio",
        blocking_timeout: float | None = None,
        **_: Any,
    ) -> None:
        self.app = app
        self.services = services
        self.quiet = quiet
        self.loglevel = loglevel
        self.logfile = logfile
        self.workdir = workdir
        self.loop_name = loop
        self.blocking_timeout = blocking_timeout
        self._stop: asyncio.Event | None = None

    # -- the process -----------------------------------------------------------------------------------------------

    def execute_from_commandline(self) -> NoReturn:
        """Run the app, then end the process.

        Raises:
            SystemExit: 0 after a stop that was asked for, 1 after an error.
        """
        from beltline.cli.errors import guarded

        with guarded():
            sys.exit(self.run())

    def run(self) -> int:
        """Run the app in an event loop of its own, with signals and deadline; return the exit code.

        Raises:
            FaustError: The app cannot start; the message says why.
        """
        self._prepare_process()
        conf = self.app.conf
        with (
            contextlib.ExitStack() as stack,
            ShutdownGuard(conf.shutdown_deadline, self.request_stop) as guard,
        ):
            if conf.worker_redirect_stdouts:
                stack.enter_context(redirected_prints(conf.worker_redirect_stdouts_level))
            try:
                with asyncio.Runner(debug=conf.debug or None, loop_factory=loop_factory(self.loop_name)) as runner:
                    code = runner.run(self._main(guard))
            except BaseException:
                guard.begin("an error", EXIT_FAILURE)
                raise
            finally:
                if not lingering_threads():
                    guard.disarm()
        return code

    def _prepare_process(self) -> None:
        if self.workdir is not None:
            os.chdir(self.workdir)
        self.app.finalize()
        conf = self.app.conf
        set_up_logging(self.loglevel, self.logfile, handlers=conf.loghandlers, config=conf.logging_config)
        # The worker reports at its end what stopped it, from the user's line on; twice would be once too often.
        logging.getLogger(AppService.__module__).addFilter(self._is_news)
        with contextlib.suppress(ValueError, OSError, AttributeError):
            # A stream without a descriptor, or a system without the signal, does without stack dumps.
            faulthandler.register(signal.SIGUSR1, all_threads=True)

    def request_stop(self) -> None:
        """Ask the running worker to stop; may be called from any thread."""
        stop = self._stop
        if stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(stop.set)

    async def _main(self, guard: ShutdownGuard) -> int:
        self._begin()
        if guard.is_stopping:
            return EXIT_OK
        try:
            await self._until_stopped()
        except BaseException:
            guard.begin("an error", EXIT_FAILURE)
            raise
        if self.app.has_failed:
            guard.begin("an error", EXIT_FAILURE)
        elif guard.is_stopping:
            self._say(f"stopping ({guard.reason}): events in flight are finished or given back")
        await self._end()
        error = self.app.fatal_error
        if error is not None:
            self._report(error)
            return EXIT_FAILURE
        self._say("stopped")
        return EXIT_OK

    # -- inside the event loop -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Run the app in the running event loop until `request_stop` or an error.

        Raises:
            BaseException: The error that stopped the app.
        """
        self._begin()
        try:
            await self._until_stopped()
        finally:
            await self._end()
        self.app.raise_failure()

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.app.in_worker = True
        self.app.on_worker_init.send()

    async def _until_stopped(self) -> None:
        assert self._stop is not None
        stop = asyncio.ensure_future(self._stop.wait())
        life = asyncio.ensure_future(self._live())
        try:
            await asyncio.wait([stop, life], return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
        finally:
            for task in (stop, life):
                task.cancel()
            await asyncio.gather(stop, life, return_exceptions=True)

    async def _live(self) -> None:
        """Start, show the way to being ready, then wait for the end."""
        app = self.app
        timeout = app.conf.blocking_timeout if self.blocking_timeout is None else self.blocking_timeout
        if timeout is None and app.conf.debug:
            timeout = DEBUG_BLOCKING_S
        watch = BlockingWatch(timeout) if timeout else None
        if watch is not None:
            watch.start()
        try:
            await app.start()
            if not self.quiet:
                print_banner(app)
            belt = app.session.belt
            await show_recovery(lambda: [] if app.has_failed else belt.recovery(), quiet=self.quiet)
            await app.wait_ready()
            for service in self.services:
                await app.add_runtime_dependency(service)
            self._say("ready; Ctrl-C stops it")
            await app.wait_until_stopped()
        except Exception as error:
            if error is not app.fatal_error:
                raise
        finally:
            if watch is not None:
                watch.stop()

    async def _end(self) -> None:
        try:
            await self.app.stop()
        finally:
            self.app.in_worker = False
            self._stop = None

    def _say(self, text: str) -> None:
        if not self.quiet:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Whether a log record says something else than what stops the app."""
        return not record.exc_info or record.exc_info[1] is not self.app.fatal_error

    def _report(self, error: BaseException) -> None:
        """Say what ended the app, with the user's line; also in the log where that is a file."""
        from beltline.cli.errors import report

        if self.logfile is not None:
            logger.critical("the worker stops because of an error", exc_info=error)
        sys.stderr.write("beltline: the worker stops because of this error; nothing in flight was acknowledged:\n")
        report(error)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop.

    Raises:
        ImproperlyConfigured: It is not installed, or unknown.
    """
    if name == "aio":
        return None
    if name != "uvloop":
        raise ImproperlyConfigured(f"event loop {name!r}: it is aio or uvloop")
    try:
        import uvloop
    except ImportError:
        raise ImproperlyConfigured("event loop uvloop is not installed: pip install uvloop") from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def lingering_threads() -> bool:
    """Whether the interpreter would wait for somebody's thread at its end."""
    main = threading.main_thread()
    return any(thread is not main and not thread.daemon for thread in threading.enumerate())
