"""Whether a worker gets on: what does not advance and why, in the log and for who asks over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from beltline.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer
    from types import FrameType

    from .base import App

__all__ = ["Complaint", "HealthWatch", "complaints"]

logger = logging.getLogger(__name__)

#: Most seconds between two looks.
LOOK_S: Final = 1.0

#: So many looks during the stall timeout.
LOOKS: Final = 5

#: The server looks so often whether it is to stop.
POLL_S: Final = 0.05

#: While a worker cannot start because of it, a line comes so often.
WAITING_S: Final = 60.0

#: A silence of the brokers is worth a line in the log when it lasts so long; `/live` waits for the stall timeout.
TROUBLE_S: Final = 2.0


class Complaint(NamedTuple):
    """Something that does not advance.

    Attributes:
        what: A partition and who reads it, the brokers, the group, or the event loop.
        why: The reason in words.
        seconds: How long already.
    """

    what: str
    why: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can write."""
        return {"what": self.what, "why": self.why, "seconds": round(self.seconds, 1)}


class Snapshot(NamedTuple):
    """What the belt said about itself, when, and since when brokers and group have been silent."""

    health: dict[str, Any]
    taken: float
    recovering: bool
    trouble_since: float | None = None
    joining_since: float | None = None
    restored: int = 0
    restored_at: float = 0.0


def next_snapshot(before: Snapshot | None, health: dict[str, Any], now: float, recovering: bool) -> Snapshot:
    """Return what was seen now, with the times at which it began."""
    restored = sum(table["done"] + table["ready"] for table in health["tables"])
    moved = before is None or before.restored != restored
    return Snapshot(
        health,
        now,
        recovering,
        since(before and before.trouble_since, health["trouble"], now),
        since(before and before.joining_since, health["joining"], now),
        restored,
        now if moved or not recovering or before is None else before.restored_at,
    )


def since(before: float | None, is_so: Any, now: float) -> float | None:
    """Return since when something has been so."""
    if not is_so:
        return None
    return now if before is None else before


def complaints(snapshot: Snapshot, now: float, limit: float) -> list[Complaint]:
    """Return what has not advanced for `limit` seconds though it should.

    Args:
        snapshot: What the belt said last.
        now: The monotonic time.
        limit: The setting ``stall_timeout``.
    """
    health, found = snapshot.health, []
    if health["failure"]:
        found.append(Complaint("the worker", str(health["failure"]), now - snapshot.taken))
    if snapshot.trouble_since is not None and now - snapshot.trouble_since >= limit:
        found.append(Complaint("the brokers", str(health["trouble"]), now - snapshot.trouble_since))
    if snapshot.joining_since is not None and now - snapshot.joining_since >= limit:
        why = "it has not said yet which partitions are read here"
        found.append(Complaint("the group", why, now - snapshot.joining_since))
    for one in health["partitions"]:
        if one["stalled_s"] is None:
            continue
        why = one["paused"] or "nothing comes of it"
        if "restored" in why and now - snapshot.restored_at < limit:
            # It takes long, but it gets on.
            continue
        found.append(Complaint(f"{one['topic']}-{one['partition']} ({one['subscription']})", why, one["stalled_s"]))
    if snapshot.recovering and now - snapshot.restored_at >= limit:
        for table in health["tables"]:
            if table["ready"] < table["partitions"]:
                why = f"its restore stands still at {table['done']} of {table['total']} offsets"
                found.append(Complaint(f"table {table['table']}", why, now - snapshot.restored_at))
    return found


