"""``beltline topics``: lists the topics of the log; ``plan`` and ``apply`` compare them with what the app needs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from beltline.app.fitting import misfits
from beltline.cli.entities import declared_topics
from beltline.cli.offline import close, opened, run
from beltline.cli.output import print_json, print_rows
from beltline.cli.state import State
from beltline.topic_options import options_of

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["command"]

#: Turns of the event loop that agents get to say what they group and forward.
TURNS: Final = 20

#: And so long, should they wait for something before.
BEGINNING_S: Final = 0.2


class Line(NamedTuple):
    """One topic of a plan."""

    topic: str
    partitions: int
    state: str
    configuration: str
    use: str


@click.group("topics", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_context
def command(context: click.Context, /, as_json: bool) -> None:
    """List the topics that are in the log, and those that the app would create."""
    state: State = context.obj
    if context.invoked_subcommand is None:
        run(show(state, as_json or state.json))


@command.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_obj
def plan_command(state: State, /, as_json: bool) -> None:
    """Show every topic that the app needs, and which of them would be created. Creates nothing."""
    run(compare(state, as_json or state.json, creates=False))


@command.command("apply")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.pass_obj
def apply_command(state: State, /, as_json: bool) -> None:
    """Create the topics that are missing. A topic that exists stays as it is."""
    run(compare(state, as_json or state.json, creates=True))


async def show(state: State, as_json: bool) -> None:
    """Print the topics."""
    app = state.app
    there = await existing(app)
    declared = {name: topic.partitions or app.conf.topic_partitions for name, topic in declared_topics(app).items()}
    changelogs = {table.changelog_topic.get_topic_name(): name for name, table in app.tables.items()}
    rows = []
    # Names like these are those of brokers for themselves.
    shown = {name for name in there if not name.startswith("__")}
    for name in sorted({*shown, *declared, *changelogs}):
        partitions = there.get(name, declared.get(name, app.conf.topic_partitions))
        state_text = "in the log" if name in there else "not yet created"
        use = (
            f"changelog of {changelogs[name]}"
            if name in changelogs
            else ("used by the app" if name in declared else "")
        )
        rows.append((name, partitions, state_text, use))
    print_rows("Topics", ["name", "partitions", "state", "use"], rows, as_json=as_json)


async def existing(app: App) -> dict[str, int]:
    """Return the topics of the log with their partitions."""
    if app.conf.is_memory or not (app.conf.is_kafka or Path(app.conf.datadir).is_dir()):
        return {}
    async with opened(app, start=False) as session:
        return dict(session.belt.topics())


async def compare(state: State, as_json: bool, *, creates: bool) -> None:
    """Print what the app needs and what is there; create what is missing where that is wanted."""
    app = state.app
    app.finalize()
    wanted, notes = await needed(app)
    changelogs = {table.changelog_topic.get_topic_name(): name for name, table in app.tables.items()}
    there = await existing(app)
    missing = [name for name in sorted(wanted) if name not in there]
    if creates and missing:
        async with opened(app) as session:
            session.may_create = True
            for name in missing:
                session.declare(wanted[name])
    done = "created" if creates else "to be created"
    lines = [
        Line(
            name,
            there.get(name, wanted[name].partitions or app.conf.topic_partitions),
            "exists" if name in there else done,
            configuration(wanted[name]),
            f"changelog of {changelogs[name]}" if name in changelogs else "",
        )
        for name in sorted(wanted)
    ]
    notes += [
        f"topic {line.topic} has {line.partitions} partitions, the program says {wanted[line.topic].partitions}; "
        "it stays as it is, because keys would get other places: make a topic of another name, or change the program"
        for line in lines
        if wanted[line.topic].partitions not in (None, line.partitions)
    ]
    notes += misfits({line.topic: line.partitions for line in lines}, changelogs)
    if as_json:
        print_json({"topics": [line._asdict() for line in lines], "problems": notes})
        return
    print_rows("Topics", Line._fields, lines, as_json=False)
    for note in notes:
        click.echo(f"problem: {note}")
    if creates:
        click.echo(f"{len(missing)} created, {len(lines) - len(missing)} were there")
    elif missing:
        click.echo(f"{len(missing)} to be created: topics apply does so, and so does a worker that may")
    else:
        click.echo("nothing to be created")


async def needed(app: App) -> tuple[dict[str, Any], list[str]]:
    """Return every topic that the app declares, and what could not be found out.

    Agents and handlers are begun on an empty belt in memory, up to their first event: they say there what they group.
    """
    session = app.open_belt(memory=True)
    session.may_create = True
    consumers = list(app.consumers())
    try:
        session.prepare()
        session.start()
        for consumer in consumers:
            consumer.start()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await asyncio.sleep(BEGINNING_S)
        error = app.fatal_error
        notes = [] if error is None else [f"an agent failed at its beginning, so topics may be missing here: {error!r}"]
        return dict(session.declared), notes
    finally:
        for consumer in consumers:
            await consumer.cancel()
        close(app)


def configuration(topic: Any) -> str:
    """Return how a topic is made, in Kafka's words."""
    options = options_of(topic)
    parts = {
        "cleanup.policy": "compact" if options.compacted else None,
        "retention.ms": options.retention_ms,
        "retention.bytes": options.retention_bytes,
        "message.timestamp.type": "LogAppendTime" if options.append_time else None,
        **dict(options.config),
    }
    return ", ".join(f"{name}={value}" for name, value in sorted(parts.items()) if value is not None)
