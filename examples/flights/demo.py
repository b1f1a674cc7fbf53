"""The whole example in one process: a loader sends every flight of 2013, the app counts, and the tables are shown.

    $ make demo

Stop it at any moment, with Ctrl-C or with `kill -9`, and start it again: it goes on where it was, and ends with the
same totals. In the end they are compared with those of a plain loop over the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import data
import reference
from app import LONG_DELAY_MINUTES, Flight, aircraft, app, carriers, flights, long_delays, routes
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

CACHE = Path(__file__).resolve().parents[2] / ".cache"
LOOK_S = 0.05
SHOWN_ROWS = 5
console = Console()


def flight_of(row: dict[str, str]) -> Flight:
    """Return the event of a CSV row."""
    delay = row["dep_delay"]
    return Flight(
        number=int(row["flight"]),
        carrier=row["carrier"],
        tail=row["tailnum"] if row["tailnum"] not in ("", "NA") else "unknown",
        route=f"{row['origin']}-{row['dest']}",
        destination=row["dest"],
        day=f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}",
        delay_minutes=float(delay) if delay not in ("", "NA") else None,
    )


def departure(row: dict[str, str]) -> float:
    """Return when a flight was to leave, in seconds since the epoch."""
    hour, minute = divmod(int(row["sched_dep_time"]), 100)
    return datetime(int(row["year"]), int(row["month"]), int(row["day"]), hour % 24, minute, tzinfo=UTC).timestamp()


async def load(rows: list[dict[str, str]]) -> None:
    """Send the flights that are not on the belt yet, in order: as many are there as the topic has records."""
    sent = flights.offsets()[0][1]
    for row in itertools.islice(rows, sent, None):
        await flights.send(key=None, value=flight_of(row), timestamp=departure(row))


def flights_done(total: int) -> int:
    """Return how many flights have gone all the way, on average over the handlers."""
    lanes: dict[str, list[int]] = {}
    for partition in app.session.belt.health()["partitions"]:
        lanes.setdefault(f"{partition['subscription']} {partition['topic']}", []).append(partition["position"] or 0)
    return min(total, sum(map(sum, lanes.values())) // max(len(lanes), 1))


async def watch(loading: asyncio.Task[None], stop: asyncio.Event, total: int) -> bool:
    """Draw a bar until everything is done; returns False when somebody stopped it before."""
    columns = [TextColumn("flights"), BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("flights", total=total)
        while not (loading.done() and app.session.belt.is_idle()):
            app.raise_failure()
            if loading.done():
                loading.result()
            progress.update(task, completed=flights_done(total))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()
                return False
        progress.update(task, completed=total)
    return True


def show(names: dict[str, str]) -> None:
    """Print the beginning of each table."""
    worst = Table("airline", "flights", "cancelled", "late", "mean delay when late, min", title="carriers")
    for code, one in sorted(carriers.items(), key=lambda pair: -pair[1].flights)[:SHOWN_ROWS]:
        mean = one.minutes / max(one.late, 1)
        worst.add_row(names.get(code, code), f"{one.flights:,}", f"{one.cancelled:,}", f"{one.late:,}", f"{mean:.1f}")
    busy = Table("route", "flights", title="routes")
    for route, count in sorted(routes.items(), key=lambda pair: -pair[1])[:SHOWN_ROWS]:
        busy.add_row(route, f"{count:,}")
    flown = Table("aircraft", "legs", "most in a day", "last seen", title="aircraft")
    known = [(tail, one) for tail, one in aircraft.items() if tail != "unknown"]
    for tail, one in sorted(known, key=lambda pair: -pair[1].legs)[:SHOWN_ROWS]:
        flown.add_row(tail, f"{one.legs:,}", str(one.most_legs), one.airport)
    console.print(worst, busy, flown)
    flagged = sum(end for _, end in long_delays.offsets())
    console.print(
        f"{flagged:,} flights with {LONG_DELAY_MINUTES} minutes of delay or more are on the topic long-delays"
    )


def check(rows: list[dict[str, str]]) -> bool:
    """Compare the tables with a plain loop over the same flights."""
    expected = reference.totals(map(flight_of, rows), LONG_DELAY_MINUTES)
    found = {
        "carriers": {key: list(one.asdict().values()) for key, one in carriers.items()},
        "routes": dict(routes.items()),
        "aircraft": {key: list(one.asdict().values()) for key, one in aircraft.items()},
    }
    flagged = sum(end for _, end in long_delays.offsets())
    return all(found[name] == expected[name] for name in found) and flagged == len(expected["long-delays"][""])


async def main() -> int:
    """Run the demo; returns the exit code."""
    rows = list(data.flights(CACHE))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.start()
    try:
        await app.wait_ready()
        before = flights_done(len(rows))
        if before:
            console.print(f"going on after {before:,} flights")
        began = time.perf_counter()
        loading = asyncio.create_task(load(rows))
        finished = await watch(loading, stop, len(rows))
        seconds = time.perf_counter() - began
        if not finished:
            loading.cancel()
            console.print(f"stopped after {flights_done(len(rows)):,} flights; `make demo` goes on from here")
            return 0
        show(data.airlines(CACHE))
        done = len(rows) - before
        if done:
            console.print(
                f"{done:,} flights in {seconds:.1f} s, {done / seconds:,.0f} a second, through seven steps each"
            )
        if not check(rows):
            console.print("[red]the totals differ from those of a plain loop over the data[/red]")
            return 1
        console.print("the totals equal those of a plain loop over the data")
        where = app.conf.datadir
        console.print(
            "stop it midway with Ctrl-C or kill -9 and start it again: the totals are the same. "
            f"From the beginning: rm -r {where}",
            soft_wrap=True,
        )
        return 0
    finally:
        await app.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
