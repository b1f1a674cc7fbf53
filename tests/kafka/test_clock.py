"""Clocks that jump, of workers and of those who write what they read."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from checker import check_totals, last_values, word_totals
from kafka_clients import Clients, until
from test_words import changelog, some_lines, wait_until_done, write
from workers import Workers

Names = Callable[[str], str]

HOUR_S, DAY_S = 3600, 86_400


class WallClock:
    """The wall clock of a worker, to be moved while it runs."""

    def __init__(self, folder: Path) -> None:
        self.library, self.file = folder / "clock_jump.so", folder / "jump"
        source = Path(__file__).with_name("clock_jump.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True)
        self.file.write_bytes(bytes(8))

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a worker that goes by it."""
        return {"LD_PRELOAD": str(self.library), "CLOCK_JUMP": str(self.file)}

    def jump_to(self, seconds: int) -> None:
        """Show so much more than the real time, from now on."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Return a clock that shows the time as it is."""
    return WallClock(tmp_path)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_worker_whose_clock_jumps_goes_on(
    workers: Workers, kafka: Clients, names: Names, clock: WallClock, guarantee: str
) -> None:
    app, lines = names("app"), some_lines(240)
    write(kafka, app, lines[:80])
    settings = {"APP_ID": app, "PROCESSING_GUARANTEE": guarantee, **clock.variables}
    worker = workers.start("words", **settings).wait_ready()
    wait_until_done(kafka, app, word_totals(lines[:80]))
    for count, jump in ((160, -2 * DAY_S), (240, HOUR_S // 2)):
        clock.jump_to(jump)
        write(kafka, app, lines[count - 80 : count])
        wait_until_done(kafka, app, word_totals(lines[:count]))
    written = [record.timestamp_ms / 1000 - time.time() for record in kafka.read(f"{app}-counted")]
    assert min(written) < -DAY_S, "the jump was not seen"
    assert max(written) > HOUR_S / 4, "the second jump was not seen"
    assert "lost to the group" not in worker.output
    assert "stalled" not in worker.output
    assert worker.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), word_totals(lines))


def test_a_clock_that_the_brokers_do_not_believe_is_named(
    workers: Workers, kafka: Clients, names: Names, clock: WallClock
) -> None:
    app = names("app")
    write(kafka, app, ["the belt"])
    # Brokers take records from up to an hour ahead (message.timestamp.after.max.ms).
    clock.jump_to(2 * DAY_S)
    worker = workers.start("words", APP_ID=app, **clock.variables)
    assert worker.end() != 0
    assert "clock of this machine" in worker.output
    assert f"writing to {app}-words" in worker.output
    assert "Traceback" not in worker.output
    clock.jump_to(0)
    again = workers.start("words", APP_ID=app, **clock.variables).wait_ready()
    wait_until_done(kafka, app, {"the": 1, "belt": 1})
    assert again.stop() == 0


def test_timestamps_of_any_year_come_through_in_order(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-out")
    years = [2, 4_000_000_000_000, 1, 1_600_000_000_000]
    for topic in (f"{app}-in", f"{app}-out"):
        kafka.configure(topic, message_timestamp_after_max_ms=str(2**62))
    kafka.produce_at(f"{app}-in", years)
    worker = workers.start("copies", APP_ID=app).wait_ready()
    until(lambda: len(kafka.read(f"{app}-out")) == len(years), "the records to be copied")
    assert [record.timestamp_ms for record in kafka.read(f"{app}-out")] == years
    assert worker.stop() == 0
