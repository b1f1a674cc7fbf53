"""`beltline broker` in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from kafka_clients import Clients

__all__ = ["PATIENCE_S", "Clients", "Endpoint"]

#: What is not there by then does not come.
PATIENCE_S = 60.0

PROGRAM = """
import beltline

app = beltline.App("hold", topic_partitions=2)
"""


class Endpoint:
    """A broker process on a data directory.

    Args:
        directory: Where the program and its data lie.
        settings: Of the program.
    """

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.address = ""
        self.process: subprocess.Popen[str] | None = None
        (directory / "hold.py").write_text(PROGRAM, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BELTLINE_", "FAUST_"))}
        given = {f"BELTLINE_{name.upper()}": str(value) for name, value in settings.items()}
        self.environment = kept | given

    def command(self, port: int) -> list[str]:
        """Return what starts the process."""
        return [sys.executable, "-m", "beltline", "-A", "hold", "broker", "--port", str(port)]

    def refused(self, port: int = 0) -> str:
        """Start the process, which is to end at once, and return what it says."""
        done = subprocess.run(
            self.command(port),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def start(self, port: int = 0) -> None:
        """Start the process and wait until it listens."""
        self.process = subprocess.Popen(
            self.command(port),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        watch = threading.Timer(PATIENCE_S, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        found = re.search(r"kafka endpoint (\S+)", line)
        assert found is not None, line
        self.address = found[1]

    def kill(self) -> None:
        """End the process as a power switch would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    def restart(self) -> None:
        """Kill the process and start it again on the same port."""
        self.kill()
        self.start(int(self.address.rpartition(":")[2]))

    def clients(self) -> Clients:
        """Return a witness."""
        return Clients(self.address)

    def options(self, **more: Any) -> dict[str, Any]:
        """Return options of a librdkafka client."""
        named = {name.replace("_", "."): value for name, value in more.items()}
        return {"bootstrap.servers": self.address, "log_level": 2, **named}
