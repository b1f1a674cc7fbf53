"""Workers that come and go while numbered steps stream in: briefly in `test_rebalance.py`, for long in `make chaos`."""

from __future__ import annotations

import itertools
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from checker import Sequences, assert_none, check_copied, check_sequences
from confluent_kafka import Producer
from kafka_broker import Cluster, Node
from kafka_clients import PATIENCE_S, Clients, Seen, until
from workers import READY, Worker, Workers

#: What a member may be silent before others take over; workers are told so by a variable.
SESSION_S: Final = 2.0

#: How far beyond that a paused worker sleeps.
BEYOND_S: Final = 1.5

#: Never more than so many workers at once: the machine has few cores.
MAX_WORKERS: Final = 3

#: Events after which a worker commits, whatever the interval; it says how far back steps may come again.
COMMIT_EVERY: Final = 100

#: Keys are not spread quite evenly, and a commit under way may hold as much as the next one.
SLACK: Final = 4

#: How long to wait between two disturbances: sometimes in the middle of a rebalance, sometimes long after.
PAUSES_S: Final = (0.1, 0.5, 1.5, 3.0)

#: How long a broker is away; what happens meanwhile happens with two of three.
AWAY_S: Final = (0.5, 2.0, 5.0)

#: So often is looked whether something is due.
LOOK_S: Final = 0.1

#: A worker that was asked to end has ended by then.
LEAVING_S: Final = 90.0


class Load:
    """Writes steps 1, 2, 3, … of each of some keys, from a thread, until told to stop."""

    def __init__(self, clients: Clients, topic: str, *, keys: int = 40, rate: int = 400) -> None:
        self.topic = topic
        self.rate = rate
        self.sent: dict[str, int] = {f"key-{number}": 0 for number in range(keys)}
        self._failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, args=(clients,), daemon=True)

    def _write(self, clients: Clients) -> None:
        options = {"linger.ms": 5, "enable.idempotence": True, "message.timeout.ms": 0, "retries": 1_000_000}
        producer = Producer({**clients.options, **options})
        began, count = time.monotonic(), 0
        keys = list(self.sent)
        while not self._stop.is_set():
            key = keys[count % len(keys)]
            n = self.sent[key] + 1
            try:
                producer.produce(self.topic, key=key, value=step(key, n), on_delivery=self._delivered)
            except BufferError:
                producer.poll(0.1)
                continue
            self.sent[key] = n
            count += 1
            producer.poll(0)
            ahead = began + count / self.rate - time.monotonic()
            if ahead > 0:
                self._stop.wait(ahead)
        if producer.flush(PATIENCE_S):
            self._failures.append("records were still under way when the load ended")

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failures.append(str(error))

    def stop(self) -> dict[str, int]:
        """End, and return the last step of each key; all of them are on the broker."""
        self._stop.set()
        self._thread.join(2 * PATIENCE_S)
        assert not self._failures, self._failures[:3]
        return {key: n for key, n in self.sent.items() if n}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * PATIENCE_S)


def step(key: str, n: int) -> bytes:
    """Return the value of a step, as the app `sequences` reads it."""
    return json.dumps({"key": key, "n": n}).encode()


@dataclass
class Running:
    """A worker in the play, and since when it sleeps or was asked to end, if it does or was."""

    worker: Worker
    paused_since: float | None = None
    has_slept: bool = False
    leaving_since: float | None = None
    was_ready: bool = False


@dataclass
class Away:
    """A broker that is not there, and when it comes back."""

    node: Node
    back_at: float
    has_started: bool = False


