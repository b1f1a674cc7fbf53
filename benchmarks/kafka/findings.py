"""What the parts found, as tables and as promises that are kept or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Promise:
    """Something the product promises, and what was found."""

    words: str
    figure: str
    is_kept: bool

    @classmethod
    def at_least(cls, words: str, figure: float, bar: float) -> Promise:
        """Return the promise that a figure reaches a bar."""
        return cls(f"{words}: at least {bar:g}", f"{figure:.2f}", figure >= bar)

    @classmethod
    def at_most(cls, words: str, figure: float, bar: float) -> Promise:
        """Return the promise that a figure does not pass a bar."""
        return cls(f"{words}: at most {bar:g}", f"{figure:.2f}", figure <= bar)


@dataclass
class Findings:
    """Tables, remarks and promises in the order in which they were found.

    Attributes:
        conditions: How they were got.
    """

    conditions: str = ""
    sections: list[str] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)

    def table(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; it is shown at once."""
        widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]

        def line(row: Sequence[str]) -> str:
            first, *others = zip(row, widths, strict=True)
            cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
            return f"| {' | '.join(cells)} |"

        rules = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
        text = "\n".join([title, "", line(heads), f"|{'|'.join(rules)}|", *map(line, rows)])
        print(f"\n{text}\n", flush=True)
        self.sections.append(text)

    def remark(self, words: str) -> None:
        """Add a sentence; it is shown at once."""
        print(words, flush=True)
        self.sections.append(words)

    def promise(self, promise: Promise) -> None:
        """Add a promise; it is shown at once."""
        print(f"{'ok  ' if promise.is_kept else 'MISS'} {promise.words}: {promise.figure}", flush=True)
        self.promises.append(promise)

    def as_text(self) -> str:
        """Return everything as Markdown."""
        lines = [f"| {one.words} | {one.figure} | {'yes' if one.is_kept else '**no**'} |" for one in self.promises]
        table = "\n".join(["| Promise | Found | Kept |", "|---|---|---|", *lines])
        return "\n\n".join([*self.sections, table])
