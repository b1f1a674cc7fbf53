"""What runs beside the streams: timers, crontabs and the clock they go by."""

from __future__ import annotations

from .clock import Clock, ManualClock, SystemClock
from .timers import check_crontab, interval_seconds, next_run, run_crontab, run_timer

__all__ = [
    "Clock",
    "ManualClock",
    "SystemClock",
    "check_crontab",
    "interval_seconds",
    "next_run",
    "run_crontab",
    "run_timer",
]
