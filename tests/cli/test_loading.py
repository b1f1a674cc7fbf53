"""How ``-A`` finds the app, and what it says when it does not."""

from __future__ import annotations

from typing import Any

import pytest


def test_finds_the_app_in_a_module_of_the_working_directory(project: Any) -> None:
    run = project.run("tables", "--json")
    assert run.returncode == 0, run.stderr
    assert "spent" in run.stdout


@pytest.mark.parametrize("spec", ["store.main:here", "store.main", "store", "store.main:holder.app"])
def test_finds_the_app_by_attribute_by_default_and_in_packages(project: Any, spec: str) -> None:
    project.write("store/__init__.py", "from .main import here\n")
    project.write(
        "store/main.py",
        """
        import types
        import beltline

        here = beltline.App("elsewhere")
        holder = types.SimpleNamespace(app=here)
        here.Table("found")
        """,
    )
    run = project.run("tables", app=spec)
    assert run.returncode == 0, run.stderr
    assert "found" in run.stdout


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("shp", ["there is no module 'shp'", "did you mean -A shop?"]),
        ("nothing.like.it", ["there is no module 'nothing'", "looked for in"]),
        ("shop.py", ["is a path", "write -A shop"]),
        ("./sub/shop.py:app", ["write -A sub.shop:app"]),
        ("shop:ap", ["module 'shop' has no 'ap'", "has the app app", "write -A shop:app"]),
        ("shop:Order", ["shop:Order is", "not beltline.App"]),
        ("empty", ["has no beltline.App", "app = beltline.App("]),
        ("two", ["has the apps one, other", "write -A two:one"]),
    ],
)
def test_says_what_is_wrong_and_what_to_write(project: Any, spec: str, says: list[str]) -> None:
    project.write("empty.py", "")
    project.write("two.py", "import beltline\none, other = beltline.App('one'), beltline.App('other')\n")
    run = project.run("tables", app=spec)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    for text in says:
        assert text in run.stderr


def test_an_error_in_the_module_is_shown_from_the_users_line(project: Any) -> None:
    project.write("broken.py", "def f():\n    return 1 / 0\n\nf()\n")
    run = project.run("worker", app="broken")
    assert run.returncode == 1
    assert "broken.py" in run.stderr
    assert "line 4" in run.stderr
    assert "ZeroDivisionError" in run.stderr
    assert "importlib" not in run.stderr
    assert "click" not in run.stderr


def test_a_module_that_is_missing_inside_the_module_is_not_confused_with_it(project: Any) -> None:
    project.write("needy.py", "import not_there_at_all\n")
    run = project.run("worker", app="needy")
    assert run.returncode == 1
    assert "not_there_at_all" in run.stderr
    assert "needy.py" in run.stderr


def test_a_wrong_setting_is_one_line(project: Any) -> None:
    project.write("wrong.py", "import beltline\napp = beltline.App('wrong', topic_partition=3)\n")
    run = project.run("tables", app="wrong")
    assert run.returncode == 1
    assert "did you mean 'topic_partitions'?" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_unknown_broker_is_refused_in_words(project: Any) -> None:
    project.write("rabbit.py", "import beltline\napp = beltline.App('rabbit', broker='amqp://localhost')\n")
    run = project.run("worker", app="rabbit")
    assert run.returncode == 1
    assert "write 'kafka://host:9092', 'embedded://' or 'memory://'" in run.stderr
    assert "Traceback" not in run.stderr


def test_without_an_app_says_how_to_name_one(project: Any) -> None:
    run = project.run("tables", app=None)
    assert run.returncode == 1
    assert "write beltline -A module[:attribute]" in run.stderr


def test_the_program_itself_is_a_command_line(project: Any) -> None:
    run = project.run_python("shop.py", "tables")
    assert run.returncode == 0, run.stderr
    assert "spent" in run.stdout
