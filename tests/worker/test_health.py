"""`/live` and `/ready` of worker processes, and what the log says of a partition that does not advance."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

#: Short, so that tests are.
STALL_S = 1.0

#: An answer that has not come by then does not come.
PATIENCE_S = 30.0

PROGRAM = """
import asyncio, time
import beltline as bl

app = bl.App("jobs", topic_partitions=1)
jobs = app.topic("jobs", value_type=str)
done = app.Table("done", default=int)


@app.agent(jobs)
async def work(stream):
    async for job in stream:
        kind, _, seconds = job.partition(" ")
        print("begins", job, flush=True)
        if kind == "await":
            await asyncio.sleep(float(seconds))
        elif kind == "block":
            time.sleep(float(seconds))
        done[job] += 1
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def ask(port: int, page: str) -> tuple[int, dict[str, Any]]:
    """Return status and answer of a page; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def until(port: int, page: str, holds: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first answer that is as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        code, answer = ask(port, page)
        if holds(code, answer):
            return answer
        assert time.monotonic() < deadline, f"/{page} says {code}: {answer}"
        time.sleep(0.05)


@pytest.fixture
def port(project: Any) -> int:
    """Return the port that the project's workers answer on."""
    chosen = free_port()
    project.write("jobs.py", PROGRAM)
    project.environment |= {"BELTLINE_HEALTH_PORT": str(chosen), "BELTLINE_STALL_TIMEOUT": str(STALL_S)}
    return chosen


def send(project: Any, job: str) -> None:
    """Put a job on the topic."""
    run = project.run("send", "jobs", job, app="jobs")
    assert run.returncode == 0, run.stderr


def test_an_idle_worker_is_live_and_ready(project: Any, port: int) -> None:
    worker = project.start("worker", app="jobs")
    until(port, "ready", lambda code, _: code == 200)
    time.sleep(2 * STALL_S)
    assert ask(port, "live") == (200, {"app": "jobs", "status": "ok", "problems": []})
    assert ask(port, "ready")[0] == 200
    assert ask(port, "else")[0] == 404
    assert worker.stop() == 0
    assert "has not advanced" not in worker.output


@pytest.mark.parametrize("kind", ["await", "block"])
def test_an_event_that_does_not_end_is_named_and_when_it_goes_on(project: Any, port: int, kind: str) -> None:
    send(project, f"{kind} 5")
    worker = project.start("worker", app="jobs")
    worker.wait_for(f"begins {kind}")
    until(port, "live", lambda code, _: code == 200)
    answer = until(port, "live", lambda code, _: code == 503)
    assert answer["status"] == "stalled"
    (problem,) = answer["problems"]
    assert problem["what"].startswith("jobs-0")
    assert "work" in problem["what"]
    assert "handler" in problem["why"]
    assert problem["seconds"] >= STALL_S
    if kind == "block":
        assert "jobs.py:" in problem["why"]
    until(port, "live", lambda code, _: code == 200)
    worker.wait_for("goes on")
    assert worker.stop() == 0
    assert worker.output.count("has not advanced for") == 1
    assert worker.output.count("goes on") == 1


def test_a_port_that_is_taken_is_named(project: Any, port: int) -> None:
    with socket.socket() as one:
        one.bind(("0.0.0.0", port))
        one.listen()
        worker = project.start("worker", app="jobs")
        assert worker.end() == 1
    assert f"setting health_port={port}" in worker.output
    assert "Traceback" not in worker.output


def test_there_is_no_port_unless_it_is_asked_for(project: Any, port: int) -> None:
    del project.environment["BELTLINE_HEALTH_PORT"]
    worker = project.start("worker", app="jobs")
    worker.wait_for("ready; Ctrl-C stops it")
    assert ask(port, "live") == (0, {})
    assert worker.stop() == 0


def test_who_does_not_ask_for_it_loads_no_web_server(project: Any) -> None:
    run = project.run_python("-c", "import beltline, beltline.app, sys; print('http.server' in sys.modules)")
    assert run.stdout.strip() == "False", run.stderr
