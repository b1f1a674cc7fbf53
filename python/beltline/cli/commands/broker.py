"""``beltline broker``: the endpoint alone."""

from __future__ import annotations

import click

from beltline.cli.errors import CommandError
from beltline.cli.lone import become
from beltline.cli.state import State
from beltline.settings.endpoint import endpoint_options
from beltline.topic_options import options_of

__all__ = ["command"]


@click.command("broker", epilog="Example: beltline -A shop broker --port 9092")
@click.option("--port", type=click.IntRange(0, 65_535), help="In the place of the setting endpoint_port.")
@click.pass_obj
def command(state: State, /, port: int | None) -> None:
    """Let other processes reach the log by Kafka's protocol, until Ctrl-C.

    The app's topics are made if they do not exist, unless the setting topic_allow_declare is off; nothing of the app
    runs.
    """
    app = state.app
    conf = app.conf
    if conf.is_memory or conf.is_kafka:
        raise CommandError(f"broker={conf.broker!r} has no log in a data directory", "take broker='embedded://'")
    if port is not None:
        conf.set("endpoint_port", port)
    described = [*app.topics.values(), *(table.changelog_topic for table in app.tables.values())]
    wanted = {name: app.topics.get(name, topic) for topic in described for name in topic.topics}
    topics = [
        (name, topic.partitions or conf.topic_partitions, tuple(options_of(topic))) for name, topic in wanted.items()
    ]
    become(
        directory=str(conf.datadir),
        sync=conf.sync,
        sync_interval_ms=round(conf.sync_interval * 1000),
        topics=topics if conf.topic_allow_declare else [],
        endpoint=endpoint_options(conf),
    )
