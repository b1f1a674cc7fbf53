"""Word count as a user would write it: repartition topic, table, output; on disk, lost, and on two workers."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable

import pytest
from checker import check_partitions, check_totals, last_values, word_totals
from kafka_clients import Clients, until
from workers import Workers

Names = Callable[[str], str]

PARTITIONS = 4


def some_lines(count: int, seed: int = 1) -> list[str]:
    """Return lines of words, some of which are frequent and some not ASCII."""
    words = ["belt", "the", "über", "снег", "a b".replace(" ", "_"), *(f"w{number}" for number in range(60))]
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(words, k=chosen.randint(1, 8))) for _ in range(count)]


def create(kafka: Clients, app: str) -> None:
    """Create the topics that are the app's only by name, which Faust does not create."""
    wanted = [f"{app}-{name}" for name in ("lines", "words", "counted")]
    if wanted[0] not in kafka.topics():
        kafka.create(*wanted, partitions=PARTITIONS)


def write(kafka: Clients, app: str, lines: list[str]) -> None:
    """Put lines on the app's topic, as JSON texts."""
    create(kafka, app)
    kafka.produce(f"{app}-lines", [(None, json.dumps(line).encode()) for line in lines])


def changelog(app: str) -> str:
    """Return the name that Faust gives the table's changelog."""
    return f"{app}-counts-changelog"


def wait_until_done(kafka: Clients, app: str, expected: dict[str, int]) -> None:
    """Return when every word is counted."""
    total = sum(expected.values())
    name = changelog(app)
    until(
        lambda: name in kafka.topics() and sum(last_values(kafka.read(name)).values()) >= total,
        f"{total} words counted",
    )


def test_counts_equal_a_plain_loop(workers: Workers, kafka: Clients, names: Names) -> None:
    app, lines = names("app"), some_lines(500)
    expected = word_totals(lines)
    write(kafka, app, lines)
    worker = workers.start("words", APP_ID=app).wait_ready()
    wait_until_done(kafka, app, expected)
    assert worker.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), expected)
    counted = kafka.read(f"{app}-counted")
    assert len(counted) == sum(expected.values())
    check_partitions(counted, PARTITIONS)
    assert kafka.lag(app, f"{app}-lines") == kafka.lag(app, f"{app}-words") == 0


def test_topics_are_those_of_faust(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    write(kafka, app, ["the belt"])
    worker = workers.start("words", APP_ID=app, TOPIC_REPLICATION_FACTOR=1).wait_ready()
    wait_until_done(kafka, app, {"the": 1, "belt": 1})
    assert worker.stop() == 0
    own = {name for name in kafka.topics() if app in name}
    assert {changelog(app), f"count-{app}-words-Word.word-repartition"} <= own
    assert not any("leader" in name for name in own)
    assert {kafka.partitions(name) for name in own} == {PARTITIONS}
    assert kafka.config(changelog(app))["cleanup.policy"] == "compact"
    bytes_of = {(record.key, record.value) for record in kafka.read(changelog(app))}
    assert bytes_of == {(b'"the"', b"1"), (b'"belt"', b"1")}


@pytest.mark.parametrize("keeps_data", [True, False])
def test_a_later_worker_goes_on(workers: Workers, kafka: Clients, names: Names, keeps_data: bool) -> None:
    app, lines = names("app"), some_lines(300)
    write(kafka, app, lines[:150])
    first = workers.start("words", "one", APP_ID=app).wait_ready()
    wait_until_done(kafka, app, word_totals(lines[:150]))
    first.kill()
    if not keeps_data:
        shutil.rmtree(first.directory)
    write(kafka, app, lines[150:])
    second = workers.start("words", "one", APP_ID=app).wait_ready()
    wait_until_done(kafka, app, word_totals(lines))
    assert second.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), word_totals(lines))


def test_two_workers_share_the_words(workers: Workers, kafka: Clients, names: Names) -> None:
    app, lines = names("app"), some_lines(600)
    write(kafka, app, lines[:200])
    several = [workers.start("words", "one", APP_ID=app).wait_ready()]
    write(kafka, app, lines[200:400])
    several.append(workers.start("words", "two", APP_ID=app).wait_ready())
    write(kafka, app, lines[400:])
    wait_until_done(kafka, app, word_totals(lines))
    for worker in several:
        assert worker.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), word_totals(lines))


def test_a_worker_without_the_right_to_create_names_what_is_missing(
    workers: Workers, kafka: Clients, names: Names
) -> None:
    app = names("app")
    write(kafka, app, ["the belt"])
    worker = workers.start("words", APP_ID=app, TOPIC_ALLOW_DECLARE="no")
    assert worker.end() != 0
    for name in (changelog(app), f"count-{app}-words-Word.word-repartition"):
        assert f"--create --topic {name} --partitions {PARTITIONS}" in worker.output
    assert f"{app}-lines" not in worker.output
    assert "Traceback" not in worker.output
