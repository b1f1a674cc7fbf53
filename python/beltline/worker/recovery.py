"""Shows how far the tables are while they are restored."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from .logs import wants_colour

__all__ = ["show_recovery"]

#: Tables being restored: ``(table, partition, records done, records total)``.
Recovery: TypeAlias = Callable[[], list[tuple[str, int, int, int]]]

#: Seconds between two looks.
LOOK_S: Final = 0.1

#: Seconds between two log lines where there is no terminal.
LOG_S: Final = 5.0

#: A recovery that is done sooner is not worth a progress bar.
PATIENCE_S: Final = 0.3

logger = logging.getLogger(__name__)


async def show_recovery(recovery: Recovery, *, quiet: bool) -> None:
    """Return when every table is restored; show how far they are until then.

    Args:
        recovery: Asked again and again; an empty list is the end.
        quiet: Log, but show no bar.
    """
    began = time.monotonic()
    while recovery() and time.monotonic() - began < PATIENCE_S:
        await asyncio.sleep(LOOK_S / 10)
    if not recovery():
        return
    if quiet or not sys.stderr.isatty():
        await log_recovery(recovery)
    else:
        await draw_recovery(recovery)


async def log_recovery(recovery: Recovery) -> None:
    """Log the progress now and then."""
    began = last = time.monotonic()
    peak: dict[tuple[str, int], int] = {}
    while pending := recovery():
        done, total = totals(pending, peak)
        now = time.monotonic()
        if now - last >= LOG_S:
            last = now
            rate = done / max(now - began, 1e-9)
            left = f"about {(total - done) / rate:.0f} s left" if rate else "how long it takes is not known yet"
            logger.warning("restoring tables: %d of %d records, %s", done, total, left)
        await asyncio.sleep(LOOK_S)


async def draw_recovery(recovery: Recovery) -> None:
    """Draw a bar for every table."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, no_color=not wants_colour(sys.stderr))
    columns: list[Any] = [
        TextColumn("restoring {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, Any] = {}
        peaks: dict[str, dict[tuple[str, int], int]] = {}
        while pending := recovery():
            for table in {name for name, *_ in pending} | set(tasks):
                mine = [entry for entry in pending if entry[0] == table]
                done, total = totals(mine, peaks.setdefault(table, {}))
                if table not in tasks:
                    tasks[table] = progress.add_task(table, total=total)
                progress.update(tasks[table], completed=done, total=total)
            await asyncio.sleep(LOOK_S)


def totals(pending: list[tuple[str, int, int, int]], peak: dict[tuple[str, int], int]) -> tuple[int, int]:
    """Return records done and records in all; a shard that left the list counts as done.

    Args:
        pending: What is being restored now.
        peak: Totals seen so far, kept by the caller.
    """
    for table, partition, _, total in pending:
        peak[table, partition] = total
    missing = sum(max(total - done, 0) for _, _, done, total in pending)
    everything = sum(peak.values())
    return everything - missing, everything
