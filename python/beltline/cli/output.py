"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["print_json", "print_rows", "text_of"]


def print_json(value: Any) -> None:
    """Print one JSON text, with whatever JSON does not know as the text that ``str`` makes of it."""
    click.echo(json.dumps(value, default=plain, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return what JSON can write."""
    if hasattr(value, "asdict"):
        return value.asdict()
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Print rows as a table, or as a list of objects.

    Args:
        title: Above the table.
        columns: Names of the columns, and of the fields of the objects.
        rows: One sequence of cells for each row.
        as_json: Objects in the place of a table.
    """
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(text_of(cell) for cell in row))
        count += 1
    console = Console(markup=False, highlight=False, soft_wrap=False)
    if count == 0:
        console.print(f"{title}: none")
        return
    console.print(table)


def text_of(cell: Any) -> str:
    """Return a cell as text; bytes as UTF-8 where they are."""
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return cell if isinstance(cell, str) else str(cell)
