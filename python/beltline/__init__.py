"""Python functions on a never-ending conveyor belt of events.

Everything here is loaded when it is first used, so that ``import beltline`` costs a program that only sends, or only
defines records, next to nothing.
"""

from __future__ import annotations

import importlib

# As `typing` has it, without what importing `typing` costs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import uuid
    from typing import Any, Final

    from mode import Service

    from . import auth, exceptions, models, policies, serializers, testing, types
    from ._native import __version__
    from .agents import Agent, current_agent
    from .app import App
    from .auth import GSSAPICredentials, OAuthCredentials, SASLCredentials, SSLCredentials
    from .channels import Channel
    from .events import Event, current_event
    from .models import ModelOptions, Record
    from .policies import dead_letter, retry
    from .serializers import Codec
    from .settings import Settings
    from .streams import Stream
    from .tables import Table
    from .topics import Topic
    from .worker import Worker

__all__ = [
    "Agent",
    "App",
    "Channel",
    "Codec",
    "Event",
    "GSSAPICredentials",
    "ModelOptions",
    "OAuthCredentials",
    "Record",
    "SASLCredentials",
    "SSLCredentials",
    "Service",
    "Settings",
    "Stream",
    "Table",
    "Topic",
    "Worker",
    "__version__",
    "auth",
    "current_agent",
    "current_event",
    "dead_letter",
    "exceptions",
    "models",
    "policies",
    "retry",
    "serializers",
    "testing",
    "types",
    "uuid",
]

#: Where the names are.
HOMES: Final = {
    "Agent": ".agents",
    "App": ".app",
    "Channel": ".channels",
    "Codec": ".serializers",
    "Event": ".events",
    "GSSAPICredentials": ".auth",
    "ModelOptions": ".models",
    "OAuthCredentials": ".auth",
    "Record": ".models",
    "SASLCredentials": ".auth",
    "SSLCredentials": ".auth",
    "Service": "mode.services",
    "Settings": ".settings",
    "Stream": ".streams",
    "Table": ".tables",
    "Topic": ".topics",
    "Worker": ".worker",
    "__version__": "._native",
    "current_agent": ".agents",
    "current_event": ".events",
    "dead_letter": ".policies",
    "retry": ".policies",
}

#: Modules that are reached as attributes without an import of their own.
MODULES: Final = {
    **{
        name: f".{name}"
        for name in ("agents", "app", "auth", "channels", "cli", "events", "exceptions", "models", "policies")
    },
    **{name: f".{name}" for name in ("serializers", "services", "settings", "streams", "tables", "testing", "topics")},
    **{name: f".{name}" for name in ("types", "worker")},
    "uuid": "uuid",
}

#: What Faust has and this version has not; asking for it says so.
# fmt: off
NOT_HERE: Final = frozenset(
    [
        "AgentT", "ChannelT", "EventT", "GlobalTable", "HoppingWindow", "Monitor",
        "Schema", "Sensor", "ServiceT",
        "SetGlobalTable", "SetTable", "SlidingWindow", "StreamT", "TopicT", "TumblingWindow", "Window",
        "livecheck", "sensors", "web", "windows",
    ]
)
# fmt: on


def __getattr__(name: str) -> Any:
    home = HOMES.get(name)
    if home is not None:
        found = getattr(importlib.import_module(home, __name__), name)
    elif name in MODULES:
        found = importlib.import_module(MODULES[name], __name__)
    elif name in NOT_HERE:
        raise AttributeError(f"beltline.{name} is not in this version; see docs/differences.md for what differs")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *MODULES})
