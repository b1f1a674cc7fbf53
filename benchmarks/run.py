"""Runs all contenders on the same events, on one core, in one go, and prints what they reach side by side.

    $ make bench

Figures of one run are comparable with one another and with nothing else; `RESULTS.md` keeps the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import events
import peers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CONTENDERS = HERE / "contenders"

#: What the product promises; the command fails when a run is below it.
FASTER_THAN_FAUST = 150
FASTER_THAN_HAND_TUNED = 4


def measure(*command: str | Path) -> dict[str, Any]:
    """Run a contender, and return what it says in its last line."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-3000:]}")
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "totals" in said:
        said["digest"] = events.digest(dict(said["totals"]))
    return said


def rust_job() -> Path:
    """Return the Rust job, built."""
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--package", "beltline", "--example", "count_orders"],
        check=True,
        cwd=ROOT,
    )
    return ROOT / "target" / "release" / "examples" / "count_orders"


def best(count: int, *commands: str | Path, times: int) -> dict[str, Any]:
    """Return the fastest of several runs, as nanoseconds per event."""
    runs = [measure(*commands, str(count)) for _ in range(times)]
    fastest = min(runs, key=lambda run: run["seconds"] / run["events"])
    return {**fastest, "ns": fastest["seconds"] / fastest["events"] * 1e9}


def contenders(count: int, few: int, times: int) -> dict[str, dict[str, Any]]:
    """Run everything."""
    for module in ("faust", "bytewax"):
        if (reason := peers.missing(module)) is not None:
            sys.exit(f"{module} cannot be installed: {reason}")
    python, rust = peers.python(), rust_job()
    found: dict[str, dict[str, Any]] = {}
    folder = Path(tempfile.mkdtemp(prefix="beltline-bench-"))
    try:
        data = folder / "data"
        job = CONTENDERS / "beltline_job.py"
        found["loader"] = best(count, sys.executable, job, "load", data, times=1)
        for mode in ("agent", "on", "dict"):
            runs = []
            for _ in range(times):
                # Each run begins with the log as it was loaded.
                again = folder / "run"
                shutil.copytree(data, again)
                runs.append(measure(sys.executable, job, mode, again, str(count)))
                shutil.rmtree(again)
            fastest = min(runs, key=lambda run: run["seconds"])
            found[f"beltline {mode}"] = {**fastest, "ns": fastest["seconds"] / count * 1e9}
        again = folder / "run"
        shutil.copytree(data, again)
        fastest = measure(rust, again, str(count))
        found["beltline Rust"] = {**fastest, "ns": fastest["seconds"] / count * 1e9}
        found["log read"] = {"ns": fastest["read_seconds"] / count * 1e9}
        found["log append"] = {"ns": fastest["append_seconds"] / count * 1e9}
    finally:
        shutil.rmtree(folder)
    found["hand-tuned loop"] = best(count, sys.executable, CONTENDERS / "hand_tuned.py", times=times)
    found["bytewax"] = best(few, python, CONTENDERS / "bytewax_job.py", times=times)
    found["faust"] = best(few, python, CONTENDERS / "faust_job.py", times=times)
    return found


def resident(count: int) -> list[int]:
    """Return the MiB in memory at ten points of a long run with a slow handler."""
    folder = tempfile.mkdtemp(prefix="beltline-bench-")
    try:
        mebibytes = measure(sys.executable, CONTENDERS / "memory.py", folder, str(count))["resident_mib"]
    finally:
        shutil.rmtree(folder)
    print(f"resident MiB over {count:,} events: {mebibytes}")
    return list(mebibytes)


def pin() -> int | None:
    """Keep this process, and those it starts, on one core."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=3_000_000, help="for beltline and the hand-tuned loop")
    parser.add_argument("--few", type=int, default=40_000, help="for Faust and bytewax")
    parser.add_argument("--memory", type=int, default=10_000_000, help="events of the memory run; 0 leaves it out")
    parser.add_argument("--times", type=int, default=3, help="runs of each, of which the fastest counts")
    given = parser.parse_args()
    rust_job()
    core = pin()
    where = f"core {core}" if core is not None else "no core of its own"
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, {where}")
    found = contenders(given.events, given.few, given.times)
    fast = found["beltline agent"]["ns"]
    print(f"\n{'':18}{'ns/event':>10}{'events/s':>14}{'x beltline':>12}")
    for name, one in found.items():
        print(f"{name:18}{one['ns']:>10.0f}{1e9 / one['ns']:>14,.0f}{one['ns'] / fast:>12.2f}")
    large = {one["digest"] for name, one in found.items() if name.startswith(("beltline", "hand"))}
    small = {found[name]["digest"] for name in ("bytewax", "faust")}
    steps = [measure(sys.executable, CONTENDERS / "boundary.py", "1000000") for _ in range(given.times)]
    step = {name: min(one[name] for one in steps) for name in ("belt_ns", "queue_ns")}
    times = step["queue_ns"] / step["belt_ns"]
    print(f"\nboundary: {step['belt_ns']:.0f} ns a step, asyncio.Queue {step['queue_ns']:.0f} ns: 1/{times:.1f}")
    memory = resident(given.memory) if given.memory else []
    promises = {
        "the totals of the large runs are equal": len(large) == 1,
        "the totals of the small runs are equal": len(small) == 1,
        f"at least {FASTER_THAN_FAUST}x Faust": found["faust"]["ns"] / fast >= FASTER_THAN_FAUST,
        f"at least {FASTER_THAN_HAND_TUNED}x the hand-tuned loop": found["hand-tuned loop"]["ns"] / fast
        >= FASTER_THAN_HAND_TUNED,
        "a boundary step is at most a tenth of a queue's": step["belt_ns"] <= step["queue_ns"] / 10,
        "reading the log takes less than a quarter": found["log read"]["ns"] <= fast / 4,
        "memory stays flat with a slow handler": not memory or memory[-1] <= memory[1] * 1.1,
        "appending to the log takes less than a quarter": found["log append"]["ns"] <= fast / 4,
    }
    for promise, kept in promises.items():
        print(f"{'ok  ' if kept else 'MISS'} {promise}")
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
