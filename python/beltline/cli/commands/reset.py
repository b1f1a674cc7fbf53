"""``beltline reset``: forgets the stored tables."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import click

from beltline.cli.errors import CommandError
from beltline.cli.offline import opened, run
from beltline.cli.state import State

__all__ = ["command"]

#: Folder of the tables inside the data directory; the log beside it is not touched.
STORE_FOLDER: Final = "tables"


@click.command("reset")
@click.pass_obj
def command(state: State, /) -> None:
    """Forget the app's stored tables.

    Topics, changelogs and positions stay: the next start rebuilds every table from its changelog. To begin from nothing
    raise the setting `version`, or remove the data directory.
    """
    run(reset(state))


async def reset(state: State) -> None:
    """Remove the store while nobody else can hold the data directory."""
    app = state.app
    if app.conf.is_memory:
        raise CommandError("broker='memory://' keeps nothing, so there is nothing to reset")
    if app.conf.is_kafka:
        raise CommandError(
            "on Kafka each worker keeps copies of its tables in a place of its own below the data directory",
            f"stop the workers and remove {Path(app.conf.datadir).absolute()}; the next start rebuilds them",
        )
    store = Path(app.conf.datadir) / STORE_FOLDER
    async with opened(app, start=False) as session:
        if session.holder is not None:
            raise CommandError(f"the data directory is in use by {session.holder}", "stop it first")
        try:
            shutil.rmtree(store)
        except FileNotFoundError:
            click.echo(f"nothing to reset in {store.absolute()}")
            return
        except OSError as error:
            raise CommandError(f"cannot remove {store.absolute()}: {error.strerror}") from error
    click.echo(f"removed {store.absolute()}; the next start rebuilds the tables from their changelogs")
