"""Who runs which jobs, how they are started, and who cannot be had here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import peers
import streams_build
from ground import HERE, ROOT, say

JOBS = ("map", "produce", "count")

#: Counting only reads, so it goes beside the first job.
RAW_JOBS = {"map": "map", "produce": "produce"}

AT_LEAST_ONCE, EXACTLY_ONCE = "at_least_once", "exactly_once"


@dataclass(frozen=True)
class Contender:
    """A library with one guarantee.

    Attributes:
        name: As it is shown.
        command: What starts it, before the job's name.
        jobs: What it does; by the name it knows the job by.
        size: Which of the topics it reads: one that keeps it busy for seconds.
        rounds: How often it takes part; those without a promise less often.
        guarantee: The word for it on the command line, if it takes one.
        is_needed: Without it the run is worth nothing.
    """

    name: str
    command: Sequence[str]
    jobs: dict[str, str]
    size: str
    rounds: int
    guarantee: Sequence[str] = (AT_LEAST_ONCE,)
    is_needed: bool = False


@dataclass
class LineUp:
    """Who takes part.

    Attributes:
        contenders: In the order in which they take turns.
        missing: Why others do not, by name.
        raw: The program on bare librdkafka, which also checks what the others write.
    """

    contenders: list[Contender]
    missing: dict[str, str]
    raw: str


def line_up(rounds: int, only: Sequence[str] = ()) -> LineUp:
    """Build and install everybody, or those whose name holds one of the words of `only`."""
    raw = [raw_job()]
    own = [sys.executable, str(HERE / "jobs" / "beltline_job.py")]
    loop = [sys.executable, str(HERE / "jobs" / "confluent_job.py")]
    every = {job: job for job in JOBS}
    found = [
        Contender("raw librdkafka, counting", raw, {"map": "read"}, "large", rounds, (), True),
        Contender("raw librdkafka + serde_json", raw, RAW_JOBS, "large", rounds, (), True),
        Contender("hand-written loop", loop, every, "large", rounds, is_needed=True),
        Contender("beltline", own, every, "large", rounds, is_needed=True),
        Contender("beltline exactly_once", own, every, "large", rounds, (EXACTLY_ONCE,), True),
    ]
    missing: dict[str, str] = {}
    try:
        streams = streams_build.command()
    except streams_build.NotBuiltError as error:
        missing["Kafka Streams"] = str(error)
    else:
        found.append(Contender("Kafka Streams, warm", streams, every, "middle", min(rounds, 2)))
        found.append(Contender("Kafka Streams, warm, exactly_once", streams, every, "middle", 1, (EXACTLY_ONCE,)))
    for module, name, job, size in (
        ("bytewax", "bytewax", "bytewax_job.py", "few"),
        ("quixstreams", "quixstreams", "quix_job.py", "few"),
        ("faust", "faust", "faust_job.py", "small"),
    ):
        reason = peers.missing(module)
        if reason is not None:
            missing[name] = reason
            continue
        command = [str(peers.python()), str(HERE / "jobs" / job)]
        found.append(Contender(name, command, every, size, min(rounds, 2) if name == "faust" else 1))
        if name == "quixstreams":
            found.append(Contender("quixstreams exactly_once", command, every, size, 1, (EXACTLY_ONCE,)))
    taking_part = [one for one in found if not only or any(word in one.name for word in only)]
    return LineUp(taking_part, missing, raw[0])


def raw_job() -> str:
    """Return the program on bare librdkafka, built."""
    say("building the program on bare librdkafka (minutes the first time)")
    command = ["cargo", "build", "--quiet", "--release", "--locked"]
    subprocess.run([*command, "--package", "beltline-kafka", "--example", "raw_librdkafka"], check=True, cwd=ROOT)
    return str(ROOT / "target" / "release" / "examples" / "raw_librdkafka")
