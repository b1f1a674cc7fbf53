"""One broker process: started, stopped, killed, paused, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from . import wire
from .description import GUEST, MECHANISMS, PASSWORD, USER
from .jars import HERE, BrokerError, class_path, program
from .properties import NodePlan, server_properties

#: A start takes about three seconds alone, and many when other things use the cores.
START_TIMEOUT_S: Final = 90.0

#: A broker that has not ended so long after SIGTERM is killed.
STOP_TIMEOUT_S: Final = 30.0

LOOK_S: Final = 0.05

#: Of every cluster made here; it only has to be the same on all nodes.
CLUSTER_ID: Final = "YmVsdGxpbmUtdGVzdHMtMQ"

PR_SET_PDEATHSIG: Final = 1
LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Node:
    """A broker on this machine.

    Attributes:
        plan: What it is.
        process: The Java process while there is one.
    """

    def __init__(self, plan: NodePlan, java_options: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self.java_options = java_options
        self.process: subprocess.Popen[bytes] | None = None
        self._is_paused = False

    @property
    def address(self) -> str:
        """``host:port`` of the plain listener."""
        return f"127.0.0.1:{self.plan.ports['PLAINTEXT']}"

    @property
    def is_running(self) -> bool:
        """Whether there is a process; a paused one is."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_file(self) -> Path:
        """What the broker says."""
        return self.plan.folder / "broker.log"

    def format(self) -> None:
        """Write the configuration and prepare the data directory.

        Raises:
            BrokerError: Kafka refused it.
        """
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        file = self.plan.folder / "server.properties"
        file.write_text(server_properties(self.plan))
        command = [*self._java("-Xmx256m", "-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", "format"]
        command += ["-t", CLUSTER_ID, "-c", str(file)]
        if self.plan.keys is not None:
            for mechanism in MECHANISMS:
                if mechanism.startswith("SCRAM"):
                    for name in (USER, GUEST):
                        command += ["--add-scram", f"{mechanism}=[name={name},password={PASSWORD}]"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S)
        if done.returncode:
            raise BrokerError(f"Kafka could not format {self.plan.folder}:\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the process, without waiting until it answers."""
        if self.is_running:
            return
        self._is_paused = False
        file = str(self.plan.folder / "server.properties")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._java("-Xmx512m", *self.java_options), "kafka.Kafka", file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the terminal is for the tests, which then stop it in order.
                process_group=0,
                preexec_fn=die_with_parent,
            )

    def wait_ready(self, nodes: int = 1) -> None:
        """Return when it answers a metadata request that names so many brokers.

        Raises:
            BrokerError: It ended or took too long; with the end of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.is_running:
                raise BrokerError(f"the broker ended at its start:\n{self.log_end()}")
            if self.sees(nodes):
                return
            time.sleep(LOOK_S)
        raise BrokerError(f"the broker did not answer within {START_TIMEOUT_S:g} s:\n{self.log_end()}")

    def sees(self, nodes: int) -> bool:
        """Whether it answers a metadata request that names so many brokers."""
        try:
            return len(wire.brokers(self.plan.ports["PLAINTEXT"])) >= nodes
        except OSError:
            return False

    def stop(self) -> None:
        """End it in order (SIGTERM); kill it when that takes too long. Idempotent."""
        process = self.process
        if process is None:
            return
        self.resume()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        self.process = None

    def kill(self) -> None:
        """End it as a power failure would (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let it hang (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        self._is_paused = True

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT)."""
        if self._is_paused and self.is_running:
            self._signal(signal.SIGCONT)
        self._is_paused = False

    def log_end(self, size: int = 3000) -> str:
        """Return the end of what the broker said."""
        return self.log_file.read_text(errors="replace")[-size:] if self.log_file.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None:
            raise BrokerError(f"node {self.plan.node_id} does not run")
        os.kill(self.process.pid, number)

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        return [program("java"), *options, logging, "-cp", class_path()]

    def __repr__(self) -> str:
        state = "paused" if self._is_paused else "running" if self.is_running else "down"
        return f"<Node {self.plan.node_id} at {self.address}: {state}>"
