"""``beltline models``: lists the record types of the app."""

from __future__ import annotations

import inspect
from typing import Any

import click

from beltline.cli.entities import short_name
from beltline.cli.output import print_rows
from beltline.cli.state import State

__all__ = ["command"]


@click.command("models")
@click.option("--builtins/--no-builtins", default=False, help="Also those of beltline itself.")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.pass_obj
def command(state: State, /, builtins: bool, as_json: bool) -> None:
    """List the record types of the app."""
    from beltline.models import registry

    app = state.app
    rows = [
        (short_name(app, namespace), first_line(model))
        for namespace, model in sorted(registry.items())
        if builtins or not is_builtin(namespace, model)
    ]
    print_rows("Models", ["name", "help"], rows, as_json=as_json or state.json)


def is_builtin(namespace: str, model: Any) -> bool:
    """Whether a record type belongs to beltline."""
    return namespace.startswith("@") or model.__module__.partition(".")[0] == "beltline"


def first_line(model: Any) -> str:
    """Return the first line of the class's own docstring."""
    text = inspect.cleandoc(model.__dict__.get("__doc__") or "")
    return text.partition("\n")[0]
