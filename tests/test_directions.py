"""Imports go down one list only; what a module loads when it is used does not count."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "beltline"

#: The rooms from the ground up. A module may import its own floor and those before it.
FLOORS = (
    {"types", "exceptions", "_native"},
    {"models", "serializers", "settings", "policies", "auth"},
    {
        *("channels", "topics", "topic_options", "events", "streams", "tables"),
        *("agents", "handlers", "failures", "services", "sending"),
    },
    {"app"},
    {"worker", "testing", "cli"},
)


def floor_of(name: str) -> int | None:
    """Return the floor of a module of the package, by the first part of its name."""
    return next((number for number, rooms in enumerate(FLOORS) if name in rooms), None)


def imports(path: Path) -> set[str]:
    """Return the rooms that a module imports when it is loaded."""
    found = set()
    inside = path.relative_to(PACKAGE).parts
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            base = list(("beltline", *inside[:-1])[: len(inside) + 1 - node.level]) if node.level else []
            full = [*base, *(node.module or "").split(".")]
            names = (
                [[*full, alias.name] for alias in node.names] if full[-1:] == [""] or full == ["beltline"] else [full]
            )
            found |= {
                parts[1] for parts in ([p for p in name if p] for name in names) if parts[0] == "beltline" and parts[1:]
            }
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            found |= {part[1] for part in parts if part[0] == "beltline" and part[1:]}
    return found


def test_imports_go_down() -> None:
    wrong, seen = [], 0
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        floor = floor_of(room)
        if room in ("__init__", "__main__"):
            continue
        assert floor is not None, f"{path} is on no floor: give it one in this test and in ARCHITECTURE.md"
        for other in imports(path):
            seen += 1
            target = floor_of(other)
            if target is None or target > floor:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert seen > 100, "the test has seen too few imports to mean anything"
    assert not wrong, "\n".join(wrong)
