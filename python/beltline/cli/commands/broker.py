"""``beltline broker``: the endpoint alone."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click

from beltline.cli.errors import CommandError
from beltline.cli.offline import opened, run
from beltline.cli.state import State

__all__ = ["command"]


@click.command("broker", epilog="Example: beltline -A shop broker --port 9092")
@click.option("--port", type=click.IntRange(0, 65_535), help="In the place of the setting endpoint_port.")
@click.pass_obj
def command(state: State, /, port: int | None) -> None:
    """Let other processes reach the log by Kafka's protocol, until Ctrl-C.

    The app's topics are made if they do not exist; nothing of the app runs.
    """
    run(serve(state, port))


async def serve(state: State, port: int | None) -> None:
    """Hold the data directory and listen.

    Raises:
        CommandError: The log is not a durable one of this machine, or the port is taken.
    """
    app = state.app
    if app.conf.is_memory or app.conf.is_kafka:
        raise CommandError(f"broker={app.conf.broker!r} has no log in a data directory", "take broker='embedded://'")
    app.conf.set("endpoint", True)
    if port is not None:
        app.conf.set("endpoint_port", port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with opened(app) as session:
        declare_topics(app, session)
        session.serve()
        if session.endpoint is None:
            raise CommandError("this machine gives no port")
        click.echo(f"kafka endpoint {session.endpoint}")
        await stop.wait()


def declare_topics(app: Any, session: Any) -> None:
    """Make the topics that the app would make, for clients to find."""
    for topic in app.topics.values():
        session.declare(topic)
    for table in app.tables.values():
        session.declare(table.changelog_topic)
