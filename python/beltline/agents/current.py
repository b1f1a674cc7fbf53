"""The agent whose code is running."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["current_agent"]

_current: ContextVar[Agent[Any] | None] = ContextVar("beltline_current_agent", default=None)


def current_agent() -> Agent[Any] | None:
    """Return the agent that the running task belongs to, or None.

    Example:
        >>> current_agent() is None
        True
    """
    return _current.get()


def set_current_agent(agent: Agent[Any]) -> None:
    """Say which agent the running task belongs to."""
    _current.set(agent)
