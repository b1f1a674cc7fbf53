"""The demo, killed at odd moments, ends with the totals of a plain loop."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-u", "examples/flights/demo.py"]

#: The demo is through by then even on a busy machine.
PATIENCE_S = 600

#: How often it is killed before it may finish.
KILLS = 5

#: Bytes that its log grows by before it is killed, at least and at most: a small part of what the whole run writes.
GROWTH_BYTES = (2 << 20, 16 << 20)

#: Pause between two looks at the log, in seconds.
LOOK_S = 0.01


def log_bytes(data: Path) -> int:
    """Return how large the log is."""
    return sum(file.stat().st_size for file in (data / "log").glob("*.log"))


def wait_for_growth(demo: subprocess.Popen[str], data: Path, growth: int) -> None:
    """Return when the log has grown by so much, or the demo has ended."""
    until = time.monotonic() + PATIENCE_S
    goal = log_bytes(data) + growth
    while demo.poll() is None and log_bytes(data) < goal:
        assert time.monotonic() < until, "the demo writes nothing"
        time.sleep(LOOK_S)


def test_killed_and_started_again_it_has_the_totals_of_a_plain_loop(tmp_path: Path) -> None:
    dice = random.Random(os.environ.get("BELTLINE_SEED", "flights"))
    environment = {**os.environ, "FLIGHTS_DATADIR": str(tmp_path / "data")}
    went_on = 0
    for number in range(KILLS):
        with subprocess.Popen(DEMO, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as demo:
            wait_for_growth(demo, tmp_path / "data", dice.randint(*GROWTH_BYTES))
            demo.send_signal(signal.SIGTERM if number == KILLS - 1 else signal.SIGKILL)
            said, _ = demo.communicate(timeout=PATIENCE_S)
            went_on += "going on after" in said
    done = subprocess.run(
        DEMO, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the totals equal those of a plain loop over the data" in done.stdout
    assert went_on or "going on after" in done.stdout, "no run was killed after it had done something"
    again = subprocess.run(
        DEMO, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert "going on after 336,776 flights" in again.stdout, again.stdout + again.stderr
    assert "the totals equal those of a plain loop over the data" in again.stdout
