"""``beltline agents``: lists the agents of the app."""

from __future__ import annotations

import inspect
from typing import Any

import click

from beltline.cli.entities import short_name
from beltline.cli.output import print_rows
from beltline.cli.state import State

__all__ = ["command"]


@click.command("agents")
@click.option("--local/--no-local", default=False, help="Also agents on channels in memory.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_obj
def command(state: State, /, local: bool, as_json: bool) -> None:
    """List the agents and handlers of the app."""
    app = state.app
    rows = [
        (f"@{short_name(app, name)}", topic_of(agent), first_line(agent))
        for name, agent in sorted({**app.handlers, **app.agents}.items())
        if local or topic_of(agent)
    ]
    print_rows("Agents", ["name", "topic", "help"], rows, as_json=as_json or state.json)


def topic_of(agent: Any) -> str:
    """Return the names of the topics an agent reads; nothing for a channel in memory."""
    return ",".join(agent.get_topic_names())


def first_line(agent: Any) -> str:
    """Return the first line of the agent's docstring."""
    text = inspect.cleandoc(getattr(agent, "help", None) or "")
    return text.partition("\n")[0]
