"""What the options before the command said, and the app they lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CommandError

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["State"]


@dataclass
class State:
    """The options of the whole command line."""

    app_name: str | None = None
    given_app: App | None = None
    quiet: bool = False
    debug: bool = False
    workdir: Path | None = None
    datadir: Path | None = None
    json: bool = False
    loop: str = "aio"
    logfile: Path | None = None
    loglevel: str = "warn"
    blocking_timeout: float | None = None

    @property
    def has_app(self) -> bool:
        """Whether an app was named or given."""
        return self.given_app is not None or bool(self.app_name)

    def enter_workdir(self) -> None:
        """Change to the directory that ``--workdir`` names.

        Raises:
            CommandError: It is no directory.
        """
        if self.workdir is None:
            return
        try:
            os.chdir(self.workdir)
        except OSError as error:
            raise CommandError(f"--workdir {self.workdir}: {error.strerror}") from error

    @cached_property
    def app(self) -> App:
        """The app, imported and configured on first use.

        Raises:
            CommandError: None was named, or it cannot be found.
        """
        app = self.given_app
        if app is None:
            if not self.app_name:
                raise CommandError("which app?", "write beltline -A module[:attribute] before the command")
            from .loading import load_app

            app = load_app(self.app_name)
        if self.datadir is not None:
            app.conf.set("datadir", self.datadir)
        if self.debug:
            app.conf.set("debug", True)
        if self.blocking_timeout is not None:
            app.conf.set("blocking_timeout", self.blocking_timeout)
        app.finalize()
        app.discover()
        return app
