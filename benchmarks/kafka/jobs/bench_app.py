"""The app of beltline's jobs: on the broker of the run, with a data directory that is new each time."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import beltline as bl


def make_app(name: str, **settings: Any) -> bl.App:
    """Make an app; `settings` are those that the jobs do not share."""
    return bl.App(
        name,
        broker=f"kafka://{os.environ['BELTLINE_TEST_KAFKA']}",
        datadir=tempfile.mkdtemp(prefix="beltline-bench-"),
        topic_partitions=4,
        topic_replication_factor=1,
        **settings,
    )
