"""``beltline worker``: runs the app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from beltline.cli.main import LEVELS
from beltline.cli.state import State

__all__ = ["command"]

#: Options of Faust's web server, with whether they take a value.
WEB_OPTIONS = {"web_port": "-p/--web-port", "web_bind": "-b/--web-bind", "web_host": "-h/--web-host"}


@click.command("worker", help="Run the app until Ctrl-C or SIGTERM; events in flight are finished or given back.")
@click.option("-f", "--logfile", type=click.Path(path_type=Path), help="Write the log to this file.")
@click.option("-l", "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="Least level logged.")
@click.option("--blocking-timeout", type=float, help="Log the stack of a handler that blocks for so many seconds.")
@click.option("--console-port", type=int, hidden=True)
@click.option("--with-web/--without-web", "with_web", default=None, help="Accepted; there is no web server yet.")
@click.option("-p", "--web-port", type=int, hidden=True)
@click.option("-b", "--web-bind", hidden=True)
@click.option("-h", "--web-host", hidden=True)
@click.option("--web-transport", hidden=True)
@click.pass_obj
def command(
    state: State,
    /,
    logfile: Path | None,
    loglevel: str | None,
    blocking_timeout: float | None,
    console_port: int | None,
    with_web: bool | None,
    **web_options: Any,
) -> None:
    """Run the app."""
    from beltline.worker import Worker

    app = state.app
    if with_web or any(value is not None for value in web_options.values()):
        click.echo("note: this version has no web server; the web options do nothing", err=True)
    if console_port is not None:
        click.echo("note: there is no console; --console-port does nothing", err=True)
    if blocking_timeout is not None:
        app.conf.set("blocking_timeout", blocking_timeout)
    worker_class = app.conf.Worker or Worker
    worker = worker_class(
        app,
        quiet=state.quiet,
        loglevel=loglevel or state.loglevel,
        logfile=logfile or state.logfile,
        loop=state.loop,
    )
    worker.execute_from_commandline()
