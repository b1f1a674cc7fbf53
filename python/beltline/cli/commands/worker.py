"""``beltline worker``: runs the app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from beltline.cli.errors import CommandError
from beltline.cli.main import LEVELS
from beltline.cli.state import State

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["command"]

#: Options of Faust's web server, with whether they take a value.
WEB_OPTIONS = {"web_port": "-p/--web-port", "web_bind": "-b/--web-bind", "web_host": "-h/--web-host"}


@click.command("worker", help="Run the app until Ctrl-C or SIGTERM; events in flight are finished or given back.")
@click.option("-f", "--logfile", type=click.Path(path_type=Path), help="Write the log to this file.")
@click.option("-l", "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), help="Least level logged.")
@click.option("--blocking-timeout", type=float, help="Log the stack of a handler that blocks for so many seconds.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Run so many processes, which share the partitions; their lines begin with worker-0, worker-1 and so on. One "
    "that dies is started again, unless it dies three times in a row at its start. Health ports count up from "
    "health_port.",
)
@click.option("--worker-number", type=int, hidden=True)
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
    workers: int,
    worker_number: int | None,
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
    if workers > 1:
        run_several(app, workers)
    if worker_number is not None:
        become_one_of_several(app, worker_number)
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


def run_several(app: App, count: int) -> NoReturn:
    """Run worker processes of the same command line until Ctrl-C, then end the process.

    Raises:
        CommandError: The app's log cannot be shared among processes.
        SystemExit: Always: 0 after a stop that was asked for, 1 when the workers could not be kept running.
    """
    from beltline.worker.several import Several, command_of_one

    if app.conf.is_memory:
        raise CommandError("broker='memory://' lives within one process", "give the app a data directory, or Kafka")
    if not app.conf.is_kafka and not app.conf.endpoint:
        raise CommandError(
            "with the setting endpoint off no second process can reach the log", "turn it on, or leave out --workers"
        )
    commands = [command_of_one(sys.orig_argv[1:], number) for number in range(count)]
    sys.exit(Several(commands, app.conf.shutdown_deadline).run())


def become_one_of_several(app: App, number: int) -> None:
    """Take what is this child's own, and end with the parent."""
    from beltline.worker.several import end_with_parent

    if app.conf.health_port:
        app.conf.set("health_port", app.conf.health_port + number)
    end_with_parent()
