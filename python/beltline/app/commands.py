"""Commands that an app adds to the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CommandSpec"]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A function that ``@app.command`` made a command; the command line makes a click command of it when it runs.

    Attributes:
        name: What is typed.
        fun: Coroutine function; takes ``self`` (the running command) if it has a parameter of that name.
        options: Click options and arguments.
        base: Class that the command derives from, None for the usual one.
        settings: Further options of the command class, such as ``daemon``.
    """

    name: str
    fun: Callable[..., Any]
    options: tuple[Any, ...] = ()
    base: type[Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def help(self) -> str:
        """What the function's docstring says."""
        return (self.fun.__doc__ or "").strip()
