"""The one broker of a whole test run: whoever needs it first starts it, and it ends with the run.

Under pytest-xdist the workers come and go, so none of them can own it. A keeper process does; it watches the process
that the run belongs to, and ends the broker when that is gone, however it went.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from .cluster import Cluster
from .description import Description
from .jars import HERE, BrokerError, locked

#: ``host:port`` of the plain listener; Rust tests honour it too.
ADDRESS_VARIABLE: Final = "BELTLINE_TEST_KAFKA"

#: The whole description, as JSON.
DESCRIPTION_VARIABLE: Final = "BELTLINE_TEST_KAFKA_DESCRIPTION"

START_TIMEOUT_S: Final = 180.0
LOOK_S: Final = 0.05


def description(owner: int | None = None) -> Description:
    """Return the broker of this test run, started if nobody has yet.

    Args:
        owner: Number of the process that the run belongs to; None is this one.

    Raises:
        BrokerError: It cannot be started.
    """
    given = os.environ.get(DESCRIPTION_VARIABLE)
    if given:
        return Description.loads(given)
    owner = os.getpid() if owner is None else owner
    file = Path(tempfile.gettempdir()) / f"beltline-kafka-of-{os.getuid()}-{owner}.json"
    with locked(file.with_suffix(".lock")):
        if not file.exists():
            start_keeper(file, owner)
    return export(Description.loads(file.read_text()))


def export(found: Description) -> Description:
    """Tell child processes about it."""
    os.environ[ADDRESS_VARIABLE] = found.bootstrap
    os.environ[DESCRIPTION_VARIABLE] = found.dumps()
    return found


def start_keeper(file: Path, owner: int) -> None:
    """Start the process that owns the broker, and wait until it has written the description."""
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, str(HERE), "keep", str(file), str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not file.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            raise BrokerError(f"the broker for the tests could not be started:\n{log.read_text(errors='replace')}")
        time.sleep(LOOK_S)


def keep(file: Path, owner: int) -> None:
    """Run a secured node until its owner is gone: the keeper's whole life."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Cluster(secured=True) as cluster:
            part = file.with_suffix(".part")
            part.write_text(cluster.description.dumps())
            os.replace(part, file)
            wait_for_end(owner)
    finally:
        for one in (file, file.with_suffix(".lock"), file.with_suffix(".log")):
            one.unlink(missing_ok=True)


def wait_for_end(process_id: int) -> None:
    """Return when a process, which need not be a child, has ended."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process_id)
            select.select([descriptor], [], [])
            os.close(descriptor)
        return
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(process_id, 0)
            time.sleep(0.5)
