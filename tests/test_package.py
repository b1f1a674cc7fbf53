"""The package as a whole: what it exports, what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import beltline
import pytest


@pytest.mark.parametrize("name", [*beltline.__all__, *beltline.MODULES])
def test_every_name_is_reachable(name: str) -> None:
    assert getattr(beltline, name) is not None
    assert name in dir(beltline)


def test_names_of_faust_that_are_missing_say_so() -> None:
    with pytest.raises(AttributeError, match="not in this version"):
        beltline.HoppingWindow  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        beltline.nonsense  # noqa: B018


def test_runs_as_a_module() -> None:
    run = subprocess.run([sys.executable, "-m", "beltline", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"beltline {beltline.__version__}"


def test_importing_loads_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import beltline\n"
        "heavy = {'asyncio', 'click', 'rich', 'aiohttp', 'mode', 'croniter', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), len(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, count = run.stdout.rsplit(maxsplit=1)
    assert heavy == "[]"
    assert int(count) < 60


def test_defining_an_app_loads_neither_the_command_line_nor_a_web_library() -> None:
    code = (
        "import beltline, sys; beltline.App('x').topic('t', value_type=str)\n"
        "print(sorted({'click', 'rich', 'aiohttp', 'prometheus_client'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
