"""Whether topics and tables have the partitions that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from beltline.streams.keys import BETWEEN

__all__ = ["misfits"]


def misfits(partitions: Mapping[str, int], changelogs: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each topic of `group_by` that has other numbers of partitions than every table.

    Events are grouped to find their place in a table: partition 5 of such a topic needs a fifth shard.

    Args:
        partitions: What topics have, or will have.
        changelogs: Changelogs and the tables that they belong to.

    Example:
        >>> [found] = misfits({"by-word-repartition": 6, "counts-changelog": 4}, {"counts-changelog": "counts"})
        >>> found[:100]
        'topic by-word-repartition has 6 partitions, but counts-changelog, the changelog of table counts, has'
    """
    tables = {name: count for name, count in partitions.items() if name in changelogs}
    if not tables:
        return
    for name, count in sorted(partitions.items()):
        if not name.endswith(BETWEEN) or count in tables.values():
            continue
        others = " and ".join(
            f"{changelog}, the changelog of table {changelogs[changelog]}, has {found}"
            for changelog, found in sorted(tables.items())
        )
        yield (
            f"topic {name} has {count} partitions, but {others}; both need the same number: add partitions to the one "
            "that has fewer while it is empty, or raise the setting version=, with which the app begins anew with "
            "topics and tables of its own"
        )
