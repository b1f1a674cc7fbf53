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


def test_killed_and_started_again_it_has_the_totals_of_a_plain_loop(tmp_path: Path) -> None:
    dice = random.Random(os.environ.get("BELTLINE_SEED", "flights"))
    environment = {**os.environ, "FLIGHTS_DATADIR": str(tmp_path / "data")}
    went_on = 0
    for number in range(KILLS):
        with subprocess.Popen(DEMO, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as demo:
            time.sleep(2.0 + dice.random())
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
