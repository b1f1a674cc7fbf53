"""How topics are created: arguments, and options by Kafka's names."""

from __future__ import annotations

from typing import Any

import beltline as bl
import pytest
from beltline.exceptions import ImproperlyConfigured
from beltline.topic_options import options_of


def topic(**options: Any) -> Any:
    return bl.App("shop", broker="memory://").topic("orders", **options)


def test_arguments_are_said_in_the_logs_words() -> None:
    assert options_of(topic()) == (False, None, None, False, [])
    assert options_of(topic(compacting=True, retention=1.5)) == (True, 1500, None, False, [])
    both = options_of(topic(compacting=True, deleting=True))
    assert both.compacted
    assert both.config == [("cleanup.policy", "compact,delete")]


def test_options_by_kafkas_names_win() -> None:
    config = {"retention.ms": 10, "retention.bytes": "20", "cleanup.policy": "compact", "preallocate": True}
    options = options_of(topic(retention=99, config=config))
    assert options[:4] == (True, 10, 20, False)
    assert ("preallocate", "true") in options.config
    assert options_of(topic(retention=99, config={"retention.ms": -1})).retention_ms is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"retention.ms": "a week"}, "topic orders: retention.ms='a week', but it is a whole number"),
        ({"cleanup.policy": "burn"}, "topic orders: cleanup.policy='burn', but it is 'delete' or 'compact'"),
        ({"message.timestamp.type": "now"}, "'CreateTime' or 'LogAppendTime'"),
    ],
)
def test_options_that_mean_nothing_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        options_of(topic(config=config))


def test_records_carry_the_time_of_the_append_where_the_topic_says_so() -> None:
    app = bl.App("times", broker="memory://")
    appended = app.topic("appended", value_type=int, config={"message.timestamp.type": "LogAppendTime"})
    created = app.topic("created", value_type=int)
    with bl.testing.run(app) as belt:
        for one in (appended, created):
            belt.send(one, 1, timestamp=7.0)
        belt.drain()
        assert [record.timestamp for record in belt.records(created)] == [7.0]
        assert [record.timestamp for record in belt.records(appended)] == [belt.time()]
