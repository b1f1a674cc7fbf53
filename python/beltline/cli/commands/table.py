"""``beltline table``: shows what is in a table."""

from __future__ import annotations

from typing import Any

import click

from beltline.cli.entities import find_table
from beltline.cli.errors import CommandError
from beltline.cli.offline import opened, run
from beltline.cli.output import print_json, print_rows
from beltline.cli.state import State

__all__ = ["command"]


@click.command("table")
@click.argument("name")
@click.option("-k", "--key", help="Only this key, as text.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print an object, or a list of pairs when keys are no texts.")
@click.pass_obj
def command(state: State, /, name: str, key: str | None, limit: int | None, as_json: bool) -> None:
    """Show what is in a table, sorted by key."""
    run(show(state, name, key, limit, as_json or state.json))


async def show(state: State, name: str, key: str | None, limit: int | None, as_json: bool) -> None:
    """Print the table as it is committed."""
    app = state.app
    if app.conf.is_memory:
        raise CommandError("broker='memory://' keeps nothing, so there is nothing to show")
    table = find_table(app, name)
    async with opened(app, with_tables=True):
        rows: list[tuple[Any, Any]] = list(table.items_in())
    if key is not None:
        rows = [row for row in rows if str(row[0]) == key]
        if not rows:
            raise CommandError(f"table {name!r} has no key {key!r}")
    rows.sort(key=sort_key)
    shown = rows if limit is None else rows[:limit]
    if as_json:
        texts = all(isinstance(row[0], str) for row in shown)
        distinct = len({repr(row[0]) for row in shown}) == len(shown)
        print_json(dict(shown) if texts and distinct else [list(row) for row in shown])
        return
    print_rows(name, ["key", "value"], shown, as_json=False)
    if len(shown) < len(rows):
        click.echo(f"{len(shown)} of {len(rows)} rows", err=True)


def sort_key(row: tuple[Any, Any]) -> tuple[str, Any]:
    """Sort numbers as numbers, and everything else as text."""
    key = row[0]
    return ("", key) if isinstance(key, int | float) else ("text", str(key))
