"""`topics plan` and `topics apply` on the embedded log."""

from __future__ import annotations

import json
from typing import Any

#: What the project's program needs beside the topics that it names.
BETWEEN = "shop.tally-orders-Order.customer-repartition"


def plan(project: Any, command: str = "plan") -> dict[str, Any]:
    """Return what a command says, with the topics by name."""
    run = project.run("topics", command, "--json")
    assert run.returncode == 0, run.stderr
    said: dict[str, Any] = json.loads(run.stdout)
    return {**said, "topics": {line["topic"]: line for line in said["topics"]}}


def test_a_plan_names_every_topic_and_creates_none(project: Any) -> None:
    for _ in range(2):
        topics = plan(project)["topics"]
        assert {"orders", "words", "big-orders", "shop-spent-changelog", BETWEEN} <= set(topics)
        assert {line["state"] for line in topics.values()} == {"to be created"}
    assert topics["shop-spent-changelog"] == {
        "topic": "shop-spent-changelog",
        "partitions": 4,
        "state": "to be created",
        "configuration": "cleanup.policy=compact",
        "use": "changelog of spent",
    }
    assert not (project.directory / "shop-data").exists()


def test_what_is_missing_is_created_and_what_is_there_stays(project: Any) -> None:
    first = plan(project, "apply")
    assert {line["state"] for line in first["topics"].values()} == {"created"}
    again = plan(project, "apply")
    assert {line["state"] for line in again["topics"].values()} == {"exists"}
    assert again["problems"] == []
    text = project.run("topics", "plan").stdout
    assert "nothing to be created" in text


def test_a_worker_finds_what_was_created_for_it(project: Any) -> None:
    plan(project, "apply")
    project.environment["TOPIC_ALLOW_DECLARE"] = "no"
    worker = project.start("worker")
    worker.wait_for("ready; Ctrl-C stops it")
    assert worker.stop() == 0


def test_partitions_that_differ_are_named(project: Any) -> None:
    plan(project, "apply")
    program = (project.directory / "shop.py").read_text()
    project.write("shop.py", program.replace('"orders", value_type=Order', '"orders", value_type=Order, partitions=7'))
    (problem,) = plan(project)["problems"]
    assert problem.startswith("topic orders has 4 partitions, the program says 7")


def test_topics_between_that_fit_no_table_are_named_with_the_cure(project: Any) -> None:
    program = (project.directory / "shop.py").read_text()
    project.write("shop.py", program.replace('"spent", default=float', '"spent", default=float, partitions=3'))
    (problem,) = plan(project)["problems"]
    for part in (BETWEEN, "shop-spent-changelog", "4 partitions", "has 3", "version="):
        assert part in problem
