"""Commands that users write: ``@app.command`` and classes derived from `AppCommand`."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import click

from .errors import CommandError
from .output import plain, print_rows
from .state import State

if TYPE_CHECKING:
    from beltline.app import App
    from beltline.app.commands import CommandSpec

__all__ = ["AppCommand", "Command", "Outcome", "argument", "call_command", "commands_of", "option"]

argument = click.argument


def option(*declarations: str, show_default: bool = True, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an option of a command, as ``click.option`` does, with the default shown in the help page."""
    return click.option(*declarations, show_default=show_default, **attributes)


class Command:
    """A command as a class: `run` does the work.

    Attributes:
        options: Made with `option` and `argument`; their values are the arguments of `run`.
        daemon: Goes on after `run`, with the app started, until Ctrl-C.
        require_app: Whether ``-A`` has to be given.
        redirect_stdouts: Accepted for Faust's sake; what is printed is printed.
    """

    options: ClassVar[Sequence[Any]] = ()
    daemon: ClassVar[bool] = False
    require_app: ClassVar[bool] = False
    redirect_stdouts: ClassVar[bool] = False

    def __init__(self, state: State) -> None:
        self.state = state
        self.quiet = state.quiet
        self.debug = state.debug

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; this one does nothing."""

    def execute(self, **options: Any) -> Any:
        """Run the command to its end."""
        return asyncio.run(self._execute(options))

    async def _execute(self, options: Mapping[str, Any]) -> Any:
        return await self.run(**options)

    def say(self, message: Any, **_: Any) -> None:
        """Print to the standard output, unless ``--quiet``."""
        if not self.quiet:
            click.echo(message)

    def carp(self, message: Any, **_: Any) -> None:
        """Print to the standard error stream with ``--debug``."""
        if self.debug:
            click.echo(message, err=True)

    def dumps(self, value: Any) -> str:
        """Return a value as JSON."""
        return json.dumps(value, default=plain)

    def tabulate(self, rows: Iterable[Sequence[Any]], headers: Sequence[str] = (), title: str = "") -> None:
        """Print rows as a table, or as JSON with ``--json``."""
        print_rows(title, headers, rows, as_json=self.state.json)

    @classmethod
    def as_click_command(cls, name: str | None = None, help_text: str | None = None) -> click.Command:
        """Return what click runs."""

        @click.pass_obj
        def call(state: State, /, **options: Any) -> Any:
            return cls(state).execute(**options)

        function: Any = call
        for decorate in reversed(list(cls.options)):
            function = decorate(function)
        text = help_text if help_text is not None else inspect.getdoc(cls)
        return click.command(name or cls.__name__.lower().replace("_", "-"), help=text)(function)


class AppCommand(Command):
    """A command that works with the app, as ``self.app``. What it sends is committed before it ends."""

    require_app = True

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.app: App = state.app
        self.key_serializer = self.app.conf.key_serializer
        self.value_serializer = self.app.conf.value_serializer

    async def _execute(self, options: Mapping[str, Any]) -> Any:
        try:
            result = await self.run(**options)
            if self.daemon:
                await self.app.maybe_start()
                await asyncio.Event().wait()
            return result
        finally:
            if self.app.has_session:
                await self.app.stop()

    def import_relative_to_app(self, name: str) -> Any:
        """Return what a dotted name means, from the app's package when it has no dot.

        Raises:
            CommandError: Nothing.
        """
        from beltline.settings.convert import symbol

        origin = self.app.conf.origin
        for candidate in (name, f"{origin}.{name}", f"{origin}.models.{name}") if origin else (name,):
            try:
                return symbol(candidate)
            except ValueError:
                continue
        raise CommandError(f"there is no {name!r} to import", "write it like package.module.Name")

    def to_key(self, model: str | None, key: str) -> Any:
        """Return a key from the command line: an instance of `model`, or the bytes as they are."""
        return self.to_model(model, key, self.key_serializer)

    def to_value(self, model: str | None, value: str) -> Any:
        """Return a value from the command line: an instance of `model`, or the bytes as they are."""
        return self.to_model(model, value, self.value_serializer)

    def to_model(self, model: str | None, text: str, serializer: Any) -> Any:
        """Return an instance of the named model, or the bytes of the text."""
        raw = text.encode("utf-8")
        return self.import_relative_to_app(model).loads(raw, serializer=serializer) if model else raw

    def to_topic(self, entity: str) -> Any:
        """Return the topic or the agent that ``name`` or ``@name`` means."""
        from .entities import find_entity

        return find_entity(self.app, entity)

    def abbreviate_fqdn(self, name: str, *, prefix: str = "") -> str:
        """Return a name without the app's package."""
        origin = self.app.conf.origin
        short = name.removeprefix(f"{origin}.") if origin else name
        return f"{prefix}{short}"


class Outcome(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def call_command(command: str, args: Sequence[str] | None = None, *, app: App | None = None) -> Outcome:
    """Run a command inside this process, for tests.

    Args:
        command: Name of the command.
        args: Its arguments; options before the command are not among them.
        app: The app; None for commands that need none.
    """
    from click.testing import CliRunner

    from .main import cli

    result = CliRunner().invoke(cli, [command, *(args or [])], obj=State(given_app=app))
    return Outcome(result.exit_code, result.stdout, result.stderr)


def commands_of(app: App) -> dict[str, click.Command]:
    """Return the commands that an app defines, by name."""
    return {name: click_command(spec) for name, spec in app.commands.items()}


def click_command(spec: CommandSpec) -> click.Command:
    """Return what click runs for a function that ``@app.command`` took."""
    takes_self = "self" in inspect.signature(spec.fun).parameters

    async def run(self: Command, **options: Any) -> Any:
        result = spec.fun(self, **options) if takes_self else spec.fun(**options)
        return await result if inspect.isawaitable(result) else result

    base = spec.base or AppCommand
    members = {"run": run, "options": [*base.options, *spec.options], **spec.settings}
    own: type[Command] = type(spec.name, (base,), members)
    return own.as_click_command(spec.name, spec.help)
