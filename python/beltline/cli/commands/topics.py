"""``beltline topics``: lists the topics of the log."""

from __future__ import annotations

from pathlib import Path

import click

from beltline.cli.entities import declared_topics
from beltline.cli.offline import endpoint_of, opened, run
from beltline.cli.output import print_rows
from beltline.cli.state import State

__all__ = ["command"]


@click.command("topics")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_obj
def command(state: State, /, as_json: bool) -> None:
    """List the topics that are in the log, and those that the app would create."""
    run(show(state, as_json or state.json))


async def show(state: State, as_json: bool) -> None:
    """Print the topics, as the process says that holds the data directory, or while holding it."""
    app = state.app
    there: dict[str, int]
    endpoint = endpoint_of(app)
    if endpoint is not None:
        there = dict(endpoint.topics())
    elif app.conf.is_memory or not (app.conf.is_kafka or Path(app.conf.datadir).is_dir()):
        there = {}
    else:
        async with opened(app, start=False) as session:
            there = dict(session.belt.topics())
    declared = {name: topic.partitions or app.conf.topic_partitions for name, topic in declared_topics(app).items()}
    changelogs = {table.changelog_topic.get_topic_name(): name for name, table in app.tables.items()}
    rows = []
    for name in sorted({*there, *declared, *changelogs}):
        partitions = there.get(name, declared.get(name, app.conf.topic_partitions))
        state_text = "in the log" if name in there else "not yet created"
        use = (
            f"changelog of {changelogs[name]}"
            if name in changelogs
            else ("used by the app" if name in declared else "")
        )
        rows.append((name, partitions, state_text, use))
    print_rows("Topics", ["name", "partitions", "state", "use"], rows, as_json=as_json)
