"""Worker processes: started, watched, and ended in every way a process can end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
import time
from typing import Any

import pytest

#: The handler says what it does; the key of the event says how it does it.
PROGRAM = """
import asyncio, ctypes, sys, time
import beltline as bl

app = bl.App("jobs", topic_partitions=1)
jobs = app.topic("jobs", value_type=str)
done = app.Table("done", default=int)


@app.agent(jobs)
async def work(stream):
    async for job in stream:
        print("begins", job, flush=True)
        kind, _, seconds = job.partition(" ")
        if kind == "await":
            await asyncio.sleep(float(seconds))
        elif kind == "block":
            time.sleep(float(seconds))
        elif kind == "hold":
            # A C function that waits for ever and lets no other thread of Python run.
            mutex, take = ctypes.create_string_buffer(64), ctypes.PyDLL(None).pthread_mutex_lock
            take(mutex), take(mutex)
        elif kind == "raise":
            raise LookupError("no such job")
        done[job] += 1
        print("ends", job, flush=True)
"""


def jobs(project: Any, *texts: str, deadline: float = 2.0, program: str = PROGRAM) -> None:
    """Write the program and put jobs on its topic."""
    project.write("jobs.py", program)
    project.environment["BELTLINE_SHUTDOWN_DEADLINE"] = str(deadline)
    for text in texts:
        run = project.run("send", "jobs", text, app="jobs")
        assert run.returncode == 0, run.stderr


def counts(project: Any) -> dict[str, int]:
    """Return the table of finished jobs."""
    run = project.run("table", "done", "--json", app="jobs")
    assert run.returncode == 0, run.stderr
    shown: dict[str, int] = json.loads(run.stdout)
    return shown


def test_the_banner_says_what_runs_and_where(project: Any) -> None:
    worker = project.start("worker")
    worker.wait_for("ready; Ctrl-C stops it")
    text = worker.output
    for part in (
        "shop",
        str(project.directory / "shop-data") + os.sep,
        "exactly_once, a commit every 0.1 s",
        "shop.listen",
        "shop.tally",
        "orders",
        "words",
        "spent",
        str(worker.process.pid),
        "beltline ",
        "Python 3.",
    ):
        assert part in text
    assert "\x1b" not in text
    assert worker.stop() == 0
    assert "stopped" in worker.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_worker_with_success(project: Any, number: signal.Signals) -> None:
    worker = project.start("worker")
    worker.wait_for("ready")
    assert worker.stop(number) == 0
    assert f"stopping ({number.name})" in worker.output


def test_the_program_itself_runs_a_worker(project: Any) -> None:
    worker = project.start_python("shop.py", "worker")
    worker.wait_for("ready")
    assert worker.stop() == 0


def test_events_are_worked_off(project: Any) -> None:
    jobs(project, "one", "two")
    worker = project.start("worker", app="jobs")
    worker.wait_for("ends two")
    assert worker.stop() == 0
    assert counts(project) == {"one": 1, "two": 1}


def test_an_event_in_flight_is_finished(project: Any) -> None:
    jobs(project, "await 1", "later", deadline=30)
    worker = project.start("worker", app="jobs")
    worker.wait_for("begins await 1")
    assert worker.stop(signal.SIGTERM) == 0
    assert "ends await 1" in worker.output
    assert "begins later" not in worker.output
    assert counts(project) == {"await 1": 1}


@pytest.mark.parametrize("job", ["await 600", "block 600", "hold"])
def test_an_event_that_takes_too_long_is_given_back(project: Any, job: str) -> None:
    jobs(project, "quick")
    first = project.start("worker", app="jobs")
    first.wait_for("ends quick")
    assert first.stop(signal.SIGTERM) == 0
    jobs(project, job)
    for _ in range(2):
        worker = project.start("worker", app="jobs")
        worker.wait_for(f"begins {job}")
        assert worker.stop(signal.SIGTERM) == 0
        assert "ends " + job not in worker.output
        assert "begins quick" not in worker.output
        assert counts(project) == {"quick": 1}


def test_a_handler_in_a_thread_cannot_keep_the_process(project: Any) -> None:
    jobs(
        project,
        "hello",
        program="""
        import time
        import beltline as bl

        app = bl.App("jobs", topic_partitions=1)
        jobs = app.topic("jobs", value_type=str)


        @app.on(jobs, threads=2)
        def work(job):
            print("begins", job, flush=True)
            time.sleep(600)
        """,
    )
    for _ in range(2):
        worker = project.start("worker", app="jobs")
        worker.wait_for("begins hello")
        assert worker.stop(signal.SIGTERM) == 0


def test_the_second_ctrl_c_quits_at_once(project: Any) -> None:
    jobs(project, "await 600", deadline=600)
    worker = project.start("worker", app="jobs")
    worker.wait_for("begins await 600")
    worker.give(signal.SIGINT)
    worker.wait_for("stopping (SIGINT)")
    assert worker.stop(signal.SIGINT) == 130


def test_a_stop_while_tables_are_restored(project: Any) -> None:
    jobs(
        project,
        program="""
        import asyncio
        import beltline as bl

        app = bl.App("jobs", topic_partitions=1)


        async def slowly():
            print("recovering", flush=True)
            await asyncio.sleep(600)

        done = app.Table("done", on_recover=slowly)
        """,
    )
    worker = project.start("worker", app="jobs")
    worker.wait_for("recovering")
    assert worker.stop(signal.SIGTERM) == 0
    assert "ready" not in worker.output


def test_a_fatal_error_shows_the_users_line_and_fails(project: Any) -> None:
    jobs(project, "raise", program=PROGRAM.replace('bl.App("jobs"', 'bl.App("jobs", on_error="fail"'))
    for _ in range(2):
        worker = project.start("worker", app="jobs")
        assert worker.end() == 1
        assert "begins raise" in worker.output
        assert worker.output.count('raise LookupError("no such job")') == 1
        assert "nothing in flight was acknowledged" in worker.output
        assert "jobs.py" in worker.output
        assert "jobs[0]@0" in worker.output


def test_a_full_disk_ends_the_worker_and_loses_nothing(project: Any) -> None:
    jobs(
        project,
        program="""
        import os, resource
        import beltline as bl

        app = bl.App("jobs", topic_partitions=1)
        jobs = app.topic("jobs", value_type=str)
        done = app.Table("done", default=int)


        @app.on(jobs)
        def work(job):
            done[job[:4]] += 1


        @app.task
        async def fill():
            if not os.environ.get("FULL"):
                return
            resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
            while True:
                await jobs.send(value="more" + os.urandom(500).hex())
        """,
    )
    for _ in range(3):
        assert project.run("send", "jobs", "kept", app="jobs").returncode == 0
    project.environment["FULL"] = "1"
    full = project.start("worker", app="jobs")
    assert full.end() == 1
    assert "the disk refused a write" in full.output
    assert "Traceback" not in full.output
    del project.environment["FULL"]
    worker = project.start("worker", app="jobs")
    worker.wait_for("ready")
    assert worker.stop() == 0
    assert counts(project)["kept"] == 3


def test_a_skipped_error_is_logged_and_the_worker_goes_on(project: Any) -> None:
    jobs(project, "raise", "after")
    worker = project.start("worker", app="jobs")
    worker.wait_for("ends after")
    assert worker.stop() == 0
    assert "jobs[0]@0" in worker.output
    assert counts(project) == {"after": 1}


def test_a_timer_that_fails_ends_the_worker(project: Any) -> None:
    jobs(
        project,
        program="""
        import beltline as bl

        app = bl.App("jobs")


        @app.timer(0.05)
        async def tick():
            print("ticking", flush=True)
            raise ArithmeticError("tock")
        """,
    )
    worker = project.start("worker", app="jobs")
    assert worker.end() == 1
    assert "ArithmeticError: tock" in worker.output
    assert worker.output.count("ticking\n") == 1


def test_tasks_timers_and_services_run_and_stop_with_the_worker(project: Any) -> None:
    jobs(
        project,
        program="""
        import beltline as bl

        app = bl.App("jobs")


        @app.task
        async def once():
            print("task", flush=True)


        @app.timer(0.02)
        async def tick():
            print("tick", flush=True)


        @app.service
        class Beside(bl.Service):
            async def on_start(self):
                print("service begins", flush=True)

            async def on_stop(self):
                print("service ends", flush=True)
        """,
    )
    worker = project.start("worker", app="jobs")
    worker.wait_for("tick", 3)
    assert worker.stop() == 0
    assert worker.output.count("task\n") == 1
    assert "service begins" in worker.output
    assert "service ends" in worker.output


def test_a_second_worker_learns_who_holds_a_data_directory_that_is_not_shared(project: Any) -> None:
    project.environment["BELTLINE_ENDPOINT"] = "0"
    first = project.start("worker")
    first.wait_for("ready")
    second = project.start("worker")
    assert second.end() == 1
    assert f"in use by process {first.process.pid} (" in second.output
    assert "Traceback" not in second.output
    assert first.stop() == 0


def test_a_data_directory_that_is_a_file(project: Any) -> None:
    project.write("shop-data", "not a directory")
    worker = project.start("worker")
    assert worker.end() == 1
    assert "shop-data" in worker.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("round_", range(3))
def test_totals_survive_kill_9(project: Any, round_: int) -> None:
    jobs(
        project,
        program="""
        import beltline as bl

        app = bl.App("jobs", topic_partitions=2)
        jobs = app.topic("jobs", value_type=int)
        done = app.Table("done", default=int)


        @app.on(jobs)
        def work(key, job):
            done[key.decode()] += job
            print("did", job, flush=True)


        @app.command()
        async def load():
            for number in range(20_000):
                await jobs.send(key=str(number % 7), value=number)
        """,
    )
    assert project.run("load", app="jobs").returncode == 0
    for kill in range(4):
        worker = project.start("worker", app="jobs")
        worker.wait_for("did", 1 + 1500 * (kill + round_))
        worker.stop(signal.SIGKILL)
    worker = project.start("worker", app="jobs")
    worker.wait_for("ready")
    expected = {str(rest): sum(range(rest, 20_000, 7)) for rest in range(7)}
    deadline = time.monotonic() + 60
    while True:
        time.sleep(0.3)
        before = len(worker.lines)
        time.sleep(0.3)
        if len(worker.lines) == before or time.monotonic() > deadline:
            break
    assert worker.stop() == 0
    assert counts(project) == expected


def test_quiet_prints_nothing(project: Any) -> None:
    jobs(project, "one")
    worker = project.start("--quiet", "worker", app="jobs")
    worker.wait_for("ends one")
    assert worker.stop() == 0
    assert worker.output == "begins one\nends one\n"


def test_logs_go_to_a_file(project: Any) -> None:
    jobs(project, "raise", "after")
    worker = project.start("worker", "--logfile", "worker.log", "--loglevel", "info", app="jobs")
    worker.wait_for("ends after")
    assert worker.stop() == 0
    assert "no such job" not in worker.output
    text = (project.directory / "worker.log").read_text()
    assert "LookupError: no such job" in text
    assert "jobs[0]@0" in text


def test_a_fatal_error_is_in_the_log_file_too(project: Any) -> None:
    jobs(project, "raise", program=PROGRAM.replace('bl.App("jobs"', 'bl.App("jobs", on_error="fail"'))
    worker = project.start("worker", "--logfile", "worker.log", app="jobs")
    assert worker.end() == 1
    assert "LookupError: no such job" in worker.output
    assert "LookupError: no such job" in (project.directory / "worker.log").read_text()


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_terminal_sees_a_box_and_colours_unless_it_does_not_want_them(project: Any, no_colour: str) -> None:
    seen = on_terminal(project, {"TERM": "xterm-256color", "NO_COLOR": no_colour})
    assert "╭" in seen
    assert ("\x1b[36m" in seen) == (not no_colour)
    assert "stopped" in seen


def on_terminal(project: Any, environment: dict[str, str]) -> str:
    """Run a worker on a terminal, press Ctrl-C when it is ready, and return what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.arguments("worker"),
        cwd=project.directory,
        env={**project.environment, **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    seen = b""
    pressed = False
    # Reading fails, or returns nothing, when the last process has let go of the terminal.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65_536):
            seen += part
            if b"ready" in seen and not pressed:
                os.write(ours, b"\x03")
                pressed = True
    os.close(ours)
    assert process.wait(60) == 0
    return seen.decode()


def take_terminal() -> None:
    """Make the standard input the terminal whose Ctrl-C reaches this process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_options_of_the_web_server_are_taken_with_a_note(project: Any) -> None:
    worker = project.start("worker", "--web-port", "7000")
    worker.wait_for("ready")
    assert worker.stop() == 0
    assert "no web server" in worker.output
    silent = project.start("worker", "--without-web")
    silent.wait_for("ready")
    assert silent.stop() == 0
    assert "note" not in silent.output


def test_settings_without_effect_are_named_in_the_banner(project: Any) -> None:
    project.environment["BROKER_SESSION_TIMEOUT"] = "30"
    worker = project.start("worker")
    worker.wait_for("ready")
    assert worker.stop() == 0
    assert "broker_session_timeout" in worker.output


def test_a_blocking_handler_is_reported_with_its_line(project: Any) -> None:
    jobs(project, "block 1.5", deadline=30)
    worker = project.start("worker", "--blocking-timeout", "0.2", app="jobs")
    worker.wait_for("ends block")
    assert worker.stop() == 0
    assert "blocked for more than 0.2 s" in worker.output
    assert "time.sleep(float(seconds))" in worker.output


def test_debug_reports_slow_handlers(project: Any) -> None:
    jobs(project, "block 0.3")
    worker = project.start("--debug", "worker", app="jobs")
    worker.wait_for("ends block")
    assert worker.stop() == 0
    assert "took 0.3" in worker.output


def test_stacks_are_dumped_on_request(project: Any) -> None:
    jobs(project, "block 1")
    worker = project.start("worker", app="jobs")
    worker.wait_for("begins block 1")
    worker.give(signal.SIGUSR1)
    worker.wait_for("jobs.py")
    worker.wait_for("ends block 1")
    assert worker.stop() == 0


def test_a_worker_can_be_run_by_a_program(project: Any) -> None:
    jobs(
        project,
        "one",
        program=PROGRAM
        + """
from beltline import Worker

async def main():
    worker = Worker(app, quiet=True)
    running = asyncio.ensure_future(worker.start())
    while not app.has_session or not done.shards() or not done.items_in():
        await asyncio.sleep(0.01)
    worker.request_stop()
    await running
    print("came back", flush=True)

if __name__ == "__main__":
    asyncio.run(main())
""",
    )
    run = project.run_python("jobs.py")
    assert run.returncode == 0, run.stderr
    assert "came back" in run.stdout
    assert counts(project) == {"one": 1}
