"""Timers and crontabs on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from beltline.exceptions import ImproperlyConfigured
from beltline.services import (
    ManualClock,
    SystemClock,
    check_crontab,
    interval_seconds,
    next_run,
    run_crontab,
    run_timer,
)


@asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run a service during a block."""
    task = asyncio.ensure_future(coroutine)
    await settle()
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settle() -> None:
    """Let everything run that is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def step(clock: ManualClock, seconds: float) -> None:
    """Move the clock from deadline to deadline, as a test's belt does."""
    end = clock.time() + seconds
    while (deadline := clock.next_deadline()) is not None and deadline <= end:
        clock.step_to(deadline)
        await settle()
    clock.step_to(end)


async def test_a_timer_first_runs_after_one_interval() -> None:
    clock, runs = ManualClock(start=0.0), []

    async def job() -> None:
        runs.append(clock.time())

    async with running(run_timer(job, 2.0, clock=clock)):
        await step(clock, 1.9)
        assert runs == []
        await step(clock, 6.1)
        assert runs == [2.0, 4.0, 6.0, 8.0]


async def test_a_slow_job_is_not_started_twice() -> None:
    clock, runs = ManualClock(start=0.0), []

    async def job() -> None:
        runs.append(clock.time())
        await clock.sleep(5.0)

    async with running(run_timer(job, 1.0, clock=clock)):
        await step(clock, 13.5)
    assert runs == [1.0, 7.0, 13.0]


async def test_a_late_wake_up_is_made_good() -> None:
    """Every sleep of this clock takes 20 ms too long; the average distance stays the interval."""

    class LateClock(ManualClock):
        async def sleep(self, seconds: float) -> None:
            self.step_to(self.time() + seconds + 0.02)
            await asyncio.sleep(0)

    clock, runs = LateClock(start=0.0), []

    async def job() -> None:
        runs.append(clock.time())
        if len(runs) == 50:
            raise StopAsyncIteration

    with pytest.raises((StopAsyncIteration, RuntimeError)):
        await run_timer(job, 1.0, clock=clock)
    assert (runs[-1] - runs[0]) / 49 == pytest.approx(1.0, abs=0.015)


async def test_what_a_job_raises_comes_out() -> None:
    clock = ManualClock()

    async def job() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        async with running(run_timer(job, 1.0, clock=clock)):
            await step(clock, 1.0)


@pytest.mark.parametrize(
    ("interval", "seconds"), [(2, 2.0), (timedelta(minutes=1), 60.0), ("10/m", 6.0), ("2/s", 0.5), ("1.5", 1.5)]
)
def test_intervals(interval: Any, seconds: float) -> None:
    assert interval_seconds(interval) == seconds


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan"), "often", "1/x", "0/s", None])
def test_refuses_intervals_that_mean_nothing(interval: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="timer interval"):
        interval_seconds(interval)


def test_next_run_is_in_the_time_zone() -> None:
    noon = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)
    utc = next_run("30 18 * * *", noon.timestamp())
    oslo = next_run("30 18 * * *", noon.timestamp(), ZoneInfo("Europe/Oslo"))
    assert datetime.fromtimestamp(utc, UTC) == datetime(2024, 7, 1, 18, 30, tzinfo=UTC)
    assert datetime.fromtimestamp(oslo, UTC) == datetime(2024, 7, 1, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize("line", ["", "every day", "61 * * * *", "* * *", "0 0 31 2 *"])
def test_refuses_crontabs_that_name_no_time(line: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="crontab"):
        check_crontab(line)


async def test_a_crontab_runs_on_the_minute() -> None:
    clock, runs = ManualClock(start=30.0), []

    async def job() -> None:
        runs.append(clock.time())

    async with running(run_crontab(job, "*/1 * * * *", clock=clock)):
        await step(clock, 200.0)
    assert runs == [60.0, 120.0, 180.0]


async def test_crontab_times_that_pass_during_the_job_are_left_out() -> None:
    clock, runs = ManualClock(start=0.0), []

    async def job() -> None:
        runs.append(clock.time())
        await clock.sleep(130.0)

    async with running(run_crontab(job, "* * * * *", clock=clock)):
        await step(clock, 400.0)
    assert runs == [60.0, 240.0]


async def test_the_manual_clock_wakes_in_order_and_forgets_the_cancelled() -> None:
    clock, order = ManualClock(start=0.0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        order.append(seconds)

    tasks = [asyncio.ensure_future(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert clock.next_deadline() == 2.0
    await step(clock, 5.0)
    assert order == [2.0, 3.0]
    assert clock.next_deadline() is None


async def test_the_system_clock_waits() -> None:
    clock = SystemClock()
    before = clock.time()
    await clock.sleep_until(before + 0.01)
    assert clock.time() >= before + 0.01
    await clock.sleep_until(before)
