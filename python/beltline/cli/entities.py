"""Finds the topic or agent that is named on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import CommandError

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["declared_topics", "find_entity", "find_table", "short_name", "suggestion"]


def short_name(app: App, name: str) -> str:
    """Return an agent's name as the command line shows it: without the app's package."""
    origin = app.conf.origin
    return name.removeprefix(f"{origin}.") if origin else name


def declared_topics(app: App) -> dict[str, Any]:
    """Return the topics that the app describes, those of agents without a topic of their own included."""
    for consumer in app.consumers():
        getattr(consumer, "channel", None)
    return app.topics


def find_entity(app: App, entity: str, *, known: Iterable[str] = (), create: bool = False) -> Any:
    """Return the topic that ``name`` means, or the topic of the agent that ``@name`` means.

    Args:
        app: Whose topics and agents are searched.
        entity: What was typed.
        known: Further topics, those of the log.
        create: Whether a topic that nobody knows is made.

    Raises:
        CommandError: Nobody knows it; the nearest name is suggested.
    """
    if entity.startswith("@"):
        return find_agent(app, entity[1:]).channel
    topics = declared_topics(app)
    if entity in topics:
        return topics[entity]
    names = sorted({*topics, *known})
    if entity in names or create:
        return app.topic(entity)
    raise CommandError(f"there is no topic {entity!r}", suggestion(entity, names, "to make it, add --create"))


def find_agent(app: App, name: str) -> Any:
    """Return the agent of that full or short name.

    Raises:
        CommandError: There is none.
    """
    agents: dict[str, Any] = {**app.handlers, **app.agents}
    by_name = {**{short_name(app, full): agent for full, agent in agents.items()}, **agents}
    last = {full.rpartition(".")[2]: agent for full, agent in agents.items()}
    found = by_name.get(name) or last.get(name)
    if found is None:
        raise CommandError(f"there is no agent @{name}", suggestion(name, sorted(by_name), "see: agents"))
    return found


def find_table(app: App, name: str) -> Any:
    """Return the table of that name.

    Raises:
        CommandError: There is none.
    """
    found = app.tables.get(name)
    if found is None:
        raise CommandError(f"there is no table {name!r}", suggestion(name, sorted(app.tables), "see: tables"))
    return found


def suggestion(name: str, names: list[str], otherwise: str) -> str:
    """Return the nearest name in words."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else otherwise
