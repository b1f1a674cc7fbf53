"""What the command line prints instead of a traceback, and the tracebacks that it does print."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import click
import mode

from beltline.exceptions import FaustError

__all__ = ["CommandError", "guarded", "report"]

#: Beginnings of file names that are not the user's.
MACHINERY: Final = (
    str(Path(__file__).parents[1]),
    str(Path(click.__file__).parent),
    str(Path(mode.__file__).parent),
    str(Path(asyncio.__file__).parents[1]),
    "<frozen ",
)

#: Directories of the scripts that installers make; users do not write programs there.
SCRIPTS: Final = ("bin", "Scripts")


class CommandError(click.ClickException):
    """A mistake that can be said in a sentence.

    Args:
        problem: What is wrong.
        cure: What to do about it.
    """

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem)
        self.cure = cure

    def format_message(self) -> str:
        """Return the problem and, in a line of its own, the cure."""
        return f"{self.message}\n{self.cure}" if self.cure else self.message


@contextmanager
def guarded() -> Iterator[None]:
    """Report what goes wrong during a block and end the process; click's own errors are left to click.

    Raises:
        SystemExit: With code 1 for any error.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        report(error)
        raise SystemExit(1) from error


def report(error: BaseException) -> None:
    """Print an error: a traceback from the user's code on, or a sentence where no such code took part."""
    first = users_part(error.__traceback__)
    if first is None and isinstance(error, FaustError):
        click.echo(f"Error: {explained(error)}", err=True)
        return
    sys.stderr.write("".join(traceback.format_exception(type(error), error, first or error.__traceback__)))
    sys.stderr.flush()


def explained(error: BaseException) -> str:
    """Return the text of an error with the notes that were added to it."""
    return "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that is the user's; None when there is none."""
    while trace is not None:
        if is_users(trace.tb_frame.f_code.co_filename):
            return trace
        trace = trace.tb_next
    return None


def is_users(filename: str) -> bool:
    """Whether a file is the user's, and not Python's, beltline's, or the script that starts the command."""
    return not filename.startswith(MACHINERY) and Path(filename).parent.name not in SCRIPTS
