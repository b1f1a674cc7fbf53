"""Says whether what came out is what must come out. `test_checker.py` proves that each of these can fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: So many of a kind of fault are told.
MAX_TOLD: Final = 5


@dataclass
class Sequences:
    """Numbered steps as they came out, key by key.

    Steps of a key are numbered from 1. Going on is by one; coming again is a repetition; going on by more than one is
    a gap, which is a skipped step when it never comes, and one out of order when it comes later.

    Attributes:
        highest: The highest step of each key.
        faults: What must never be, in words.
        repeated: How many came again.
        deepest: How far back the furthest of them went: 1 is the last step again.
    """

    highest: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    repeated: int = 0
    deepest: int = 0
    _missing: dict[str, set[int]] = field(default_factory=dict, repr=False)

    def take(self, key: str, n: int, where: object = "") -> None:
        """Take the next one that came out."""
        last = self.highest.get(key, 0)
        missing = self._missing.setdefault(key, set())
        if n == last + 1:
            self.highest[key] = n
        elif n > last:
            missing |= set(range(last + 1, n))
            self.highest[key] = n
        elif n in missing:
            missing.discard(n)
            self.faults.append(f"step {n} of {key} came after step {last} {where}")
        elif n < 1:
            self.faults.append(f"step {n} of {key} was never sent {where}")
        else:
            self.repeated += 1
            self.deepest = max(self.deepest, last - n + 1)

    def ended(self, sent: Mapping[str, int]) -> None:
        """Compare with what was sent: the last step of each key."""
        for key, missing in self._missing.items():
            self.faults += [f"step {n} of {key} was skipped" for n in sorted(missing)]
        for key, last in sent.items():
            highest = self.highest.get(key, 0)
            if highest < last:
                self.faults.append(f"steps {highest + 1} to {last} of {key} did not come out")
        for key, highest in self.highest.items():
            if highest > sent.get(key, 0):
                self.faults.append(f"steps {sent.get(key, 0) + 1} to {highest} of {key} were never sent")


def check_sequences(
    came: Iterable[tuple[str, int]],
    sent: Mapping[str, int],
    *,
    exactly_once: bool,
    disturbances: int = 0,
    window: int = 0,
) -> Sequences:
    """Check numbered steps.

    Args:
        came: Key and number in the order of each partition.
        sent: The last number sent of each key.
        exactly_once: Nothing may come again.
        disturbances: How often a worker was killed, paused or made to hand over. Without one nothing comes again.
        window: How many steps of one key a worker may have done since its last commit: nothing older comes again.

    Returns:
        What was seen.

    Raises:
        AssertionError: With the first faults.
    """
    found = Sequences()
    for key, n in came:
        found.take(key, n)
    found.ended(sent)
    faults = [*found.faults]
    if exactly_once and found.repeated:
        faults.append(f"{found.repeated} steps came again, the furthest {found.deepest} back; exactly_once allows none")
    elif found.repeated and not disturbances:
        faults.append(f"{found.repeated} steps came again although nobody was disturbed")
    elif found.deepest > window and not exactly_once:
        faults.append(f"a step came again from {found.deepest} back; what was committed at most {window} back was not")
    assert_none(faults)
    assert found.highest or not sent, "nothing came out, so nothing was checked"
    return found


def check_copied(came: Iterable[tuple[str, int]], given: Iterable[tuple[str, int]]) -> None:
    """Check that of each key what came out is what went in, once each and in its order.

    Raises:
        AssertionError: With the first difference of the first keys.
    """
    out, into = by_key(came), by_key(given)
    faults = []
    for key in sorted(out.keys() | into.keys()):
        found, expected = out.get(key, []), into.get(key, [])
        if found != expected:
            at = next((at for at, n in enumerate(found) if [n] != expected[at : at + 1]), len(found))
            faults.append(
                f"{key}: {len(found)} steps came of {len(expected)}; from place {at} on {found[at : at + 3]}, "
                f"where {expected[at : at + 3]} went in"
            )
    assert_none(faults)
    assert into, "nothing went in, so nothing was checked"


def by_key(steps: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the numbers of each key, in order."""
    found: dict[str, list[int]] = {}
    for key, n in steps:
        found.setdefault(key, []).append(n)
    return found


def check_totals(found: Mapping[Any, Any], expected: Mapping[Any, Any], what: str = "totals") -> None:
    """Check that two tables are equal.

    Raises:
        AssertionError: With the first differences.
    """
    faults = [f"{key!r} is missing, {expected[key]!r} expected" for key in expected if key not in found]
    faults += [f"{key!r} is {found[key]!r}, nothing expected" for key in found if key not in expected]
    faults += [
        f"{key!r} is {found[key]!r}, {value!r} expected"
        for key, value in expected.items()
        if key in found and found[key] != value
    ]
    assert_none([f"{what}: {fault}" for fault in faults])
    assert expected, f"{what}: nothing was expected, so nothing was checked"


def assert_none(faults: list[str]) -> None:
    """Fail with the first of the faults."""
    if faults:
        more = f"\nand {len(faults) - MAX_TOLD} more" if len(faults) > MAX_TOLD else ""
        raise AssertionError("\n".join(faults[:MAX_TOLD]) + more)


def word_totals(lines: Iterable[str]) -> dict[str, int]:
    """Count the words of lines: what the tables must hold."""
    return dict(Counter(word for line in lines for word in line.split()))


def last_values(records: Iterable[Any]) -> dict[Any, Any]:
    """Return what a changelog of JSON keys and values says: the last value of each key, without deleted ones."""
    found: dict[Any, Any] = {}
    for record in records:
        key = json.loads(record.key)
        if record.value is None:
            found.pop(key, None)
        else:
            found[key] = json.loads(record.value)
    return found


def murmur2(key: bytes) -> int:
    """Return Kafka's hash of a key, as Java's client has it, without its sign."""
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    hashed = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        part = int.from_bytes(key[at : at + 4], "little") * multiplier & mask
        part = (part ^ part >> 24) * multiplier & mask
        hashed = (hashed * multiplier & mask) ^ part
    rest = key[whole:]
    if rest:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15


def check_partitions(records: Iterable[Any], partitions: int) -> int:
    """Check that each key lies where Java's partitioner puts it; returns how many were looked at."""
    seen, faults = 0, []
    for record in records:
        if record.key is not None:
            seen += 1
            expected = (murmur2(record.key) & 0x7FFFFFFF) % partitions
            if record.partition != expected:
                faults.append(f"key {record.key!r} lies in partition {record.partition}, not in {expected}")
    assert_none(faults)
    assert seen, "no record has a key, so nothing was checked"
    return seen
