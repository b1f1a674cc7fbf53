"""``beltline send``: puts events on a topic."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from beltline.cli.custom import AppCommand
from beltline.cli.entities import find_entity
from beltline.cli.errors import CommandError
from beltline.cli.offline import opened, run
from beltline.cli.output import print_json
from beltline.cli.state import State
from beltline.exceptions import DecodeError, ImproperlyConfigured

if TYPE_CHECKING:
    from beltline.topics import Topic

__all__ = ["command"]

#: So many are committed together where nothing is to lie between them.
MAX_UNCOMMITTED: Final = 1000


@click.command("send", epilog='Example: beltline -A shop send orders \'{"customer": "ada", "amount": 1200}\' -k ada')
@click.argument("entity", metavar="TOPIC|@AGENT")
@click.argument("value", required=False)
@click.option("-k", "--key", help="Key of the event, as text.")
@click.option("-K", "--key-type", metavar="MODEL", help="Record type that reads the key, e.g. shop.Customer.")
@click.option("-V", "--value-type", metavar="MODEL", help="Record type that reads the value, e.g. shop.Order.")
@click.option("--key-serializer", help="Codec of the key in the place of the topic's.")
@click.option("--value-serializer", help="Codec of the value in the place of the topic's.")
@click.option("--partition", type=click.IntRange(min=0), help="Partition; without it the key decides.")
@click.option("--headers", metavar="JSON|NAME=VALUE", multiple=True, help="An object, or one header; may be repeated.")
@click.option("--create", is_flag=True, help="Create the topic if nobody knows it.")
@click.option("-r", "--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Send it so many times.")
@click.option("--min-latency", type=float, default=0.0, help="Least seconds between two of them.")
@click.option("--max-latency", type=float, default=0.0, help="Most seconds between two of them.")
@click.pass_obj
def command(state: State, /, **options: Any) -> None:
    """Put an event on a topic, or give it to an agent.

    VALUE is sent as it is written, after a check that the topic's type can read it. Without VALUE the event has a null
    value. What was sent is printed as JSON: topic, partition and offset.
    """
    run(send(state, **options))


async def send(
    state: State,
    *,
    entity: str,
    value: str | None,
    key: str | None,
    key_type: str | None,
    value_type: str | None,
    key_serializer: str | None,
    value_serializer: str | None,
    partition: int | None,
    headers: tuple[str, ...],
    create: bool,
    repeat: int,
    min_latency: float,
    max_latency: float,
) -> None:
    """Send and print the metadata of every record."""
    app = state.app
    if app.conf.is_memory:
        raise CommandError("broker='memory://' keeps nothing, so nobody would see it", "give the app a data directory")
    helper = AppCommand(state)
    pairs = header_pairs(headers)
    async with opened(app) as session:
        topic = find_entity(app, entity, known=dict(session.belt.topics()), create=create)
        with sendable(topic):
            raw_key = encoded(key, topic.key_serde, helper, key_type, key_serializer)
            raw_value = encoded(value, topic.value_serde, helper, value_type, value_serializer)
        sent = []
        for number in range(1, repeat + 1):
            receipt = await topic.send(
                key=raw_key,
                value=raw_value,
                partition=partition,
                headers=pairs,
                key_serializer="raw",
                value_serializer="raw",
            )
            sent.append(receipt)
            if max_latency or number == repeat or len(sent) == MAX_UNCOMMITTED:
                session.belt.request_commit()
                for receipt in sent:
                    print_json((await receipt)._asdict())
                sent.clear()
            if max_latency and number < repeat:
                await asyncio.sleep(random.uniform(min_latency, max_latency))


@contextmanager
def sendable(topic: Topic) -> Iterator[None]:
    """Say which topic it was that could not read a key or value.

    Raises:
        CommandError: With what its type says.
    """
    try:
        yield
    except (DecodeError, ImproperlyConfigured) as error:
        raise CommandError(f"topic {topic}: {error}", "nothing was sent") from error


def encoded(text: str | None, serde: Any, helper: AppCommand, model: str | None, codec: str | None) -> bytes | None:
    """Return the bytes of a key or value from the command line.

    Text for a topic of ``str`` may leave out JSON's quotes.

    Raises:
        DecodeError: The topic's type cannot read it.
    """
    if text is None:
        return None
    raw = text.encode("utf-8")
    if model is not None or codec is not None:
        from beltline.serializers import get_serde

        made = helper.import_relative_to_app(model) if model else None
        chosen = get_serde(made, codec or helper.value_serializer)
        chosen.loads(raw)
        return raw
    try:
        serde_loads(serde, raw)
    except DecodeError:
        quoted = json.dumps(text).encode()
        if serde_takes_text(serde, quoted):
            return quoted
        raise
    return raw


def serde_loads(serde: Any, raw: bytes) -> Any:
    """Decode with a serde, whose decoder may be one of the engine's by name."""
    loads = serde.loads
    if isinstance(loads, str):
        return raw.decode("utf-8") if loads == "str" else raw
    return loads.decode(raw) if hasattr(loads, "decode") else loads(raw)


def serde_takes_text(serde: Any, quoted: bytes) -> bool:
    """Whether a serde reads a JSON text as ``str``."""
    try:
        return isinstance(serde_loads(serde, quoted), str)
    except DecodeError:
        return False


def header_pairs(texts: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Return headers from the command line.

    Raises:
        CommandError: Neither a JSON object nor ``name=value``.
    """
    pairs: list[tuple[str, bytes]] = []
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                given = json.loads(text)
            except ValueError as error:
                raise CommandError(f"--headers {text}: no JSON object: {error}") from error
            pairs += [(name, str(value).encode()) for name, value in given.items()]
            continue
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandError(f"--headers {text}: write name=value or a JSON object")
        pairs.append((name, value.encode()))
    return pairs