class Churn:
    """A play in so many cycles, each of which disturbs one worker.

    Args:
        workers: Starts them.
        kafka: Witness.
        app_id: The group; its topics are ``{app_id}-in`` and ``{app_id}-out``.
        guarantee: ``processing_guarantee`` of the workers.
        seed: The same seed plays the same way.
        cluster: Brokers to disturb as well.
    """

    def __init__(
        self,
        workers: Workers,
        kafka: Clients,
        app_id: str,
        *,
        guarantee: str,
        seed: int,
        partitions: int = 4,
        cluster: Cluster | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self.workers = workers
        self.kafka = kafka
        self.app_id = app_id
        self.guarantee = guarantee
        self.partitions = partitions
        self.cluster = cluster
        self.say = say
        self.random = random.Random(seed)
        self.running: list[Running] = []
        self.leaving: list[Running] = []
        self.away: Away | None = None
        self.disturbances = 0
        self.has_bounded_window = cluster is None
        self._number = 0
        say(f"seed {seed}, {guarantee}")

    def play(self, cycles: int) -> Sequences:
        """Run the whole play and check what came out.

        Raises:
            AssertionError: Something was lost, doubled or out of order, or a worker hangs.
        """
        self.kafka.create(f"{self.app_id}-in", partitions=self.partitions)
        self.join().wait_ready()
        with Load(self.kafka, f"{self.app_id}-in") as load:
            for cycle in range(cycles):
                self.say(f"{cycle + 1}/{cycles}: {self.disturb()}")
                self.pass_time(self.random.choice(PAUSES_S))
            self.mend_brokers()
            sent = load.stop()
        self.calm()
        return self.check(sent)

    # -- what happens ----------------------------------------------------------------------------------------------

    def disturb(self) -> str:
        """Do one thing, and say what."""
        self.disturbances += 1
        awake = [one for one in self.running if one.paused_since is None]
        deeds: list[Callable[[], str]] = []
        if len(self.running) < MAX_WORKERS:
            deeds += [self.more, self.more]
        if len(awake) > 1:
            deeds += [self.leave, self.pause]
        if awake:
            deeds += [self.kill]
        if self.cluster is not None and self.away is None:
            deeds += [self.break_a_broker, self.break_a_broker]
        return self.random.choice(deeds or [self.more])()

    def more(self) -> str:
        """One more worker."""
        return f"{self.join().name} joins"

    def join(self) -> Worker:
        """Start a worker with a data directory that one before it may have had."""
        used = {one.worker.name.partition("/")[2] for one in (*self.running, *self.leaving)}
        name = next(slot for slot in map("slot-{}".format, itertools.count()) if slot not in used)
        self._number += 1
        worker = self.workers.start(
            "sequences",
            name,
            APP_ID=self.app_id,
            PARTITIONS=self.partitions,
            PROCESSING_GUARANTEE=self.guarantee,
            BROKER_SESSION_TIMEOUT=SESSION_S,
            BROKER_HEARTBEAT_INTERVAL=0.3,
            BROKER_COMMIT_EVERY=COMMIT_EVERY,
            # Under at-least-once, what a step has read may be taken back before it writes.
            PAUSE_S=0.05 if self.guarantee == "exactly_once" else 0,
            NOTE_EVERY_S=0.05,
            TOPIC_REPLICATION_FACTOR=1 if self.cluster is None else 3,
            WORKER=f"{name}-{self._number}",
        )
        self.running.append(Running(worker))
        return worker

    def leave(self) -> str:
        """A worker is asked to end in order; the play goes on meanwhile."""
        one = self.random.choice([one for one in self.running if one.paused_since is None])
        self.running.remove(one)
        one.was_ready, one.leaving_since = READY in one.worker.output, time.monotonic()
        one.worker.process.terminate()
        self.leaving.append(one)
        return f"{one.worker.name} leaves"

    def see_off(self) -> None:
        """Look at how workers ended that were asked to."""
        for one in list(self.leaving):
            assert one.leaving_since is not None
            if one.worker.is_running:
                waited = time.monotonic() - one.leaving_since
                assert waited < LEAVING_S, f"{one.worker.name} does not end:\n{one.worker.output[-6000:]}"
                continue
            self.leaving.remove(one)
            # Python still loaded: nobody listened to the signal yet, which then ends the process by itself.
            allowed = (0,) if one.was_ready else (0, -signal.SIGTERM)
            code = one.worker.end()
            assert code in allowed, f"{one.worker.name} ended with {code}:\n{one.worker.output[-6000:]}"

    def kill(self) -> str:
        """A worker dies; the last one is followed by another."""
        one = self.random.choice([one for one in self.running if one.paused_since is None])
        self.running.remove(one)
        one.worker.kill()
        followed = f", {self.join().name} follows" if not self.running else ""
        return f"{one.worker.name} is killed{followed}"

    def pause(self) -> str:
        """A worker falls asleep, for longer than its session."""
        one = self.random.choice([one for one in self.running if one.paused_since is None])
        one.worker.pause()
        one.paused_since, one.has_slept = time.monotonic(), True
        # What it had begun it may write when it wakes, and the others have gone on since then.
        self.has_bounded_window = False
        return f"{one.worker.name} falls asleep"

    def break_a_broker(self) -> str:
        """A broker is killed, stopped or paused for a while, and comes back."""
        assert self.cluster is not None
        node = self.random.choice(self.cluster.nodes)
        deed = self.random.choice(["killed", "stopped", "paused"])
        {"killed": node.kill, "stopped": node.stop, "paused": node.pause}[deed]()
        self.away = Away(node, time.monotonic() + self.random.choice(AWAY_S))
        return f"broker {node.plan.node_id} is {deed}"

    def bring_back(self) -> None:
        """Have the broker that is away come back in time; the next one may go when all know each other again."""
        away = self.away
        if away is None or time.monotonic() < away.back_at:
            return
        assert self.cluster is not None
        if not away.has_started:
            away.node.resume()
            away.node.start()
            away.has_started = True
        elif self.cluster.is_ready():
            self.away = None

    def mend_brokers(self) -> None:
        """Wait until all brokers are there."""
        if self.cluster is not None:
            for node in self.cluster.nodes:
                node.resume()
                node.start()
            self.cluster.wait_ready()
        self.away = None

    def pass_time(self, seconds: float) -> None:
        """Let the play go on for so long, and see to what is due meanwhile."""
        end = time.monotonic() + seconds
        while True:
            self.bring_back()
            self.see_off()
            self.wake_sleepers(SESSION_S + BEYOND_S)
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, LOOK_S))

    def wake_sleepers(self, after_s: float) -> None:
        """Wake workers that have slept for long enough, and replace those that ended because of it."""
        for one in self.running:
            if one.paused_since is not None and time.monotonic() > one.paused_since + after_s:
                one.worker.resume()
                one.paused_since = None
        for one in [one for one in self.running if not one.worker.is_running]:
            # Who lost its place while it slept may end with an error instead of going on; in silence it may not.
            code = one.worker.end()
            what = f"{one.worker.name} ended by itself with {code}:\n{one.worker.output[-6000:]}"
            assert one.has_slept, what
            assert code != 0, what
            self.running.remove(one)

    def calm(self) -> None:
        """Let everything come to its end: all steps worked off, all workers gone in order."""
        self.wake_sleepers(0)
        until(self.all_have_left, "workers to end that were asked to", timeout=LEAVING_S)
        try:
            until(self.is_done, f"the lag of {self.app_id} to become 0", timeout=2 * PATIENCE_S)
        except AssertionError:
            for one in self.running:
                self.say(f"---- {one.worker.name} said in the end:\n{one.worker.output[-3000:]}")
            raise
        for one in self.running:
            assert one.worker.wait_ready().stop() == 0, one.worker.output[-6000:]

    def all_have_left(self) -> bool:
        """Whether nobody is on the way out."""
        self.see_off()
        return not self.leaving

    def is_done(self) -> bool:
        """Whether every step is worked off and committed; the last worker is followed by another."""
        self.wake_sleepers(0)
        if not self.running:
            self.join()
        return self.kafka.lag(self.app_id, f"{self.app_id}-in") == 0

    # -- what came of it -------------------------------------------------------------------------------------------

    def check(self, sent: dict[str, int]) -> Sequences:
        """Check what came out, and what the table counted."""
        check_noted(self.kafka, self.app_id, self.say)
        if self.guarantee == "exactly_once":
            check_counted_once(self.kafka, self.app_id, sent, self.say)
        steps = [taken(record)[:2] for record in self.kafka.read(f"{self.app_id}-out")]
        bounded = SLACK * COMMIT_EVERY * self.partitions // len(sent)
        window = bounded if self.has_bounded_window else max(sent.values())
        found = check_sequences(steps, sent, exactly_once=False, disturbances=self.disturbances, window=window)
        self.say(
            f"{len(steps)} steps of {len(sent)} keys, {found.repeated} came again, the furthest {found.deepest} back"
        )
        return found


