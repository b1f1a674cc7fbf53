"""The commands that list, send, show and reset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

COMMANDS = ["worker", "broker", "send", "table", "agents", "tables", "models", "topics", "reset"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(project: Any, command: str) -> None:
    run = project.run(command, "--help")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage:")
    assert len(run.stdout.splitlines()) > 5


def test_the_help_page_lists_the_commands(project: Any) -> None:
    run = project.run("--help", app=None)
    assert run.returncode == 0
    for command in COMMANDS:
        assert f"  {command} " in run.stdout


def test_version(project: Any) -> None:
    run = project.run("--version", app=None)
    assert run.returncode == 0
    assert run.stdout.startswith("beltline ")


def test_unknown_commands_are_usage_errors(project: Any) -> None:
    run = project.run("wrok")
    assert run.returncode == 2
    assert "No such command 'wrok'" in run.stderr


def test_agents(project: Any) -> None:
    rows = json.loads(project.run("agents", "--json").stdout)
    assert {"name": "@listen", "topic": "words", "help": "Print every word."} in rows
    assert {"name": "@tally", "topic": "orders", "help": "Add up what customers spend."} in rows
    assert "@listen" in project.run("agents").stdout


def test_tables(project: Any) -> None:
    assert json.loads(project.run("--json", "tables").stdout) == [{"name": "spent", "help": "Money by customer."}]


def test_models(project: Any) -> None:
    assert json.loads(project.run("models", "--json").stdout) == [{"name": "Order", "help": "What somebody bought."}]


def test_topics_of_a_log_that_does_not_exist_yet(project: Any) -> None:
    rows = {row["name"]: row for row in json.loads(project.run("topics", "--json").stdout)}
    assert rows["orders"]["partitions"] == 4
    assert rows["orders"]["state"] == "not yet created"
    assert rows["shop-spent-changelog"]["use"] == "changelog of spent"
    assert not (project.directory / "shop-data").exists()


def test_send_appends_to_the_log(project: Any) -> None:
    first = project.run("send", "orders", '{"customer": "ada", "amount": 5}', "-k", "ada")
    assert first.returncode == 0, first.stderr
    metadata = json.loads(first.stdout)
    assert (metadata["topic"], metadata["offset"]) == ("orders", 0)
    second = json.loads(project.run("send", "orders", '{"customer": "ada", "amount": 5}', "-k", "ada").stdout)
    assert (second["partition"], second["offset"]) == (metadata["partition"], 1)
    rows = {row["name"]: row for row in json.loads(project.run("topics", "--json").stdout)}
    assert rows["orders"]["state"] == "in the log"


def test_send_repeats(project: Any) -> None:
    run = project.run("send", "words", '"hej"', "--partition", "2", "-r", "3")
    assert run.returncode == 0, run.stderr
    assert [json.loads(line)["offset"] for line in run.stdout.splitlines()] == [0, 1, 2]


def test_send_to_an_agent_and_without_quotes(project: Any) -> None:
    run = project.run("send", "@listen", "hello", "--headers", "colour=red", "--headers", '{"size": 3}')
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["topic"] == "words"
    worker = project.start("worker")
    worker.wait_for("heard hello")
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "order", "{}"], "did you mean orders?"),
        (["send", "@lisen", "x"], "did you mean listen?"),
        (["send", "orders", "{broken"], "topic orders"),
        (["send", "orders", '{"customer": "ada"}'], "amount"),
        (["send", "orders", '{"customer": "ada", "amount": 1}', "--headers", "red"], "name=value"),
        (["send", "orders", '{"customer": "ada", "amount": 1}', "--partition", "99"], "partition"),
        (["table", "spend"], "did you mean spent?"),
        (["table", "spent", "-k", "nobody"], "no key 'nobody'"),
    ],
)
def test_mistakes_are_said_in_a_sentence(project: Any, arguments: list[str], says: str) -> None:
    run = project.run(*arguments)
    assert run.returncode == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_send_makes_a_topic_only_when_told(project: Any) -> None:
    assert project.run("send", "brand-new", "1").returncode == 1
    run = project.run("send", "brand-new", "1", "--create")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["topic"] == "brand-new"


def fill(project: Any, *orders: tuple[str, float]) -> None:
    """Send orders and have a worker count them."""
    for customer, amount in orders:
        text = json.dumps({"customer": customer, "amount": amount})
        assert project.run("send", "orders", text).returncode == 0
    worker = project.start("worker")
    worker.wait_for("ready")
    assert worker.stop() == 0


def test_table_shows_what_a_worker_counted(project: Any) -> None:
    project.write("counting.py", COUNTING)
    for number in range(12):
        assert project.run("send", "numbers", str(number), "-k", str(number), app="counting").returncode == 0
    worker = project.start("worker", app="counting")
    worker.wait_for("counted", 12)
    assert worker.stop() == 0
    run = project.run("table", "counts", app="counting")
    assert run.returncode == 0, run.stderr
    assert "counts" in run.stdout
    assert "\x1b" not in run.stdout
    assert json.loads(project.run("table", "counts", "--json", app="counting").stdout) == {
        str(number): 1 for number in range(12)
    }
    assert len(json.loads(project.run("table", "counts", "--json", "--limit", "5", app="counting").stdout)) == 5
    assert json.loads(project.run("table", "counts", "--json", "-k", "7", app="counting").stdout) == {"7": 1}


COUNTING = """
import beltline as bl

