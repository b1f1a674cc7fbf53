"""One node with every listener, or several plain ones that can be killed one by one."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .description import LISTENERS, Description
from .jars import BrokerError
from .keys import make_keys
from .node import Node
from .properties import NodePlan

#: Ports are chosen before the brokers take them, so another process may be quicker.
ATTEMPTS: Final = 3

PREFIX: Final = "beltline-kafka-"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in found]


def remove_leftovers() -> None:
    """Remove directories of owners that were killed before they could do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(PREFIX).partition("-")[0])
            try:
                os.kill(owner, 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """Brokers that belong to this process.

    Args:
        nodes: How many; each is broker and controller, so a cluster that can lose one has three.
        secured: Give the node TLS and SASL listeners and rights, see `description.LISTENERS`.
        properties: Broker properties that are to be different.
        java_options: Further options of Java, after the heap of 512 MB.

    Example:
        with Cluster(nodes=3) as cluster:
            cluster.nodes[0].kill()
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        secured: bool = False,
        properties: dict[str, str] | None = None,
        java_options: tuple[str, ...] = (),
    ) -> None:
        self.count = nodes
        self.secured = secured
        self.properties = dict(properties or {})
        self.java_options = java_options
        self.nodes: list[Node] = []
        self.folder: Path | None = None

    def start(self) -> Self:
        """Format and start all nodes and wait until each of them knows all others.

        Raises:
            BrokerError: That does not work; with the end of the broker's log.
        """
        remove_leftovers()
        atexit.register(self.close)
        for attempt in range(ATTEMPTS):
            self._plan()
            try:
                for node in self.nodes:
                    node.format()
                for node in self.nodes:
                    node.start()
                self.wait_ready()
            except BrokerError as error:
                self.close()
                if "Address already in use" not in str(error) or attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        return self

    def wait_ready(self) -> None:
        """Return when every running node sees all running nodes."""
        running = [node for node in self.nodes if node.is_running]
        for node in running:
            node.wait_ready(len(running))

    def is_ready(self) -> bool:
        """Whether every node runs and sees all others, without waiting."""
        return all(node.sees(self.count) for node in self.nodes)

    def close(self) -> None:
        """End all nodes and remove their data. Idempotent."""
        atexit.unregister(self.close)
        for node in self.nodes:
            node.kill()
        self.nodes = []
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    @property
    def description(self) -> Description:
        """How to reach it."""
        first = self.nodes[0].plan
        return Description(
            bootstrap=",".join(node.address for node in self.nodes),
            listeners={name: f"127.0.0.1:{port}" for name, port in first.ports.items() if name != "CONTROLLER"},
            key_folder=str(first.keys.folder) if first.keys is not None else "",
        )

    def _plan(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        keys = make_keys(self.folder / "keys") if self.secured else None
        names = ["CONTROLLER", *(LISTENERS if self.secured else ("PLAINTEXT",))]
        ports = free_ports(len(names) * self.count)
        by_node = [dict(zip(names, ports[i * len(names) :], strict=False)) for i in range(self.count)]
        voters = ",".join(f"{i}@127.0.0.1:{one['CONTROLLER']}" for i, one in enumerate(by_node, start=1))
        self.nodes = [
            Node(
                NodePlan(i, self.folder / f"node-{i}", one, voters, self.count, keys, self.properties),
                self.java_options,
            )
            for i, one in enumerate(by_node, start=1)
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
