"""The README's first page runs as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

#: The worker has counted the order by then even on a busy machine.
PATIENCE_S = 60.0


def snippets(language: str) -> list[str]:
    """Return the README's code in one language."""
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_program_and_its_test_run(tmp_path: Path) -> None:
    program, test = snippets("python")
    (tmp_path / "shop.py").write_text(program)
    (tmp_path / "test_shop.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_shop.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_commands_do_what_they_say(project: Any) -> None:
    commands = re.findall(r"^    \$ beltline (.*?)(?:  +#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
    worker, send, table = (shlex.split(command) for command in commands)
    project.write("shop.py", snippets("python")[0])
    running = project.start_python("-m", "beltline", *worker)
    running.wait_for("ready")
    sent = project.run_python("-m", "beltline", *send)
    assert sent.returncode == 0, sent.stderr
    until = time.monotonic() + PATIENCE_S
    while "1200.0" not in (shown := project.run_python("-m", "beltline", *table)).stdout:
        assert time.monotonic() < until, shown.stdout + shown.stderr
    assert running.stop() == 0
    assert re.search(r"ada +1200\.0", project.run_python("-m", "beltline", *table).stdout)


def test_the_rust_program_is_the_example() -> None:
    (program,) = snippets("rust")
    example = (ROOT / "crates/beltline/examples/shop.rs").read_text()
    code = [line.strip() for line in example.splitlines() if line.strip() and not line.startswith("//!")]
    shown = [re.sub(r"\s*// .*", "", line).strip() for line in program.splitlines() if line.strip()]
    assert shown == code
