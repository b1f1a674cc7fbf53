"""The README's first page runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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


def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(snippets("python")[0])
    beltline = Path(sys.executable).with_name("beltline")
    order = '{"customer": "ada", "amount": 1200}'
    sent = subprocess.run(
        [beltline, "-A", "shop", "send", "orders", order], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stderr
    topics = subprocess.run(
        [beltline, "-A", "shop", "topics"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "orders" in topics.stdout, topics.stderr


def test_the_rust_program_is_the_example() -> None:
    (program,) = snippets("rust")
    example = (ROOT / "crates/beltline/examples/shop.rs").read_text()
    code = [line.strip() for line in example.splitlines() if line.strip() and not line.startswith("//!")]
    shown = [re.sub(r"\s*// .*", "", line).strip() for line in program.splitlines() if line.strip()]
    assert shown == code
