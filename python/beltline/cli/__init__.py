"""The command line, and what users need to add commands of their own to it. Loads click only when it is used."""

from __future__ import annotations

# As `typing` has it, without what importing `typing` costs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .custom import AppCommand, Command, argument, call_command, option

__all__ = ["AppCommand", "Command", "argument", "call_command", "option"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import custom

        return getattr(custom, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
