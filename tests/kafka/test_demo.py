"""The flights on Kafka, one worker killed midway, end with the totals of a plain loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workers import missing_engine

ROOT = Path(__file__).resolve().parents[2]

#: A minute or two; longer beside other tests.
PATIENCE_S = 1200


def test_the_demo_on_kafka() -> None:
    if (reason := missing_engine()) is not None:
        pytest.skip(reason)
    demo = ROOT / "examples" / "flights" / "demo_kafka.py"
    run = subprocess.run([sys.executable, demo], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "was killed after" in run.stdout
    assert "the totals equal those of a plain loop over the data" in run.stdout