app = bl.App("counting", topic_partitions=2)
numbers = app.topic("numbers", value_type=int)
counts = app.Table("counts", default=int)


@app.on(numbers)
def count(key, number):
    counts[key.decode()] += 1
    print("counted", flush=True)
"""


def test_reset_forgets_the_store_and_the_next_start_rebuilds_it(project: Any) -> None:
    project.write("counting.py", COUNTING)
    assert project.run("send", "numbers", "1", "-k", "a", app="counting").returncode == 0
    worker = project.start("worker", app="counting")
    worker.wait_for("counted")
    assert worker.stop() == 0
    store: Path = project.directory / "counting-data" / "tables"
    assert store.is_dir()
    run = project.run("reset", app="counting")
    assert run.returncode == 0, run.stderr
    assert not store.exists()
    assert json.loads(project.run("table", "counts", "--json", app="counting").stdout) == {"a": 1}
    assert project.run("reset", app="counting").returncode == 0


@pytest.mark.parametrize(
    "arguments", [["send", "orders", '{"customer": "ada", "amount": 1}'], ["table", "spent"], ["topics"], ["reset"]]
)
def test_says_who_holds_the_data_directory(project: Any, arguments: list[str]) -> None:
    # With an endpoint all but the last would go through it, see tests/broker.
    project.environment["BELTLINE_ENDPOINT"] = "no"
    worker = project.start("worker")
    worker.wait_for("ready")
    run = project.run(*arguments)
    assert run.returncode == 1
    assert f"in use by process {worker.process.pid} (" in run.stderr
    assert "worker)" in run.stderr
    assert "stop it first" in run.stderr
    assert "Traceback" not in run.stderr
    assert worker.stop() == 0


def test_memory_keeps_nothing_to_show(project: Any) -> None:
    project.write(
        "fleeting.py", "import beltline\napp = beltline.App('fleeting', broker='memory://')\napp.Table('t')\n"
    )
    for arguments in (["table", "t"], ["send", "x", "1"], ["reset"]):
        run = project.run(*arguments, app="fleeting")
        assert run.returncode == 1
        assert "keeps nothing" in run.stderr
    assert not (project.directory / "fleeting-data").exists()


def test_the_data_directory_can_be_named(project: Any) -> None:
    where = project.directory / "elsewhere"
    run = project.run("--datadir", str(where), "send", "words", "hello")
    assert run.returncode == 0, run.stderr
    assert where.is_dir()
    assert not (project.directory / "shop-data").exists()


def test_the_working_directory_can_be_changed(project: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "away.py").write_text("import beltline\napp = beltline.App('away')\napp.Table('far')\n")
    assert "far" in project.run("--workdir", str(other), "tables", app="away").stdout
    run = project.run("--workdir", str(other / "nowhere"), "tables", app="away")
    assert run.returncode == 1
    assert "nowhere" in run.stderr
