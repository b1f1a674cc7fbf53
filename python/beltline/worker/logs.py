"""Logging of a worker process."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any, Final

from beltline.exceptions import ImproperlyConfigured

__all__ = ["level_number", "redirected_prints", "set_up_logging", "wants_colour"]

FORMAT: Final = "[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s"

#: Names that the command line takes, besides those of `logging`.
LEVEL_NAMES: Final = {"crit": logging.CRITICAL, "warn": logging.WARNING}

#: Terminal colours of levels.
COLOURS: Final = {logging.CRITICAL: "1;31", logging.ERROR: "31", logging.WARNING: "33", logging.DEBUG: "2"}


class TerminalFormatter(logging.Formatter):
    """Colours a line by its level."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = super().format(record)
        colour = COLOURS.get(record.levelno)
        return line if colour is None else f"\x1b[{colour}m{line}\x1b[0m"


class PrintLogger:
    """A stream that logs every line written to it."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self.logger = logger
        self.level = level
        self._rest = ""
        self._is_writing = False

    def write(self, text: str) -> int:
        """Log the full lines; the rest waits for its end."""
        if self._is_writing:
            # A log handler that prints would come round for ever.
            sys.__stderr__.write(text) if sys.__stderr__ else None
            return len(text)
        self._is_writing = True
        try:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                if line:
                    self.logger.log(self.level, "%s", line)
        finally:
            self._is_writing = False
        return len(text)

    def flush(self) -> None:
        """Lines are logged when they end."""

    def isatty(self) -> bool:
        """A log is no terminal."""
        return False


def level_number(level: int | str | None, default: int = logging.WARNING) -> int:
    """Return a log level as a number.

    Raises:
        ImproperlyConfigured: A word that is no level.
    """
    if level is None:
        return default
    if isinstance(level, int):
        return level
    found = LEVEL_NAMES.get(level.lower()) or logging.getLevelNamesMapping().get(level.upper())
    if found is None:
        raise ImproperlyConfigured(f"log level {level!r}: it is crit, error, warn, info or debug")
    return found


def wants_colour(stream: IO[str]) -> bool:
    """Whether colours would be seen: on a terminal, unless NO_COLOR is set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def set_up_logging(
    level: int | str | None = None,
    logfile: Path | str | None = None,
    *,
    handlers: Iterable[logging.Handler] = (),
    config: Mapping[str, Any] | None = None,
) -> None:
    """Set up the root logger of this process.

    Args:
        level: Least level logged; None is ``warn``.
        logfile: Lines go there; None is the standard error stream.
        handlers: Further handlers.
        config: For ``logging.config.dictConfig``, in the place of all this.

    Raises:
        ImproperlyConfigured: A level or a file that cannot be.
    """
    if config is not None:
        logging.config.dictConfig(dict(config))
        return
    main: logging.Handler
    if logfile is None:
        main = logging.StreamHandler(sys.stderr)
        main.setFormatter(TerminalFormatter(FORMAT) if wants_colour(sys.stderr) else logging.Formatter(FORMAT))
    else:
        try:
            main = logging.FileHandler(logfile, encoding="utf-8")
        except OSError as error:
            raise ImproperlyConfigured(f"log file {logfile}: {error.strerror}") from error
        main.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=level_number(level), handlers=[main, *handlers], force=True)


@contextmanager
def redirected_prints(level: int | str) -> Iterator[None]:
    """Log what is printed."""
    target: Any = PrintLogger(logging.getLogger("print"), level_number(level))
    with redirect_stdout(target), redirect_stderr(target):
        yield
