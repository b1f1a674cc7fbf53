"""Functions that run every so often, and at times of the calendar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeAlias

from beltline.exceptions import ImproperlyConfigured

from .clock import Clock

__all__ = ["check_crontab", "interval_seconds", "next_run", "run_crontab", "run_timer"]

Job: TypeAlias = Callable[[], Awaitable[Any]]


def interval_seconds(interval: float | timedelta | str) -> float:
    """Return a timer's interval in seconds.

    Args:
        interval: Seconds, a ``timedelta``, or a rate such as ``"10/m"``: ten times a minute.

    Raises:
        ImproperlyConfigured: It is not above zero, or means nothing.

    Example:
        >>> interval_seconds(timedelta(minutes=1))
        60.0
    """
    if isinstance(interval, timedelta):
        seconds = interval.total_seconds()
    elif isinstance(interval, str) and "/" in interval:
        seconds = _rate_interval(interval)
    else:
        try:
            seconds = float(interval)
        except (TypeError, ValueError):
            raise ImproperlyConfigured(
                f"timer interval {interval!r}: give seconds, a timedelta or a rate such as '10/m'"
            ) from None
    if not 0 < seconds < float("inf"):
        raise ImproperlyConfigured(f"timer interval {interval!r}: it has to be above zero")
    return seconds


def _rate_interval(rate: str) -> float:
    """Return the seconds between two runs at a rate of ``times/unit``."""
    times, _, unit = rate.partition("/")
    spans = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    try:
        return spans[unit.strip()[:1].lower()] / float(times)
    except (KeyError, ValueError, ZeroDivisionError):
        raise ImproperlyConfigured(f"timer interval {rate!r}: write a rate like '10/m', with s, m, h or d") from None


async def run_timer(
    job: Job,
    interval: float | timedelta | str,
    *,
    clock: Clock,
    name: str = "",
    max_drift_correction: float = 0.1,
) -> None:
    """Await `job` every `interval` seconds until cancelled; the first time after one full interval.

    Each sleep is corrected for the lateness of the one before, so the runs keep their average distance. A job that
    takes longer than the interval is not started twice: the next run comes an interval after its end, and a warning is
    logged.

    Args:
        job: Called without arguments.
        interval: Seconds, a ``timedelta`` or a rate, see `interval_seconds`.
        clock: Whose seconds they are.
        name: For log lines.
        max_drift_correction: Seconds by which one sleep may be longer or shorter.

    Raises:
        Exception: What `job` raised; nothing is swallowed here.
    """
    from mode.timers import Timer

    timer = Timer(
        interval_seconds(interval),
        name=name,
        max_drift_correction=max_drift_correction,
        clock=clock.monotonic,
        sleep=clock.sleep,
    )
    async for _ in timer:
        await job()


def check_crontab(cron_format: str) -> None:
    """Check a crontab line such as ``"30 18 * * 1-5"``.

    Raises:
        ImproperlyConfigured: It is none; the message says why.
    """
    next_run(cron_format, 0.0)


def next_run(cron_format: str, after: float, timezone: tzinfo | None = None) -> float:
    """Return the first time after `after` that a crontab line names.

    Args:
        cron_format: Minute, hour, day of month, month, day of week; a sixth field counts seconds.
        after: Seconds since the epoch.
        timezone: In which the line is meant; None is UTC.

    Raises:
        ImproperlyConfigured: The line cannot be read, or names no time at all.

    Example:
        >>> next_run("30 18 * * *", 0.0)
        66600.0
    """
    from croniter import croniter

    start = datetime.fromtimestamp(after, timezone or UTC)
    try:
        following: datetime = croniter(cron_format, start).get_next(datetime)
    except (ValueError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(f"crontab {cron_format!r}: {error}") from error
    return following.timestamp()


async def run_crontab(job: Job, cron_format: str, *, clock: Clock, timezone: tzinfo | None = None) -> None:
    """Await `job` at the times of a crontab line until cancelled.

    Times that pass while the job runs, or while the machine sleeps, are not made up for.

    Raises:
        ImproperlyConfigured: The line cannot be read.
        Exception: What `job` raised.
    """
    while True:
        await clock.sleep_until(next_run(cron_format, clock.time(), timezone))
        await job()
