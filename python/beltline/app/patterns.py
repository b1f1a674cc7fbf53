"""Topics that are read by a pattern: which there are, and which come up."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from beltline.streams.keys import BETWEEN

if TYPE_CHECKING:
    from beltline._native import Subscription
    from beltline.streams.reader import Reader

    from .session import BeltSession

__all__ = ["Patterns"]

logger = logging.getLogger(__name__)

#: What Kafka's own topics begin with.
KAFKAS_OWN: Final = "__"

#: How the names of changelogs end.
CHANGELOG: Final = "-changelog"

#: A log on this machine is looked through at least so often; that costs nothing.
LOCAL_INTERVAL_S: Final = 0.5

#: Brokers are asked at most so often, and at least once an hour.
INTERVALS_S: Final = (0.1, 3600.0)


class Reading(NamedTuple):
    """A pattern and what reads it."""

    pattern: re.Pattern[str]
    subscription: Subscription


class Patterns:
    """The patterns of one life of an app's belt.

    Args:
        session: Whose topics they are matched with.
    """

    def __init__(self, session: BeltSession) -> None:
        self._session = session
        self._readings: list[Reading] = []
        self._version = 0
        if session.is_kafka:
            # Topics may get more partitions too, to be read and to be sent to.
            session.belt.survey_topics(self.interval_s)

    @property
    def interval_s(self) -> float:
        """How long a new topic may stay unseen."""
        shortest, longest = INTERVALS_S
        wanted: float = min(max(self._session.app.conf.consumer_metadata_max_age_ms / 1000, shortest), longest)
        return wanted if self._session.is_kafka else min(wanted, LOCAL_INTERVAL_S)

    def subscribe(self, reader: Reader, pattern: re.Pattern[str]) -> Subscription:
        """Return what reads the topics that match, now and later."""
        belt = self._session.belt
        names = self._matching(pattern, belt.topics())
        if not names:
            logger.info("%s reads no topic yet: none matches the pattern %r", reader.name, pattern.pattern)
        subscription = belt.subscribe(reader.name, names, reader.tables_behind(()))
        subscription.loosen()
        self._readings.append(Reading(pattern, subscription))
        belt.survey_topics(self.interval_s)
        return subscription

    def hear(self) -> None:
        """Read topics that have come up."""
        belt = self._session.belt
        version = belt.topics_version()
        if version == self._version:
            return
        self._version = version
        seen = belt.topics_seen()
        self._session.partitions.update({name: count for name, count in seen if name in self._session.partitions})
        for pattern, subscription in self._readings:
            new = sorted(set(self._matching(pattern, seen)) - set(subscription.topics))
            if new:
                logger.info("%s reads more topics: %s", subscription.name, ", ".join(new))
                subscription.extend(new)

    def _matching(self, pattern: re.Pattern[str], topics: list[tuple[str, int]]) -> list[str]:
        """Return the topics that a pattern means, and make them known to the belt."""
        names = []
        for name, partitions in topics:
            if pattern.fullmatch(name) and not self._is_internal(name):
                self._session.expect(name, partitions)
                names.append(name)
        return names

    def _is_internal(self, name: str) -> bool:
        """Whether a topic is Kafka's, or one that this app keeps for itself."""
        session = self._session
        own = name.startswith(f"{session.app.conf.id}-") and name.endswith(CHANGELOG)
        between = name.endswith(BETWEEN) and name in session.declared
        return name.startswith(KAFKAS_OWN) or own or between or name in session.changelogs()
