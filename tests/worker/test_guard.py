"""The guard ends a process in time, whatever its main thread does."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from beltline._native import LastResort

PROGRAM = """
import os, sys, threading, time
from beltline.worker.guard import ShutdownGuard

stop = threading.Event()
with ShutdownGuard({deadline}, stop.set) as guard:
    print("armed", flush=True)
    {body}
print("left", guard.reason, flush=True)
"""


def start(project: Any, body: str, deadline: float = 1.0) -> Any:
    child = project.start_python("-c", PROGRAM.format(deadline=deadline, body=body))
    child.wait_for("armed")
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop(project: Any, number: signal.Signals) -> None:
    child = start(project, "stop.wait(60)", deadline=30)
    assert child.stop(number) == 0
    assert f"left {number.name}" in child.output


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(600)",
        "import re; [time.sleep(0) for _ in iter(int, 1)]",
        "threading.Lock().acquire() and (lock := threading.Lock()).acquire() and lock.acquire()",
        "import subprocess; subprocess.run(['sleep', '5'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
    ],
    ids=["sleep", "loop", "lock", "subprocess"],
)
def test_a_main_thread_that_never_comes_back_is_ended_at_the_deadline(project: Any, body: str) -> None:
    child = start(project, body)
    began = time.monotonic()
    assert child.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began >= 0.9
    assert "Still busy 1 s after SIGTERM" in child.output
    assert "The main thread is here" in child.output
    assert "left" not in child.output


#: Waits in C code for a lock it has itself, and keeps the interpreter lock, so that no other thread of Python runs.
HELD = """
    import ctypes
    mutex, take = ctypes.create_string_buffer(64), ctypes.PyDLL(None).pthread_mutex_lock
    take(mutex), take(mutex)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_code_that_keeps_the_interpreter_lock_is_ended_at_the_deadline(project: Any, number: signal.Signals) -> None:
    child = start(project, HELD.strip())
    began = time.monotonic()
    assert child.stop(number) == 0
    assert time.monotonic() - began >= 0.9
    assert "lets no other thread of Python run" in child.output


def test_the_second_ctrl_c_quits_code_that_keeps_the_interpreter_lock(project: Any) -> None:
    child = start(project, HELD.strip(), deadline=600)
    child.give(signal.SIGINT)
    time.sleep(0.1)
    assert child.stop(signal.SIGINT) == 130


def test_a_deadline_must_be_one() -> None:
    with pytest.raises(ValueError, match="a deadline of -1 s"):
        LastResort(-1)


def test_the_second_ctrl_c_quits_at_once(project: Any) -> None:
    child = start(project, "time.sleep(600)", deadline=600)
    child.give(signal.SIGINT)
    time.sleep(0.1)
    assert child.stop(signal.SIGINT) == 130
    assert "Stopped at once" in child.output


def test_a_second_sigterm_does_not_hurry(project: Any) -> None:
    child = start(project, "stop.wait(60) and time.sleep(0.3)", deadline=30)
    child.give(signal.SIGTERM)
    time.sleep(0.1)
    assert child.stop(signal.SIGTERM) == 0
    assert "left SIGTERM" in child.output


def test_notices_signals_when_other_code_took_the_wake_up_descriptor(project: Any) -> None:
    child = start(project, "import signal; signal.set_wakeup_fd(-1); stop.wait(60)", deadline=30)
    assert child.stop(signal.SIGTERM) == 0
    assert "left SIGTERM" in child.output


def test_an_error_sets_a_deadline_too(project: Any) -> None:
    child = start(project, 'guard.begin("an error", 7); time.sleep(600)')
    assert child.end() == 7
    assert "after an error" in child.output


def test_a_thread_that_stays_is_not_waited_for_longer_than_the_deadline(project: Any) -> None:
    body = "threading.Thread(target=time.sleep, args=(600,)).start(); stop.wait(60)"
    child = start(project, body)
    assert child.stop(signal.SIGTERM) == 0
    assert "left SIGTERM" in child.output
    assert "Still busy" in child.output


def test_leaves_the_signals_as_they_were(project: Any) -> None:
    run = project.run_python(
        "-c",
        "import signal\n"
        "from beltline.worker.guard import ShutdownGuard\n"
        "before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        "with ShutdownGuard(1, lambda: None): pass\n"
        "assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))\n"
        "assert signal.set_wakeup_fd(-1) == -1\n",
    )
    assert run.returncode == 0, run.stderr
