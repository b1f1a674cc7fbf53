"""An app written in Python and one written in Rust, with the same id, take over each other's data directory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: A worker that has not finished by then is stuck.
PATIENCE_S = 60.0

#: The same program as crates/beltline/examples/word_count.rs.
WORDS = """
import beltline as bl

app = bl.App("words")
lines = app.topic("lines", value_type=str)
words = app.topic("words", value_type=str)
counts = app.Table("counts", default=int)


@app.agent(lines)
async def split(stream):
    async for line in stream:
        for word in line.split():
            await words.send(key=word, value=word)


@app.on(words)
def count(word):
    counts[word] += 1
"""

TEXT = ["the quick brown fox", "jumps over the lazy dog", "the end caf\u00e9 \U0001f98a"]


@pytest.fixture(scope="session")
def rust() -> Path:
    """The Rust program, built."""
    command = ["cargo", "build", "--quiet", "--locked", "--package", "beltline", "--example", "word_count"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target" / "debug" / "examples" / "word_count"


class Both:
    """The two programs on one directory."""

    def __init__(self, folder: Path, rust: Path) -> None:
        (folder / "words.py").write_text(WORDS)
        self.folder = folder
        beltline = Path(sys.executable).with_name("beltline")
        self.commands = {"python": [beltline, "-A", "words"], "rust": [rust, "--datadir", folder / "words-data"]}

    def run(self, face: str, *arguments: str) -> str:
        """Run a command to its end."""
        command = [*self.commands[face], *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def counts(self, face: str) -> dict[str, int]:
        """Return the table as one of the programs sees it."""
        if face == "python":
            rows = json.loads(self.run("python", "table", "counts", "--json"))
            return {row["key"]: row["value"] for row in rows} if isinstance(rows, list) else rows
        pairs = (line.split("\t") for line in self.run("rust", "table", "counts").splitlines())
        return {word: int(count) for word, count in pairs}

    def work(self, face: str, expected: dict[str, int], how: signal.Signals) -> None:
        """Let one of the programs work until the table is as expected; it is ended by a signal each time one looks."""
        deadline = time.monotonic() + PATIENCE_S
        pause = 0.5
        while True:
            worker = subprocess.Popen([*self.commands[face], "worker"], cwd=self.folder, stderr=subprocess.DEVNULL)
            time.sleep(pause)
            worker.send_signal(how)
            worker.wait(PATIENCE_S)
            if (found := self.counts(face)) == expected:
                return
            assert time.monotonic() < deadline, f"{face} has {found}, not {expected}"
            pause *= 1.5


@pytest.mark.parametrize("order", [("python", "rust"), ("rust", "python")])
def test_each_goes_on_where_the_other_one_was(tmp_path: Path, rust: Path, order: tuple[str, str]) -> None:
    both = Both(tmp_path, rust)
    expected: Counter[str] = Counter()
    for round_number in range(2):
        face, other = order if round_number % 2 == 0 else order[::-1]
        for line in TEXT:
            both.run(other, "send", "lines", json.dumps(line))
            expected.update(line.split())
        both.work(face, expected, signal.SIGTERM if round_number == 0 else signal.SIGKILL)
        assert both.counts(other) == expected
