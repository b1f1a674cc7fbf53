"""``beltline tables``: lists the tables of the app."""

from __future__ import annotations

import click

from beltline.cli.output import print_rows
from beltline.cli.state import State

__all__ = ["command"]


@click.command("tables")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_obj
def command(state: State, /, as_json: bool) -> None:
    """List the tables of the app."""
    rows = [(name, table.help or "") for name, table in sorted(state.app.tables.items())]
    print_rows("Tables", ["name", "help"], rows, as_json=as_json or state.json)
