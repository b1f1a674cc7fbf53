"""Opens the data directory for a command that needs it for a moment, without running the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beltline._native import Endpoint
from beltline.exceptions import DataDirectoryError

from .errors import CommandError

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["close", "endpoint_of", "opened", "run"]

#: A commit of one command's work may take so long.
COMMIT_S = 30.0


def run(coroutine: Any) -> Any:
    """Run a command's coroutine to its end."""
    return asyncio.run(coroutine)


def endpoint_of(app: App) -> Endpoint | None:
    """Return where the process that holds the app's data directory is reached; None when it is free for us to take."""
    if app.conf.is_memory or app.conf.is_kafka:
        return None
    return Endpoint.find(str(app.conf.datadir))


@asynccontextmanager
async def opened(app: App, *, with_tables: bool = False, start: bool = True) -> AsyncIterator[Any]:
    """Hold the app's data directory during a block; what was sent is committed at its end.

    Args:
        app: Nothing of it runs: no agent, no timer.
        with_tables: Attach the tables and wait until they are restored.
        start: Start the belt; without that it can only list and declare topics.

    Yields:
        The session, see `beltline.app.session`.

    Raises:
        CommandError: Another process holds the directory, or there is none.
    """
    is_embedded = not app.conf.is_memory and not app.conf.is_kafka
    if is_embedded and not Path(app.conf.datadir).is_dir() and not start:
        raise CommandError(
            f"there is no data directory {Path(app.conf.datadir).absolute()}",
            "run a worker first, or say where it is with --datadir",
        )
    try:
        session = app.open_belt(observe=True)
    except DataDirectoryError as error:
        raise CommandError(*refusal(error)) from error
    try:
        if with_tables:
            session.prepare()
        if start:
            session.start()
        if with_tables:
            await session.wait_recovered()
        yield session
        if start:
            session.belt.commit(COMMIT_S)
    finally:
        close(app)


def close(app: App) -> None:
    """Give the data directory back."""
    app.close_belt(COMMIT_S)


def refusal(error: DataDirectoryError) -> tuple[str, str]:
    """Return why a data directory cannot be used, and what to do about it."""
    text = str(error)
    cure = "it does not listen for other processes; is its setting `endpoint` off?" if "in use by" in text else ""
    return text, cure
