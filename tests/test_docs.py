"""The programs in the documentation run as they are written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def programs(page: str) -> list[str]:
    """Return the Python programs on a page, one after the other."""
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page} has no programs"
    return found


def test_the_tests_on_the_page_about_testing_pass(project: Any) -> None:
    head, *more = programs("testing.md")
    text = "\n\n".join(
        block.replace("def test_adds_up", f"def test_{number}") for number, block in enumerate([head, *more])
    )
    project.write("test_page.py", text)
    project.write("pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    run = project.run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_the_command_on_the_page_about_the_command_line_works(project: Any) -> None:
    (command,) = programs("cli.md")
    shop = (project.directory / "shop.py").read_text()
    body, main, end = shop.partition("if __name__")
    project.write("shop.py", body + command + "\n\n" + main + end)
    run = project.run("order", "ada", "--times", "3")
    assert run.returncode == 0, run.stderr
    worker = project.start("worker")
    worker.wait_for("ready")
    assert worker.stop() == 0


@pytest.mark.parametrize("command", ["worker", "send", "table", "agents", "tables", "models", "topics", "reset"])
def test_every_command_is_on_the_page(command: str) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert any(command in line for line in headings)


def test_every_option_is_on_the_page() -> None:
    from beltline.cli.main import cli

    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    shown = [option for option in cli.params if not getattr(option, "hidden", False)]
    assert len(shown) > 8
    for option in shown:
        assert option.opts[-1] in text
