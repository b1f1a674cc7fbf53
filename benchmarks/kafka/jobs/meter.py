"""What a job measures of itself: time, CPU and memory from the first event on."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time

#: `ru_maxrss` counts KiB, on macOS bytes.
MAXRSS_IN_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10


class Meter:
    """Runs from the first event to the last."""

    def __init__(self) -> None:
        self._began = self._cpu_began = 0.0
        self.seconds = self.cpu_seconds = 0.0

    def begin(self) -> None:
        """Start, unless that was done."""
        if not self._began:
            self._began, self._cpu_began = time.perf_counter(), cpu_seconds()

    def end(self) -> None:
        """Stop."""
        self.seconds, self.cpu_seconds = time.perf_counter() - self._began, cpu_seconds() - self._cpu_began

    def report(self, events: int, totals: dict[str, int]) -> None:
        """Print what there is to say, for `speed.py` to read."""
        said = {
            "events": events,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MAXRSS_IN_MIB,
            "digest": digest(totals),
        }
        print(json.dumps(said), flush=True)


def cpu_seconds() -> float:
    """Return what all threads of this process have used, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def digest(totals: dict[str, int]) -> str:
    """Return a short name for the totals, to see that all contenders have the same."""
    return hashlib.sha256(json.dumps(sorted(totals.items())).encode()).hexdigest()[:12]
