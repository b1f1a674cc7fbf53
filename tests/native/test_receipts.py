"""Whoever sends a record hears what became of it, whatever happens to the belt."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from beltline._native import Belt
from beltline.sending import FutureMessage


class Receipt:
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def deliver(self, *address: Any) -> None:
        self.heard.append(("deliver", address))

    def refuse(self, *reason: Any) -> None:
        self.heard.append(("refuse", reason))


def test_a_belt_that_stops_without_time_for_its_last_commit_leaves_nobody_waiting(tmp_path: Path) -> None:
    belt = Belt("hasty")
    belt.open(directory=str(tmp_path))
    belt.declare_topic("out", 1)
    belt.start()
    receipt = Receipt()
    belt.send("out", b"k", b"v", receipt=receipt)
    # Whether the log is as quick as that is not known; that it says so, or is not asked any more, is.
    with contextlib.suppress(BufferError):
        belt.stop(0.0)
    [(what, told)] = receipt.heard
    assert told[:2] == ("out", 0)
    assert what == "deliver" or told[2:] == ("the app stopped before it was committed", False)


async def test_a_refused_receipt_nobody_looks_at_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    receipt = FutureMessage((None, None, None))
    receipt.refuse("out", 0, "of a test", comes_again=False)
    del receipt
    assert not caplog.records
