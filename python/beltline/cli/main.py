"""The command ``beltline``: its options, and its commands, each loaded when it is called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .errors import guarded
from .state import State

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["cli", "run", "run_app"]

#: Module and help line of every command; help is here so that ``--help`` loads none of them.
COMMANDS: Final = {
    "worker": "Run the app until Ctrl-C.",
    "broker": "Let other processes reach the log by Kafka's protocol, without running the app.",
    "send": "Put an event on a topic, or give it to an agent.",
    "table": "Show what is in a table.",
    "agents": "List the agents of the app.",
    "tables": "List the tables of the app.",
    "models": "List the record types of the app.",
    "topics": "List the topics of the log.",
    "reset": "Forget the app's stored tables; the next start rebuilds them from the changelogs.",
}

#: Log levels by the names that the command line takes.
LEVELS: Final = ("crit", "error", "warn", "info", "debug")


class Commands(click.Group):
    """The built-in commands and those of the app."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return names in the order of the help page: built-in first, then the app's."""
        return [*COMMANDS, *sorted(self.of_app(context))]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if name in COMMANDS:
            command: click.Command = importlib.import_module(f"beltline.cli.commands.{name}").command
            return command
        return self.of_app(context, or_fail=True).get(name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing the built-in ones."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        own = self.of_app(context)
        if own:
            with formatter.section("Commands of the app"):
                formatter.write_dl([(name, command.get_short_help_str()) for name, command in sorted(own.items())])

    def of_app(self, context: click.Context, *, or_fail: bool = False) -> dict[str, click.Command]:
        """Return the commands that the app defines; nothing when it cannot be loaded and `or_fail` is off."""
        state = context.obj
        if not isinstance(state, State) or not state.has_app:
            # A help page is printed before the options are turned into a state.
            state = State(app_name=context.params.get("app_name"))
        if not state.has_app:
            return {}
        from .custom import commands_of

        try:
            return commands_of(state.app)
        except Exception:
            if or_fail:
                raise
            return {}


def show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print the version and end."""
    if wanted and not context.resilient_parsing:
        from beltline import __version__

        click.echo(f"beltline {__version__}")
        context.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["--help"], "max_content_width": 120},
    epilog='Examples:\n\n  beltline -A shop worker\n\n  beltline -A shop send orders \'{"customer": "ada"}\'',
)
@click.option(
    "-A", "--app", "app_name", metavar="MODULE[:NAME]", help="Module of the app, and its name in there.", is_eager=True
)
@click.option("-q", "--quiet", is_flag=True, help="No banner and no progress.")
@click.option(
    "--debug/--no-debug",
    default=False,
    envvar=["BELTLINE_DEBUG", "FAUST_DEBUG", "F_DEBUG"],
    help="Report more, and handlers that block.",
)
@click.option(
    "-W",
    "--workdir",
    type=click.Path(path_type=Path),
    envvar=["BELTLINE_WORKDIR", "FAUST_WORKDIR", "F_WORKDIR"],
    help="Change to this directory first.",
)
@click.option(
    "-D",
    "--datadir",
    type=click.Path(path_type=Path),
    envvar=["BELTLINE_DATADIR", "FAUST_DATADIR", "F_DATADIR"],
    help="Directory of the log and the tables.",
)
@click.option("--json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "-L",
    "--loop",
    type=click.Choice(["aio", "uvloop"]),
    default="aio",
    envvar=["BELTLINE_LOOP", "FAUST_LOOP", "F_LOOP"],
    help="Event loop.",
)
@click.option("-f", "--logfile", type=click.Path(path_type=Path), help="Write the log to this file.")
@click.option(
    "-l", "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), default="warn", help="Least level logged."
)
@click.option(
    "--blocking-timeout",
    type=float,
    envvar=["BELTLINE_BLOCKING_TIMEOUT", "FAUST_BLOCKING_TIMEOUT", "F_BLOCKING_TIMEOUT"],
    help="Log the stack of a handler that blocks for so many seconds.",
)
@click.option("--console-port", type=int, hidden=True, help="Accepted for Faust's sake; there is no console.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version, help="Print the version."
)
@click.pass_context
def cli(context: click.Context, /, console_port: int | None, **options: Any) -> None:
    """Python functions on a never-ending conveyor belt of events."""
    given = context.obj.given_app if isinstance(context.obj, State) else None
    state = State(given_app=given, **options)
    state.enter_workdir()
    context.obj = state


def run_app(app: App | None = None, args: list[str] | None = None, prog_name: str | None = None) -> None:
    """Run the command line and end the process.

    Args:
        app: The app whose command line it is; None takes ``-A``.
        args: Arguments without the program's name; None takes the process's.
        prog_name: What help pages call the program.

    Raises:
        SystemExit: Always: 0 for success, 1 for an error, 2 for wrong usage.
    """
    with guarded():
        cli.main(args=args, prog_name=prog_name or ("beltline" if app is None else None), obj=State(given_app=app))


def run() -> None:
    """Run ``beltline`` with the process's arguments."""
    run_app()
