"""Logging of a worker."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from beltline.exceptions import ImproperlyConfigured
from beltline.worker.logs import level_number, redirected_prints, set_up_logging, wants_colour


@pytest.fixture(autouse=True)
def restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("word", "number"), [("crit", 50), ("warn", 30), ("INFO", 20), (None, 30), (15, 15), ("critical", 50)]
)
def test_levels(word: str | int | None, number: int) -> None:
    assert level_number(word) == number


def test_refuses_a_word_that_is_no_level() -> None:
    with pytest.raises(ImproperlyConfigured, match="'loud'"):
        level_number("loud")


def test_writes_to_a_file(tmp_path: Path) -> None:
    set_up_logging("info", tmp_path / "worker.log")
    logging.getLogger("shop").info("hello %s", "you")
    text = (tmp_path / "worker.log").read_text()
    assert "[INFO] shop: hello you" in text
    assert "\x1b" not in text


def test_refuses_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no/worker\.log"):
        set_up_logging("info", tmp_path / "no" / "worker.log")


def test_prints_become_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), redirected_prints("info"):
        print("one\ntwo")
    assert [record.message for record in caplog.records] == ["one", "two"]


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
