"""The app: start, stop, signals, timers, tasks, services, settings, sending."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured, NotReady
from beltline.types import TP


async def failure_of(app: bl.App) -> None:
    """Return never; raise the error that stops the app."""
    while True:
        app.raise_failure()
        await asyncio.sleep(0.001)


def make_app(**settings: Any) -> bl.App:
    return bl.App("apps", **{"broker": "memory://", "topic_partitions": 2, **settings})


async def test_sending_gives_the_address_of_the_record() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    called: list[Any] = []
    async with app:
        first = await topic.send(value=1, callback=called.append)
        second = await topic.send(value=2, timestamp=99.5)
        await app.wait_idle()
        metadata = await second
        assert (await first).offset == 0
        assert (metadata.topic, metadata.partition, metadata.offset) == ("orders", 0, 1)
        assert metadata.topic_partition == TP("orders", 0)
        assert metadata.timestamp == 99.5
        await asyncio.sleep(0)
    assert called == [first]


async def test_send_soon_needs_a_belt() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int)
    with pytest.raises(NotReady, match="start_client"):
        topic.send_soon(value=1)
    async with app:
        sent = topic.send_soon(value=1)
        await app.wait_idle()
        assert (await sent).topic == "orders"


async def test_send_starts_a_client() -> None:
    app = make_app()
    handled: list[Any] = []

    @app.on("orders")
    def handle(order: Any) -> None:
        handled.append(order)

    await app.send("orders", value=1)
    await app.wait_idle()
    assert app.started
    assert handled == []
    await app.stop()


async def test_app_can_start_again() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int)
    seen: list[int] = []

    @app.on(topic)
    def read(value: int) -> None:
        seen.append(value)

    for value in (1, 2):
        await app.start()
        await topic.send(value=value)
        await app.wait_idle()
        await app.stop()
    assert seen == [1, 2]


async def test_timer_task_and_crontab_by_a_clock_moved_by_hand() -> None:
    app = make_app()
    ticks: list[Any] = []

    @app.task
    async def once() -> None:
        ticks.append("task")

    @app.task()
    async def with_app(given: bl.App) -> None:
        ticks.append(given is app)

    @app.timer(5.0)
    async def tick() -> None:
        ticks.append("timer")

    @app.crontab("*/1 * * * *")
    async def minute() -> None:
        ticks.append("cron")

    app.open_belt(memory=True, manual_clock=True)
    await app.start()
    await app.wait_ready()
    await asyncio.sleep(0)
    assert ticks == ["task", True]
    del ticks[:]
    await app.session.advance(4.9)
    assert ticks == []
    await app.session.advance(0.2)
    assert ticks == ["timer"]
    await app.session.advance(60.0)
    assert ticks.count("cron") == 1
    assert ticks.count("timer") == 13
    await app.stop()


async def test_error_in_a_timer_stops_the_app() -> None:
    app = make_app()

    @app.timer(0.001)
    async def broken() -> None:
        raise RuntimeError("tick")

    await app.start()
    with pytest.raises(RuntimeError, match="tick"):
        await failure_of(app)
    await app.stop()
    assert app.crashed


@pytest.mark.parametrize("interval", [0, -1, "soon"])
def test_timer_needs_an_interval(interval: Any) -> None:
    with pytest.raises(ImproperlyConfigured):
        make_app().timer(interval)


async def test_services_start_after_recovery_and_stop_with_the_app() -> None:
    app = make_app()
    events: list[str] = []

    @app.service
    class Side(bl.Service):
        async def on_start(self) -> None:
            events.append("start")

        async def on_stop(self) -> None:
            events.append("stop")

    await app.start()
    await app.wait_ready()
    assert events == ["start"]
    await app.stop()
    assert events == ["start", "stop"]


async def test_signals() -> None:
    app = make_app()
    calls: list[Any] = []

    @app.on_configured.connect
    def configured(sender: Any, conf: Any, **_: Any) -> None:
        conf.topic_partitions = 3
        calls.append(("configured", sender is app))

    @app.on_after_configured.connect
    def after(sender: Any, **_: Any) -> None:
        calls.append("after")

    @app.on_partitions_assigned.connect
    async def assigned(sender: Any, partitions: set[TP], **_: Any) -> None:
        calls.append(("assigned", sorted(partitions)))

    @app.on_partitions_revoked.connect
    async def revoked(sender: Any, partitions: set[TP], **_: Any) -> None:
        calls.append(("revoked", len(partitions)))

    @bl.App.on_before_shutdown.connect
    async def before(sender: Any, **_: Any) -> None:
        calls.append(("shutdown", sender is app))

    app.topic("orders")
    async with app:
        pass
    bl.App.on_before_shutdown.disconnect(before)
    assert calls == [
        ("configured", True),
        "after",
        ("assigned", [TP("orders", 0), TP("orders", 1), TP("orders", 2)]),
        ("shutdown", True),
        ("revoked", 3),
    ]


async def test_headers_added_by_on_produce_message_reach_the_record() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    seen: list[Any] = []

    @app.on_produce_message.connect
    def stamp(sender: Any, key: Any, value: Any, partition: Any, timestamp: Any, headers: Any, **_: Any) -> None:
        headers.append(("stamp", value))

    @app.on(topic, to="copy")
    def copy(value: int, headers: dict[str, bytes]) -> int:
        seen.append(headers)
        return value

    @app.on("copy")
    def read(value: int, headers: dict[str, bytes]) -> None:
        seen.append(headers)

    async with app:
        await topic.send(value=1, headers={"a": b"b"})
        await app.wait_idle()
    assert seen == [{"a": b"b", "stamp": b"1"}, {"stamp": b"1"}]


async def test_config_from_object_wins_over_the_constructor() -> None:
    class Config:
        topic_partitions = 7

    app = make_app(topic_partitions=2)
    app.config_from_object(Config)
    assert app.conf.topic_partitions == 7
    app.config_from_object({"topic_partitions": 9})
    assert app.conf.topic_partitions == 9
    with pytest.raises(ImportError):
        app.config_from_object("no_such_module_here")
    app.config_from_object("no_such_module_here", silent=True)


def test_tables_have_unique_names() -> None:
    app = make_app()
    app.Table("t")
    with pytest.raises(ValueError, match="already"):
        app.Table("t")


async def test_tables_are_declared_before_the_start() -> None:
    app = make_app()
    async with app:
        with pytest.raises(RuntimeError, match="before"):
            app.Table("late")


@pytest.mark.parametrize("name", ["", "with space", "ü", "a" * 250, ".."])
def test_topic_names(name: str) -> None:
    with pytest.raises(ValueError, match="topic name"):
        make_app().topic(name)


def test_topic_with_two_names_has_no_single_one() -> None:
    topic = make_app().topic("a", "b")
    with pytest.raises(ValueError, match="no single name"):
        topic.get_topic_name()


async def test_agent_reads_a_topic_with_two_names() -> None:
    app = make_app()
    both = app.topic("a", "b", value_type=int)
    seen: list[int] = []

    @app.on(both)
    def read(value: int) -> None:
        seen.append(value)

    async with app:
        await app.send("a", value=1)
        await app.send("b", value=2)
        await app.wait_idle()
    assert sorted(seen) == [1, 2]


async def test_stop_waits_for_a_handler_that_is_in_an_event() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    begun = asyncio.Event()
    done: list[int] = []

    @app.on(topic)
    async def slow(value: int) -> None:
        begun.set()
        await asyncio.sleep(0.05)
        done.append(value)

    await app.start()
    await topic.send(value=1)
    await topic.send(value=2)
    await begun.wait()
    await app.stop()
    assert done == [1]


async def test_stop_gives_back_what_does_not_finish() -> None:
    app = make_app(shutdown_deadline=0.2)
    topic = app.topic("orders", value_type=int, partitions=1)
    begun = asyncio.Event()
    ended: list[str] = []

    @app.on(topic)
    async def stuck(value: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    await app.start()
    await topic.send(value=1)
    await begun.wait()
    await app.stop()
    assert ended == ["cancelled"]


async def test_maxsize_of_a_channel_holds_the_sender_back() -> None:
    app = make_app()
    channel = app.channel(maxsize=1)
    reader = channel.clone(is_iterator=True)
    await channel.send(value=1)
    second = asyncio.ensure_future(channel.send(value=2))
    await asyncio.sleep(0.01)
    assert not second.done()
    assert (await reader.get(timeout=1)).value == 1
    await second
    assert (await reader.get(timeout=1)).value == 2
    with pytest.raises(TimeoutError):
        await reader.get(timeout=0.01)
    assert reader.empty()


async def test_command_is_kept_for_the_command_line() -> None:
    app = make_app()

    @app.command("--opt", daemon=True)
    async def produce(self: Any, opt: str) -> None:
        """Produces."""

    spec = app.commands["produce"]
    assert (spec.fun, spec.options, spec.settings["daemon"], spec.help) == (produce, ("--opt",), True, "Produces.")


async def test_discover_imports_what_autodiscover_names(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "found_by_beltline"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "agents.py").write_text("LOADED = True\n")
    (package / "test_not.py").write_text("raise RuntimeError\n")
    (package / "broken.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    app = make_app(autodiscover=["found_by_beltline"])
    assert app.discover() == ["found_by_beltline", "found_by_beltline.agents"]
    assert "found_by_beltline.test_not" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        app.discover("no_such_package_here")
    with pytest.raises(ImproperlyConfigured, match="origin"):
        make_app(autodiscover=True).discover()


async def test_offset_cannot_be_awaited_within_the_event_it_is_committed_with() -> None:
    app = make_app()
    topic, out = app.topic("in", value_type=int, partitions=1), app.topic("out", value_type=int)
    outcome: list[str] = []

    @app.on(topic)
    async def send_on(value: int) -> None:
        sent = await out.send(value=value)
        with pytest.raises(RuntimeError, match="callback="):
            await sent
        outcome.append("refused")

    async with app:
        await topic.send(value=1)
        await app.wait_idle()
    assert outcome == ["refused"]


async def test_offset_can_be_awaited_with_at_least_once() -> None:
    app = make_app(processing_guarantee="at_least_once", broker_commit_interval=0.01)
    topic, out = app.topic("in", value_type=int, partitions=1), app.topic("out", value_type=int, partitions=1)
    offsets: list[int] = []

    @app.on(topic)
    async def send_on(value: int) -> None:
        offsets.append((await (await out.send(value=value))).offset)

    async with app:
        await topic.send(value=1)
        await topic.send(value=2)
        await app.wait_idle()
    assert offsets == [0, 1]


@pytest.mark.parametrize("options", [{"on_error": "ignore"}, {"on_decode_error": bl.retry(1)}])
def test_policies_are_checked_where_they_are_declared(options: dict[str, Any]) -> None:
    app = make_app()
    with pytest.raises(ImproperlyConfigured, match="on_"):
        app.on("orders", **options)(lambda event: None)


async def test_stream_of_no_agent_lets_go_when_it_is_dropped() -> None:
    app = make_app()
    topic = app.topic("orders", value_type=int, partitions=1)
    async with app:
        await topic.send(value=1)
        await topic.send(value=2)

        async def read_one() -> int:
            return int(await anext(aiter(topic.stream())))

        assert await asyncio.create_task(read_one()) == 1
        await app.wait_idle()
        assert [row for row in app.session.belt.health()["partitions"] if row["in_flight"]] == []


async def test_missing_topic_is_an_error_where_topics_may_not_be_created() -> None:
    app = make_app(topic_allow_declare=False)

    @app.on("orders")
    def read(order: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="topic orders does not exist"):
        await app.start()
    assert not app.has_session


async def test_outputs_of_one_event_that_no_outbox_can_hold_are_an_error_of_its_handler() -> None:
    app = make_app(outbox_bytes=4096)
    topic, out = app.topic("in", value_type=int, partitions=1), app.topic("out", value_type=str, partitions=1)
    done: list[int] = []

    @app.on(topic, name="flood")
    async def flood(value: int) -> None:
        for _ in range(1000 if value == 1 else 1):
            await out.send(value="x" * 100)
        done.append(value)

    async with app:
        for value in range(3):
            await topic.send(value=value)
        await app.wait_idle()
        assert isinstance(app.recent_failures[0].exception, BufferError)
    assert done == [0, 2]


async def test_a_commit_that_waits_for_many_grouped_events_finds_room_for_all_of_them() -> None:
    app = make_app(outbox_bytes=4096, processing_guarantee="exactly_once")
    orders = app.topic("orders", value_type=str, partitions=1)
    noise = app.topic("noise", value_type=str, partitions=1)
    seen: list[str] = []

    async def first_letters(value: str) -> str:
        # Slower than the other agent, so that a commit has to wait for all that this one has read already.
        await asyncio.sleep(0)
        return value[:2]

    @app.agent(orders)
    async def ahead(stream: bl.Stream[str]) -> None:
        async for _ in stream:
            pass

    @app.agent(orders)
    async def group(stream: bl.Stream[str]) -> None:
        async for value in stream.group_by(first_letters, name="letters"):
            seen.append(value)

    async def make_noise() -> None:
        for _ in range(100):
            await noise.send(value="x" * 500)

    given = [f"{number:03} {'x' * 200}" for number in range(500)]
    async with app:
        noisy = asyncio.create_task(make_noise())
        for value in given:
            await orders.send(value=value)
        await noisy
        await app.wait_idle()
    assert sorted(seen) == given
    assert not app.recent_failures


async def test_data_directory_is_free_after_a_stop_and_held_before(tmp_path: Any) -> None:
    first = make_app(broker="embedded://", datadir=tmp_path / "data", endpoint=False)
    second = make_app(broker="embedded://", datadir=tmp_path / "data", endpoint=False)
    await first.start()
    with pytest.raises(bl.exceptions.DataDirectoryError, match="data"):
        await second.start()
    await first.stop()
    third = make_app(broker="embedded://", datadir=tmp_path / "data")
    await third.start()
    await third.stop()


async def test_a_function_chooses_partitions() -> None:
    asked: list[Any] = []

    def choose(key: bytes | None, everything: list[int], available: list[int]) -> int:
        asked.append((key, everything, available))
        return 3

    app = make_app(producer_partitioner=choose, topic_partitions=4)
    orders = app.topic("orders", value_type=str, key_type=str)
    await app.start_client()
    try:
        await orders.send(key="ada", value="tea")
        await orders.send(key="ada", value="tea", partition=1)
        await app.wait_idle()
        assert [end for _, end in orders.offsets()] == [0, 1, 0, 1]
        assert asked == [(b"ada", [0, 1, 2, 3], [0, 1, 2, 3])]
    finally:
        await app.stop()


async def test_a_function_that_chooses_no_partition_is_refused() -> None:
    app = make_app(producer_partitioner=lambda *_: 9, topic_partitions=4)
    orders = app.topic("orders", value_type=str)
    await app.start_client()
    try:
        with pytest.raises(ValueError, match="producer_partitioner chose 9 for topic orders"):
            await orders.send(value="tea")
    finally:
        await app.stop()
