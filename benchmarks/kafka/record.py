"""Writes what a run found into `benchmarks/RESULTS.md`, in place of what the last one found."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from findings import Findings

FILE = Path(__file__).resolve().parents[1] / "RESULTS.md"
BEGIN, END = "<!-- made by benchmarks/kafka/run.py --record -->", "<!-- end of what was made -->"


def write(findings: Findings) -> None:
    """Replace the part between the marks."""
    before, _, rest = FILE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"
    text = f"{time.strftime('%d %B %Y')}, {machine}; {findings.conditions}\n\n{findings.as_text()}"
    FILE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
