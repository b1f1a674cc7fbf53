"""Text tables for terminals and logs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["ansitable"]

#: Wide enough that rich never folds a cell of a table that is not for a terminal.
UNLIMITED_WIDTH = 100_000


def ansitable(
    rows: Iterable[tuple[Any, Any]],
    *,
    title: str,
    key: str = "Key",
    value: str = "Value",
    sort: bool = False,
    sortkey: Callable[[Any], Any] = lambda row: row[0],
    target: Any = None,
) -> str:
    """Return rows as a table with lines around its cells.

    Args:
        rows: Keys and values.
        title: Above the table.
        key: Title of the left column.
        value: Title of the right column.
        sort: Whether rows are ordered by `sortkey`.
        sortkey: Takes a row.
        target: A file; colours are used when it is a terminal.
    """
    # rich is only loaded by who draws something.
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    drawing = Drawing(title=Text(title), box=box.SQUARE, show_lines=False, title_justify="left")
    drawing.add_column(Text(key))
    drawing.add_column(Text(value))
    for left, right in sorted(rows, key=sortkey) if sort else rows:
        drawing.add_row(Text(str(left)), Text(str(right)))
    is_terminal = bool(target is not None and getattr(target, "isatty", bool)())
    page = io.StringIO()
    console = Console(file=page, force_terminal=is_terminal, width=None if is_terminal else UNLIMITED_WIDTH)
    console.print(drawing, crop=False)
    return page.getvalue().rstrip("\n")
