"""Everything an app can be told: names, units, limits and defaults. `docs/settings.md` is made from this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from beltline.exceptions import ImproperlyConfigured

from .common import BeltSettings, CommonSettings
from .kafka import KafkaSettings
from .other import ExtensionSettings, StreamSettings, WebSettings
from .setting import Effect, Setting

__all__ = ["Effect", "Setting", "Settings"]

#: Longest id: topic names are made of it and a log takes 249 characters.
MAX_ID_LENGTH = 150


class Settings(CommonSettings, BeltSettings, ExtensionSettings, StreamSettings, KafkaSettings, WebSettings):
    """The settings of one app.

    Args:
        id: Name of the app: of its group, its data directory and the topics it owns.
        environment: Variables to look at; None is the process's. A variable wins over an argument, as in Faust.
        given: Settings by name.

    Raises:
        ImproperlyConfigured: No id, an unknown setting, or a value that cannot be.

    Example:
        >>> Settings("shop", topic_partitions=4, environment={}).topic_partitions
        4
        >>> Settings("shop", environment={"TOPIC_PARTITIONS": "2"}).topic_partitions
        2
        >>> Settings("shop", environment={}, topic_partition=4)
        Traceback (most recent call last):
        ...
        beltline.exceptions.ImproperlyConfigured: unknown setting 'topic_partition': did you mean 'topic_partitions'?
    """

    old_names: ClassVar[Mapping[str, str]] = {
        "client_id": "broker_client_id",
        "commit_interval": "broker_commit_interval",
        "create_reply_topic": "reply_create_topic",
        "default_partitions": "topic_partitions",
        "num_standby_replicas": "table_standby_replicas",
        "replication_factor": "topic_replication_factor",
    }

    def __init__(
        self,
        id: str,  # noqa: A002 - the name that Faust gave it
        *,
        environment: Mapping[str, str] | None = None,
        **given: Any,
    ) -> None:
        self.name = check_id(id)
        super().__init__(given, environment=environment)

    @property
    def id(self) -> str:
        """The name of the group: the app's id, with its version when that is above 1."""
        if self.version == 1:
            return self.name
        return str(self.id_format.format(id=self.name, self=self))

    @property
    def is_memory(self) -> bool:
        """Whether nothing is kept."""
        return self.broker == "memory://"

    @property
    def is_kafka(self) -> bool:
        """Whether events live on brokers."""
        return self.broker.startswith("kafka://")

    def effects_here(self) -> frozenset[Effect]:
        """Which effects settings can have with this broker."""
        return frozenset({Effect.NOW, Effect.KAFKA if self.is_kafka else Effect.EMBEDDED})

    @property
    def appdir(self) -> Path:
        """The data directory; one log serves all versions of an app."""
        return self.datadir

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={self.setting(name).shown(value)}" for name, value in self.as_dict().items())
        return f"<Settings {self.id}: {given}>" if given else f"<Settings {self.id}>"


def check_id(app_id: str) -> str:
    """Return the app's id.

    Raises:
        ImproperlyConfigured: It is missing, too long, or would not make topic names.
    """
    if not isinstance(app_id, str) or not app_id:
        raise ImproperlyConfigured('an app needs an id: beltline.App("shop")')
    if len(app_id) > MAX_ID_LENGTH:
        raise ImproperlyConfigured(f"app id of {len(app_id)} characters, at most {MAX_ID_LENGTH}: {app_id[:60]!r}…")
    if app_id in (".", "..") or not all(char.isascii() and (char.isalnum() or char in "._-") for char in app_id):
        raise ImproperlyConfigured(f"app id {app_id!r}: use ASCII letters, digits, '.', '_' and '-'")
    return app_id