class HealthWatch:
    """Looks at the belt now and then, logs what stalls and what goes on, and answers over HTTP where that is wanted.

    The belt is asked by the thread that turns it. A thread of its own judges and answers, so that a handler that blocks
    the event loop is seen too.

    Args:
        app: A started app.
    """

    def __init__(self, app: App) -> None:
        conf = app.conf
        self.app = app
        self.limit = conf.stall_timeout
        self._look_s = min(LOOK_S, self.limit / LOOKS)
        self._snapshot: Snapshot | None = None
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="beltline-health", daemon=True)
        self._server: ThreadingHTTPServer | None = None
        self._told: dict[str, Complaint] = {}
        self._silent_since: float | None = None
        self._waiting_since: float | None = None
        self._waits_for = ""
        self._told_of_waiting: float | None = None
        self._gave_up = False

    # -- in the event loop -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look, and to listen on the setting ``health_port``.

        Raises:
            ImproperlyConfigured: The port cannot be listened on.
        """
        conf = self.app.conf
        if conf.health_port is not None:
            self._server = make_server(self, conf.health_bind, conf.health_port)
            threading.Thread(
                target=self._server.serve_forever, args=(POLL_S,), name="beltline-health-http", daemon=True
            ).start()
            logger.info("health: http://%s:%d/live and /ready", *self._server.server_address[:2])
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look and listen no more. Idempotent."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def port(self) -> int | None:
        """The port that is listened on."""
        return None if self._server is None else int(self._server.server_address[1])

    def look(self) -> None:
        """Ask the belt, now and from now on."""
        app = self.app
        if self._stop.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        if app.has_session and app.session.started:
            session = app.session
            now = time.monotonic()
            self._snapshot = next_snapshot(self._snapshot, session.belt.health(), now, session.is_recovering())
        self._timer = self._loop.call_later(self._look_s, self.look)

    def give_up(self) -> None:
        """Have the wait for brokers end."""
        self._gave_up = True

    # -- in other threads ------------------------------------------------------------------------------------------

    def waits_for_brokers(self, silence: str) -> bool:
        """Take note that no broker answers the worker that starts; return whether to wait on.

        Args:
            silence: Each address and what is wrong there.
        """
        return self.waits(f"no Kafka broker answers: {silence}")

    def waits(self, trouble: str) -> bool:
        """Take note of what the worker waits for before it can start; return whether to wait on."""
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        self._waits_for = trouble
        due = self._waiting_since + TROUBLE_S if self._told_of_waiting is None else self._told_of_waiting + WAITING_S
        if now >= due:
            self._told_of_waiting = now
            # The watch says so when it is over.
            self._silent_since = self._waiting_since
            logger.warning(
                "%s; the worker starts by itself when that is over, and gives up after %g s "
                "(setting broker_start_timeout)",
                trouble,
                self.app.conf.broker_start_timeout,
            )
        return not self._gave_up

    def complaints(self) -> list[Complaint]:
        """Return what does not advance."""
        now, snapshot = time.monotonic(), self._snapshot
        if snapshot is None:
            return []
        age = now - snapshot.taken
        if age < self.limit + self._look_s:
            # Only what was seen to last: meanwhile a handler may keep the loop from looking.
            return complaints(snapshot, snapshot.taken, self.limit)
        place = where(sys._current_frames().get(self._loop_thread))
        blocked = f"a handler blocks the event loop{place}, and nothing else runs meanwhile"
        at = [Complaint(f"{name} ({consumer})", blocked, age) for name, consumer in self._held_back(snapshot)]
        return at or [Complaint("the event loop", blocked, age)]

    def not_ready(self) -> list[Complaint]:
        """Return what has to be there before the worker is ready, and what does not advance."""
        now, snapshot = time.monotonic(), self._snapshot
        waiting = []
        if snapshot is None or not self.app.is_ready:
            waiting.append(Complaint("the worker", "it starts", 0.0))
        if snapshot is None and self._waiting_since is not None:
            waiting.append(Complaint("the brokers", self._waits_for, now - self._waiting_since))
        if snapshot is not None and snapshot.trouble_since is not None:
            waiting.append(Complaint("the brokers", str(snapshot.health["trouble"]), now - snapshot.trouble_since))
        if snapshot is not None and snapshot.health["joining"]:
            waiting.append(Complaint("the group", "it has not said yet which partitions are read here", 0.0))
        if snapshot is not None and snapshot.recovering:
            for table in snapshot.health["tables"]:
                if table["ready"] < table["partitions"]:
                    progress = f"{table['done']} of {table['total']} offsets are restored"
                    waiting.append(Complaint(f"table {table['table']}", progress, 0.0))
        named = {complaint.what for complaint in waiting}
        return waiting + [complaint for complaint in self.complaints() if complaint.what not in named]

    def _held_back(self, snapshot: Snapshot) -> list[tuple[str, str]]:
        """Return the partitions of the agent or handler that blocks the event loop, and its name."""
        task = asyncio.current_task(self._loop)
        names = [consumer.name for consumer in self.app.consumers() if consumer.runs(task)]
        return [
            (f"{one['topic']}-{one['partition']}", one["subscription"])
            for one in snapshot.health["partitions"]
            if one["subscription"] in names
        ]

    def _watch(self) -> None:
        while not self._stop.wait(self._look_s):
            self._tell_of_brokers()
            self._tell(self.complaints())

    def _tell_of_brokers(self) -> None:
        snapshot, now = self._snapshot, time.monotonic()
        if snapshot is None:
            return
        began = snapshot.trouble_since
        if began is not None and self._silent_since is None and now - began >= TROUBLE_S:
            self._silent_since = began
            logger.warning("%s; the worker goes on by itself when they are back", snapshot.health["trouble"])
        elif began is None and self._silent_since is not None:
            logger.warning("the trouble with the Kafka brokers is over, after %.0f s", now - self._silent_since)
            self._silent_since = None

    def _tell(self, found: list[Complaint]) -> None:
        by_name = {complaint.what: complaint for complaint in found if complaint.what != "the brokers"}
        for name, complaint in by_name.items():
            if name not in self._told:
                logger.warning("%s has not advanced for %.1f s: %s", name, complaint.seconds, complaint.why)
        for name in self._told:
            if name not in by_name:
                logger.warning("%s goes on", name)
        self._told = by_name


def where(frame: FrameType | None) -> str:
    """Return the innermost line that is not Python's own, in words."""
    while frame is not None and ("/lib/python" in frame.f_code.co_filename or "<frozen" in frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno}"


def make_server(watch: HealthWatch, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that answers `/live` and `/ready`.

    Raises:
        ImproperlyConfigured: The port cannot be listened on.
    """
    # Not at the top: who does not ask for it does not load a web server.
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            pages = {"/live": watch.complaints, "/ready": watch.not_ready}
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self._answer(404, {"pages": sorted(pages)})
                return
            found = page()
            word = "not ready" if page == watch.not_ready else "stalled"
            answer = {
                "app": watch.app.conf.id,
                "status": word if found else "ok",
                "problems": [complaint.as_dict() for complaint in found],
            }
            self._answer(503 if found else 200, answer)

        def _answer(self, code: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            logger.debug(format, *args)

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ImproperlyConfigured(
            f"setting health_port={port}: {host}:{port} cannot be listened on: {error.strerror or error}"
        ) from None
    server.daemon_threads = True
    return server
