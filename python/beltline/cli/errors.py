"""What the command line prints instead of a traceback, and the tracebacks that it does print."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import click

from beltline.exceptions import FaustError

__all__ = ["CommandError", "guarded", "print_user_error"]

#: Frames of these directories are the machinery between the command line and the user's module.
MACHINERY = (str(Path(__file__).parents[1]), str(Path(click.__file__).parent), "<frozen importlib")


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
    """Print beltline's own errors as one line, everything else from the user's first line on.

    Raises:
        SystemExit: With code 1 for any error.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except FaustError as error:
        if raised_by_user(error.__traceback__):
            print_user_error(error)
        else:
            click.echo(f"Error: {explained(error)}", err=True)
        raise SystemExit(1) from error
    except Exception as error:
        print_user_error(error)
        raise SystemExit(1) from error


def explained(error: BaseException) -> str:
    """Return the text of an error with the notes that were added to it."""
    return "\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])


def print_user_error(error: BaseException) -> None:
    """Print a traceback that begins at the user's code."""
    trace = without_machinery(error.__traceback__)
    lines = traceback.format_exception(type(error), error, trace)
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


def is_machinery(filename: str) -> bool:
    """Whether a file belongs to the command line and not to the user."""
    return filename.startswith(MACHINERY)


def raised_by_user(trace: TracebackType | None) -> bool:
    """Whether a line of the user's is in the traceback."""
    return any(not is_machinery(frame.filename) and frame.name != "<lambda>" for frame in user_frames(trace))


def user_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the frames that are neither beltline's nor click's nor of the script that started them."""
    frames = traceback.extract_tb(trace)
    return [
        frame
        for frame in frames
        if not is_machinery(frame.filename)
        and Path(frame.filename).name not in ("beltline", "runpy.py", "runners.py", "base_events.py", "__main__.py")
        and not frame.filename.startswith(str(Path(sys.prefix) / "lib"))
        and not frame.filename.startswith(str(Path(sys.base_prefix) / "lib"))
        and not frame.filename.startswith("<frozen")
    ]


def without_machinery(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is the user's, or all of it when none is."""
    first = user_frames(trace)
    if not first:
        return trace
    wanted = first[0]
    current = trace
    while current is not None:
        if current.tb_frame.f_code.co_filename == wanted.filename and current.tb_lineno == wanted.lineno:
            return current
        current = current.tb_next
    return trace
