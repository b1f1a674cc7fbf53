"""What a worker says about itself when it starts."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["banner_rows", "print_banner"]

#: So many names are shown of a longer list.
MAX_NAMES: Final = 8


def banner_rows(app: App) -> list[tuple[str, str]]:
    """Return what the banner says, line by line."""
    from beltline import __version__

    conf = app.conf
    rows = [
        ("app", conf.id),
        *([("broker", conf.broker)] if conf.is_kafka else []),
        ("data", "in memory, gone at the end" if conf.is_memory else f"{Path(conf.datadir).absolute()}{os.sep}"),
        *endpoint_rows(app),
        ("guarantee", guarantee_text(conf)),
        ("agents", names_of([*app.agents, *app.handlers])),
        ("topics", names_of(sorted(app.topics))),
        ("tables", names_of(app.tables)),
        ("process", f"{os.getpid()} on {platform.node()}"),
        ("versions", f"beltline {__version__}, Python {platform.python_version()}, {platform.system()}"),
    ]
    unused = conf.without_effect()
    if unused:
        rows.append(("no effect", names_of(name for name, _ in unused) + "  (settings, see docs/settings.md)"))
    return rows


def endpoint_rows(app: App) -> list[tuple[str, str]]:
    """Return where others reach the log, or who holds it where this process is attached."""
    if not app.has_session or app.session.endpoint is None:
        return []
    holder = app.session.holder
    if holder is None:
        return [("kafka endpoint", app.session.endpoint)]
    return [("attached to", f"{holder} at {app.session.endpoint}")]


def guarantee_text(conf: Any) -> str:
    """Return the guarantee with what a power failure may cost."""
    synced = {
        "always": "the disk is synced with every commit",
        "interval": f"the disk is synced every {conf.sync_interval:g} s",
        "never": "the system syncs the disk when it likes",
    }
    where = "" if conf.is_memory or conf.is_kafka else f", {synced[conf.sync]}"
    return f"{conf.processing_guarantee}, a commit every {conf.broker_commit_interval:g} s{where}"


def names_of(names: Any) -> str:
    """Return a list of names in one line."""
    listed = [str(name) for name in names]
    if not listed:
        return "none"
    more = len(listed) - MAX_NAMES
    return ", ".join(listed[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def print_banner(app: App, stream: IO[str] | None = None) -> None:
    """Print the banner: a box on a terminal, plain lines anywhere else."""
    target = sys.stdout if stream is None else stream
    rows = banner_rows(app)
    width = max(len(name) for name, _ in rows)
    if not target.isatty():
        for name, text in rows:
            target.write(f"{name:<{width}}  {text}\n")
        target.flush()
        return
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(name, text)
    console = Console(file=target, markup=False, highlight=False)
    console.print(Panel(grid, title="beltline", title_align="left", box=ROUNDED, expand=False, border_style="cyan"))
