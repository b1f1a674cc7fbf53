"""Writes the page of settings: ``python -m beltline.settings.document > docs/settings.md``."""

from __future__ import annotations

import sys
from itertools import groupby

from . import Settings
from .setting import Effect, Setting

INTRODUCTION = """\
# Settings

Made from `beltline.settings` by `python -m beltline.settings.document`; change it there.

Settings are arguments of the app, `App("shop", topic_partitions=4)`, or are set later with
`app.conf.topic_partitions = 4`. An environment variable, where one is named, wins over the argument. Durations are
seconds or a `timedelta`; sizes are bytes, and text such as `"16 MiB"` is understood. An unknown setting is an error
that names the nearest known one.

Names, and defaults where nothing else is said, are Faust's. Settings that have nothing to act on in this version are
accepted, so that a Faust program starts, and a worker says at its start which of them the program gives.
"""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for section, group in groupby(Settings.settings(), key=lambda setting: setting.section):
        settings = list(group)
        effects = {setting.effect for setting in settings}
        common = effects.pop() if len(effects) == 1 else Effect.NOW
        effect = "" if common is Effect.NOW else f"\nEffect in this version: {common.value}.\n"
        parts.append(f"\n## {section}\n{effect}\n| Setting | Default | Variable | Meaning |\n|---|---|---|---|\n")
        parts.extend(row(setting, show_effect=not effect) for setting in settings)
    return "".join(parts)


def row(setting: Setting[object], *, show_effect: bool) -> str:
    """Return the line of one setting."""
    meaning = [setting.doc]
    limits = limits_of(setting)
    if limits:
        meaning.append(limits)
    if show_effect and setting.effect is not Effect.NOW:
        meaning.append(f"Effect: {setting.effect.value}.")
    variable = f"`{setting.env}`" if setting.env else "none"
    default = setting.describes_default
    cells = (f"`{setting.name}`", default, variable, " ".join(meaning))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def limits_of(setting: Setting[object]) -> str:
    """Return unit and limits in words."""
    unit = setting.unit or ""
    if setting.minimum is not None and setting.maximum is not None:
        return f"{setting.minimum} to {setting.maximum} {unit}".strip().capitalize() + "."
    if setting.minimum is not None:
        return f"At least {setting.minimum} {unit}".strip() + "."
    return f"In {unit}." if unit else ""


if __name__ == "__main__":
    sys.stdout.write(page())
