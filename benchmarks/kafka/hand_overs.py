"""How long partitions stand still when a worker joins, leaves or is killed. Published, without a bar."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hand_over
from contenders import AT_LEAST_ONCE, EXACTLY_ONCE
from findings import Findings
from ground import Ground, cores, pinned, say
from kafka_clients import Clients
from workers import Workers

#: After so long the brokers take a worker that says nothing for dead.
SESSION_S = 6.0


def measure(ground: Ground, findings: Findings) -> None:
    """Let two workers be joined, left and killed, and tell how long keys had no output."""
    rows = []
    _, core = cores()
    for guarantee in (AT_LEAST_ONCE, EXACTLY_ONCE):
        say(f"workers join, leave and are killed, {guarantee} (less than a minute)")
        with pinned(core), tempfile.TemporaryDirectory(prefix="beltline-hand-over-") as folder:
            kafka = Clients(ground.servers)
            with Workers(ground.cluster.description.url, Path(folder)) as workers:
                found = hand_over.measure(workers, kafka, SESSION_S, guarantee)
        rows += [[f"{deed}, {guarantee}", *map(longest, silences)] for deed, silences in found.items()]
    findings.table(
        f"Longest time in seconds between two outputs of a key, four partitions with 800 events a second, session "
        f"timeout {SESSION_S:g} s, commits each 100 ms:",
        ("", "keys that moved", "keys that stayed"),
        rows,
    )


def longest(silences: list[float]) -> str:
    """Return the longest one as it is shown."""
    return f"{max(silences):.2f}" if silences else "-"
