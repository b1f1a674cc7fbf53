"""Opens the app's log for a command that needs it for a moment, without running the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beltline.exceptions import DataDirectoryError

from .errors import CommandError

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["close", "opened", "run"]

#: A commit of one command's work may take so long.
COMMIT_S = 30.0


def run(coroutine: Any) -> Any:
    """Run a command's coroutine to its end."""
    return asyncio.run(coroutine)


@asynccontextmanager
async def opened(app: App, *, with_tables: bool = False, start: bool = True) -> AsyncIterator[Any]:
    """Open the app's log during a block; what was sent is committed at its end.

    A data directory that nobody has is held meanwhile; where another process holds it and listens, the log is reached
    through that process.

    Args:
        app: Nothing of it runs: no agent, no timer.
        with_tables: Attach the tables and wait until they are restored.
        start: Start the belt; without that it can only list and declare topics.

    Yields:
        The session, see `beltline.app.session`.

    Raises:
        CommandError: Another process holds the directory and does not listen, or there is none.
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
    is_deaf = "in use by" in text and "has not answered" not in text
    return text, "it does not listen for other processes; is its setting `endpoint` off?" if is_deaf else ""
