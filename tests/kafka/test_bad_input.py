"""What people get wrong, and what brokers refuse: each ends well, or with a sentence that names cause and cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from checker import check_totals, last_values, word_totals
from kafka_broker import Description
from kafka_broker.cluster import free_ports
from kafka_clients import Clients, until
from test_words import changelog, some_lines, wait_until_done, write
from workers import Workers

Names = Callable[[str], str]


def test_brokers_that_cannot_be_reached_are_named(workers: Workers, names: Names) -> None:
    (port,) = free_ports(1)
    worker = workers.start("copies", APP_ID=names("app"), BROKER_URL=f"kafka://127.0.0.1:{port}")
    worker.wait_for(f"127.0.0.1:{port}")
    assert "Traceback" not in worker.output
    worker.stop()


def test_one_of_several_brokers_is_enough(workers: Workers, kafka: Clients, broker: Description, names: Names) -> None:
    app = names("app")
    (port,) = free_ports(1)
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    urls = f"kafka://127.0.0.1:{port};nowhere.invalid:9092;{broker.bootstrap}"
    worker = workers.start("copies", APP_ID=app, BROKER_URL=urls).wait_ready()
    until(lambda: f"{app}-out" in kafka.topics() and len(kafka.read(f"{app}-out")) == 1, "the record to be copied")
    assert worker.stop() == 0


def test_a_record_beyond_the_limit_is_named(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-out")
    kafka.configure(f"{app}-out", max_message_bytes="2000")
    kafka.produce(f"{app}-in", [(b"k", b"x" * 5000), (b"k", b"small")])
    worker = workers.start("copies", APP_ID=app)
    worker.wait_for(f"{app}-out")
    if not worker.is_running:
        assert worker.end() != 0
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_a_position_that_is_gone_is_reset_as_the_setting_says(
    workers: Workers, kafka: Clients, names: Names, reset: str
) -> None:
    app = names("app")
    kafka.create(f"{app}-in")
    kafka.produce(f"{app}-in", [(b"k", b"%d" % n) for n in range(5)])
    first = workers.start("copies", "one", APP_ID=app).wait_ready()
    until(lambda: kafka.lag(app, f"{app}-in") == 0, "the records to be copied")
    assert first.stop() == 0
    kafka.produce(f"{app}-in", [(b"k", b"%d" % n) for n in range(5, 10)])
    kafka.truncate(f"{app}-in", 0, 8)
    second = workers.start("copies", "one", APP_ID=app, CONSUMER_AUTO_OFFSET_RESET=reset).wait_ready()
    second.wait_for("goes on at")
    kafka.produce(f"{app}-in", [(b"k", b"last")])
    until(lambda: any(one.value == b"last" for one in kafka.read(f"{app}-out")), "the last record to be copied")
    assert second.stop() == 0
    values = [one.value for one in kafka.read(f"{app}-out")]
    expected = [b"8", b"9", b"last"] if reset == "earliest" else [b"last"]
    assert values[5:] == expected


def test_two_programs_under_one_group_are_told_apart(workers: Workers, kafka: Clients, names: Names) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-other", partitions=1)
    first = workers.start("copies", "one", APP_ID=app).wait_ready()
    second = workers.start("copies", "two", APP_ID=app, IN=f"{app}-other")
    second.wait_for(app)
    kafka.produce(f"{app}-in", [(b"k", b"v")])
    until(lambda: len(kafka.read(f"{app}-out")) == 1, "the first program to go on")
    assert first.is_running


def segment_of(broker: Description, topic: str) -> Path:
    """Return the file in which the broker of this test run keeps the first partition of a topic."""
    if not broker.key_folder:
        pytest.skip("the broker was given from outside, so its files cannot be spoiled")
    (file,) = Path(broker.key_folder).parent.glob(f"*/data/{topic}-0/*.log")
    return file


def spoil_codec(file: Path, value: bytes) -> None:
    """Have the batch that holds a value name a codec that there is not, with a checksum that is right.

    A batch has its length at byte 8, its checksum (CRC-32C of what follows) at 17 and its attributes at 21, of which
    the last three bits are the codec (KIP-98).
    """
    content = bytearray(file.read_bytes())
    at = 0
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at + 8 : at + 12])
        if value in content[at:end]:
            content[at + 22] |= 7
            content[at + 17 : at + 21] = crc32c(bytes(content[at + 21 : end])).to_bytes(4)
        at = end
    with file.open("r+b") as opened:
        opened.write(content)


def crc32c(data: bytes) -> int:
    """Return Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.once
def test_a_codec_that_nobody_knows_is_named(
    workers: Workers, kafka: Clients, broker: Description, names: Names
) -> None:
    app = names("app")
    kafka.create(f"{app}-in", f"{app}-out")
    kafka.produce(f"{app}-in", [(b"k", b"before")])
    kafka.produce(f"{app}-in", [(b"k", b"spoiled")])
    kafka.produce(f"{app}-in", [(b"k", b"behind")])
    spoil_codec(segment_of(broker, f"{app}-in"), b"spoiled")
    worker = workers.start("copies", APP_ID=app, BELTLINE_STALL_TIMEOUT="2")
    worker.wait_for(f"reading {app}-in[0] at offset 1: Decompression (codec 0x7)")
    assert "Traceback" not in worker.output
    assert [record.value for record in kafka.read(f"{app}-out")] == [b"before"]


@pytest.mark.parametrize("acks", [0, 1])
def test_fewer_answers_are_enough_where_that_is_wanted(
    workers: Workers, kafka: Clients, names: Names, acks: int
) -> None:
    app, lines = names("app"), some_lines(60)
    write(kafka, app, lines[:40])
    settings = {"APP_ID": app, "PROCESSING_GUARANTEE": "at_least_once", "PRODUCER_ACKS": acks}
    first = workers.start("words", "one", **settings).wait_ready()
    wait_until_done(kafka, app, word_totals(lines[:40]))
    assert first.stop() == 0
    write(kafka, app, lines[40:])
    second = workers.start("words", "one", **settings).wait_ready()
    wait_until_done(kafka, app, word_totals(lines))
    assert second.stop() == 0
    check_totals(last_values(kafka.read(changelog(app))), word_totals(lines))


def test_exactly_once_needs_all_answers(workers: Workers, names: Names) -> None:
    worker = workers.start("words", APP_ID=names("app"), PRODUCER_ACKS=1)
    assert worker.end() != 0
    assert "producer_acks=1: exactly_once needs the answer of all replicas" in worker.output
    assert "Traceback" not in worker.output
