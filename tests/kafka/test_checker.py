"""The checks of the Kafka tests can fail: each of them is shown what it has to find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from checker import check_copied, check_partitions, check_sequences, check_totals, last_values, murmur2, word_totals

GOOD = [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]
SENT = {"a": 3, "b": 2}
LOOSE: dict[str, Any] = {"exactly_once": False, "disturbances": 1, "window": 2}


@dataclass
class Lying:
    """A record in a topic."""

    key: bytes | None
    value: bytes | None = b""
    partition: int = 0


def test_what_is_right_passes() -> None:
    for options in ({"exactly_once": True}, {"exactly_once": False}, LOOSE):
        found = check_sequences(GOOD, SENT, **options)
        assert (found.highest, found.repeated) == (SENT, 0)


@pytest.mark.parametrize("options", [{"exactly_once": True}, LOOSE])
@pytest.mark.parametrize(
    ("came", "says"),
    [
        ([("a", 1), ("a", 3), ("b", 1), ("b", 2)], "step 2 of a was skipped"),
        ([("a", 1), ("a", 3), ("a", 2), ("b", 1), ("b", 2)], "step 2 of a came after step 3"),
        ([("a", 2), ("a", 1), ("a", 3), ("b", 1), ("b", 2)], "step 1 of a came after step 2"),
        ([("a", 1), ("a", 2), ("b", 1), ("b", 2)], "steps 3 to 3 of a did not come out"),
        ([("a", 1), ("a", 2), ("a", 3)], "steps 1 to 2 of b did not come out"),
        ([*GOOD, ("a", 4)], "steps 4 to 4 of a were never sent"),
        ([*GOOD, ("c", 1)], "steps 1 to 1 of c were never sent"),
        ([*GOOD, ("a", 0)], "step 0 of a was never sent"),
        ([], "did not come out"),
    ],
)
def test_what_must_never_be(options: dict[str, Any], came: list[tuple[str, int]], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_sequences(came, SENT, **options)


@pytest.mark.parametrize(
    ("came", "says"),
    [
        ([*GOOD, ("a", 3)], r"a: 4 steps came of 3; from place 3 on \[3\], where \[\] went in"),
        (GOOD[:-1], r"b: 1 steps came of 2; from place 1 on \[\], where \[2\] went in"),
        ([("b", 1), ("a", 2), ("a", 1), ("a", 3), ("b", 2)], r"a: 3 steps came of 3; from place 0 on \[2, 1, 3\]"),
    ],
)
def test_what_is_no_copy(came: list[tuple[str, int]], says: str) -> None:
    check_copied([("b", 1), *GOOD[:1], *GOOD[2:]], GOOD)
    with pytest.raises(AssertionError, match=says):
        check_copied(came, GOOD)


def test_what_went_in_twice_must_come_out_twice() -> None:
    check_copied([*GOOD, ("a", 3)], [*GOOD, ("a", 3)])


def test_a_doubled_step() -> None:
    came = [*GOOD, ("a", 3)]
    with pytest.raises(AssertionError, match="1 steps came again, the furthest 1 back; exactly_once allows none"):
        check_sequences(came, SENT, exactly_once=True, disturbances=9, window=9)
    with pytest.raises(AssertionError, match="nobody was disturbed"):
        check_sequences(came, SENT, exactly_once=False, window=9)
    assert check_sequences(came, SENT, **LOOSE).repeated == 1


def test_a_step_from_before_the_last_commit() -> None:
    with pytest.raises(AssertionError, match="a step came again from 3 back"):
        check_sequences([*GOOD, ("a", 1)], SENT, **LOOSE)
    assert check_sequences([*GOOD, ("a", 2)], SENT, **LOOSE).deepest == 2


def test_a_repetition_from_two_workers_is_no_gap() -> None:
    came = [("a", 1), ("a", 2), ("a", 1), ("a", 3), ("b", 1), ("b", 2)]
    assert check_sequences(came, SENT, **LOOSE).faults == []


def test_a_gap_that_a_repetition_would_hide() -> None:
    came = [("a", 1), ("a", 1), ("a", 3), ("b", 1), ("b", 2)]
    with pytest.raises(AssertionError, match="step 2 of a was skipped"):
        check_sequences(came, SENT, **LOOSE)


def test_many_faults_are_not_all_told() -> None:
    with pytest.raises(AssertionError, match="and 95 more"):
        check_sequences([("a", 101)], {"a": 101}, exactly_once=True)


@pytest.mark.parametrize(
    ("found", "says"),
    [({"a": 1}, "'b' is missing"), ({"a": 1, "b": 3}, "'b' is 3, 2 expected"), ({"a": 1, "b": 2, "c": 0}, "'c' is 0")],
)
def test_totals_that_differ(found: dict[str, int], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_totals(found, {"a": 1, "b": 2})


def test_checks_of_nothing_fail() -> None:
    with pytest.raises(AssertionError, match="nothing was expected"):
        check_totals({}, {})
    with pytest.raises(AssertionError, match="no record has a key"):
        check_partitions([Lying(None)], 4)


def test_words_and_changelogs_are_folded() -> None:
    assert word_totals(["a b", "b"]) == {"a": 1, "b": 2}
    records = [Lying(b'"a"', b"1"), Lying(b'"b"', b"2"), Lying(b'"a"', b"3"), Lying(b'"b"', None)]
    assert last_values(records) == {"a": 3}


def test_the_hash_is_that_of_java() -> None:
    assert murmur2(b"the") == 3404073679
    # Of Kafka's own documentation of its client: UtilsTest gives these with their signs.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: murmur2(key) - (1 << 32) for key in known} == known


def test_a_key_in_the_wrong_partition() -> None:
    right = (murmur2(b"the") & 0x7FFFFFFF) % 4
    assert check_partitions([Lying(b"the", partition=right)], 4) == 1
    with pytest.raises(AssertionError, match=f"not in {right}"):
        check_partitions([Lying(b"the", partition=(right + 1) % 4)], 4)
