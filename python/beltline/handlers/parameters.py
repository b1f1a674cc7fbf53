"""What a handler's function wants to be called with, read from the names of its parameters."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from beltline.events import Event
from beltline.exceptions import ImproperlyConfigured

__all__ = ["Parameters", "parameters_of"]

Getter = Callable[[Any, Any], Any]


def message_of(stream: Any) -> Any:
    """Return the message of the current event, of a topic or a channel in memory."""
    message = stream.current_message
    if message is not None:
        return message
    event = stream.current_event
    return None if event is None else event.message


def _of_message(attribute: str, missing: Any) -> Getter:
    def get(stream: Any, _: Any) -> Any:
        message = message_of(stream)
        return missing if message is None else getattr(message, attribute)

    return get


def _headers(stream: Any, _: Any) -> dict[str, Any]:
    message = message_of(stream)
    return {} if message is None else dict(message.headers)


#: By parameter name: how to get it from the stream and the value.
GETTERS: Final[dict[str, Getter]] = {
    "key": lambda stream, _: stream.current_key,
    "headers": _headers,
    "timestamp": _of_message("timestamp", 0.0),
    "topic": _of_message("topic", ""),
    "partition": _of_message("partition", 0),
    "offset": _of_message("offset", -1),
    "message": lambda stream, _: message_of(stream),
}

#: What a function that gets lists may ask for besides; all events of one list have it in common.
BATCH_GETTERS: Final = ("topic", "partition")


def _value(_: Any, value: Any) -> Any:
    return value


def _event(stream: Any, _: Any) -> Any:
    return stream.current_event


@dataclass(frozen=True, slots=True)
class Parameters:
    """How to call a handler's function.

    Attributes:
        positional: Getters of the positional arguments.
        keywords: Getters of the keyword-only arguments.
        value_type: The annotation of the value's parameter, None without one.
        only_value: Whether the value is the one and only argument.
    """

    positional: tuple[Getter, ...]
    keywords: tuple[tuple[str, Getter], ...]
    value_type: Any
    only_value: bool

    def arguments(self, stream: Any, value: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments for the current event."""
        positional = [get(stream, value) for get in self.positional]
        return positional, {name: get(stream, value) for name, get in self.keywords}


def parameters_of(fun: Callable[..., Any], name: str, *, batch: bool) -> Parameters:
    """Return how `fun` wants to be called.

    Args:
        fun: The handler's function.
        name: Of the handler, for messages.
        batch: Whether it gets lists.

    Raises:
        ImproperlyConfigured: No parameter for the value, several, or ``*args``.
    """
    signature = inspect.signature(fun)
    hints = type_hints(fun)
    known = {key: getter for key, getter in GETTERS.items() if not batch or key in BATCH_GETTERS}
    positional: list[Getter] = []
    keywords: list[tuple[str, Getter]] = []
    value_name: str | None = None
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ImproperlyConfigured(f"handler {name}: '{parameter}' is not filled; name what the function needs")
        getter = known.get(parameter.name)
        if getter is None:
            if value_name is not None:
                if parameter.default is not parameter.empty:
                    continue
                raise ImproperlyConfigured(
                    f"handler {name}: '{value_name}' gets the {'events' if batch else 'value'}, but what is "
                    f"'{parameter.name}'? Known besides: {', '.join(known)}"
                )
            value_name = parameter.name
            getter = _event if hints.get(parameter.name) is Event else _value
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords.append((parameter.name, getter))
        else:
            positional.append(getter)
    if value_name is None and not positional and not keywords:
        raise ImproperlyConfigured(f"handler {name} takes no parameter; give it one, e.g. 'event', for the value")
    hint = hints.get(value_name) if value_name is not None else None
    return Parameters(
        positional=tuple(positional),
        keywords=tuple(keywords),
        value_type=element_type(hint) if batch else (None if hint in (Event, Any) else hint),
        only_value=positional == [_value] and not keywords,
    )


def element_type(hint: Any) -> Any:
    """Return ``Order`` for ``list[Order]``, None for anything else."""
    arguments = typing.get_args(hint)
    return arguments[0] if typing.get_origin(hint) is list and arguments else None


def type_hints(fun: Any) -> dict[str, Any]:
    """Return the annotations of a function; none where they name something that cannot be found."""
    target = fun if inspect.isroutine(fun) else getattr(fun, "__call__", fun)  # noqa: B004
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return {}