def check_counted_once(kafka: Clients, app_id: str, sent: dict[str, int], say: Callable[[str], object] = print) -> None:
    """Check that each step that went in came out once, in its order, and was counted once.

    Raises:
        AssertionError: With the first faults.
    """
    given = [step_of(record) for record in kafka.read(f"{app_id}-in")]
    # Nothing is missing in what the load has written, but its own client may have written a step twice.
    doubled = check_sequences(given, sent, exactly_once=False, disturbances=1, window=max(sent.values())).repeated
    if doubled:
        say(f"{doubled} steps went in twice")
    records = kafka.read(f"{app_id}-out")
    for again in repeated(records):
        say(f"came out twice: {again}")
    came = [taken(record) for record in records]
    check_copied(((key, n) for key, n, _ in came), given)
    counted = Counter(key for key, _ in given)
    check_sequences(((key, count) for key, _, count in came), counted, exactly_once=True)


def check_noted(kafka: Clients, app_id: str, say: Callable[[str], object] = print) -> None:
    """Check that of what each worker has sent without an event nothing is missing up to the last that came out.

    Where brokers never say whether a commit has happened, notes may come again.

    Raises:
        AssertionError: With the first faults.
    """
    found = Sequences()
    records = kafka.read(f"{app_id}-notes")
    for record in records:
        assert record.key is not None
        assert record.value is not None
        found.take(record.key.decode(), int(record.value))
    found.ended(found.highest)
    assert_none(found.faults)
    assert found.highest, "no worker has noted anything, so nothing was checked"
    say(f"{len(records)} notes of {len(found.highest)} workers, {found.repeated} came again")


def repeated(records: Iterable[Seen]) -> list[Seen]:
    """Return the records of steps that came out more than once, the first ones too."""
    of_step: dict[tuple[str, int], list[Seen]] = {}
    for record in records:
        key, n, _ = taken(record)
        of_step.setdefault((key, n), []).append(record)
    return [record for same in of_step.values() if len(same) > 1 for record in same]


def step_of(record: Seen) -> tuple[str, int]:
    """Return key and number of a step, as `step` made it."""
    assert record.value is not None
    value = json.loads(record.value)
    return value["key"], value["n"]


def taken(record: Seen) -> tuple[str, int, int]:
    """Return key, number and count of a record that the app `sequences` wrote."""
    assert record.value is not None
    value = json.loads(record.value)
    assert record.key == value["key"].encode()
    return value["key"], value["n"], value["count"]


def counts_of(records: Iterable[Seen]) -> dict[str, int]:
    """Return the highest count of each key."""
    found: dict[str, int] = {}
    for key, _, count in map(taken, records):
        found[key] = max(found.get(key, 0), count)
    return found
