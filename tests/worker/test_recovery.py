"""The progress of recovery."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from beltline.worker import recovery
from beltline.worker.recovery import show_recovery, totals


def test_totals_count_finished_shards() -> None:
    peak: dict[tuple[str, int], int] = {}
    assert totals([("spent", 0, 10, 100), ("spent", 1, 0, 50)], peak) == (10, 150)
    assert totals([("spent", 0, 40, 100)], peak) == (90, 150)
    assert totals([], peak) == (150, 150)


async def test_returns_when_everything_is_restored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_S", 0.0)
    monkeypatch.setattr(recovery, "LOOK_S", 0.001)
    monkeypatch.setattr(recovery, "LOG_S", 0.0)
    steps = iter([[("spent", 0, done, 3)] for done in range(4)])
    with caplog.at_level(logging.WARNING):
        await show_recovery(lambda: next(steps, []), quiet=True)
    assert next(steps, None) is None
    assert any("of 3 records" in record.message for record in caplog.records)


async def test_draws_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_S", 0.0)
    monkeypatch.setattr(recovery, "LOOK_S", 0.001)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    steps = iter([[("spent", 0, done, 50)] for done in range(50)])
    await show_recovery(lambda: next(steps, []), quiet=False)
    assert next(steps, None) is None
    assert "restoring spent" in capsys.readouterr().err
