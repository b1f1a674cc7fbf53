"""Kafka Streams from Maven and the job for it, compiled; kept in `.cache/kafka-streams`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent / "jobs" / "streams"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kafka-streams"
MAIN = "StreamsJob"

#: A mirror may be slow.
BUILD_TIMEOUT_S = 300


class NotBuiltError(RuntimeError):
    """Kafka Streams cannot be had here; says why."""


def command() -> list[str]:
    """Return what starts the job, building it the first time.

    Raises:
        NotBuiltError: Java, its compiler or Maven is missing, or Maven cannot fetch the jars.
    """
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            raise NotBuiltError(f"{program} is not installed")
    sources = [HERE / "pom.xml", HERE / f"{MAIN}.java"]
    name = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]
    folder = CACHE / name
    if not folder.exists():
        build(folder)
    return ["java", "-Xmx1g", "-cp", f"{folder}/*:{folder}", MAIN]


def build(folder: Path) -> None:
    """Fetch and compile; the folder appears only when all of it is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix="part-", dir=CACHE))
    try:
        fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        run([*fetch, f"-DoutputDirectory={part}"])
        run(["javac", "-cp", f"{part}/*", "-d", str(part), str(HERE / f"{MAIN}.java")])
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def run(words: list[str]) -> None:
    """Run a step of the build."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    if done.returncode:
        raise NotBuiltError(f"{words[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
