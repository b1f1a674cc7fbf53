"""The broker's jars, fetched with Maven the first time and kept in `.cache/kafka`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = HERE.parents[1] / ".cache" / "kafka"
POM: Final = HERE / "pom.xml"

#: Fetching 43 MB takes seconds; a mirror may be slow.
FETCH_TIMEOUT_S: Final = 600


class BrokerError(RuntimeError):
    """The broker cannot be had; says what is missing and how to get it."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def program(name: str) -> str:
    """Return the path of a program that the broker needs.

    Raises:
        BrokerError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise BrokerError(
            f"{name} is not installed; a Kafka broker for tests needs Java 17, Maven and openssl "
            "(Debian: apt-get install openjdk-17-jdk-headless maven openssl)"
        )
    return found


def class_path() -> str:
    """Return the class path of the broker, fetching the jars when the cache has none of this version.

    Raises:
        BrokerError: Maven is missing or cannot fetch them.
    """
    folder = CACHE / f"jars-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        with locked(CACHE / "fetch.lock"):
            if not folder.exists():
                fetch(folder)
    return f"{folder}/*"


def fetch(folder: Path) -> None:
    """Fetch the jars; the folder appears only when all of them are there."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [program("mvn"), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={part}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S)
    if done.returncode or not any(part.glob("kafka_*.jar")):
        raise BrokerError(f"Maven could not fetch the broker (its mirror may be down):\n{done.stdout[-3000:]}")
    os.replace(part, folder)
