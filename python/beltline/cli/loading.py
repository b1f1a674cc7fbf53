"""Finds the app that ``-A module[:attribute]`` names."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from .errors import CommandError

if TYPE_CHECKING:
    from beltline.app import App

__all__ = ["load_app"]

#: Where the app is looked for when ``-A`` names only a module.
DEFAULT_ATTRIBUTE: Final = "app"

#: So many names are listed at most in an error.
MAX_LISTED: Final = 10


def load_app(spec: str) -> App:
    """Import the module and return the app in it.

    Args:
        spec: ``module``, ``package.module`` or ``module:attribute``; without an attribute it is ``app``, or the only
            app in the module.

    Raises:
        CommandError: The module or the app is not there; the message says what is.
        Exception: What the module itself raised while it was imported.
    """
    module_name, _, attribute = spec.partition(":")
    check_spelling(spec, module_name)
    add_working_directory()
    module = import_module(module_name)
    app = find_app(module, attribute)
    if not app.conf.was_given("origin"):
        app.conf.set("origin", module_name.partition(".")[0])
    return app


def check_spelling(spec: str, module_name: str) -> None:
    """Refuse paths, which Python does not import.

    Raises:
        CommandError: With the spelling that was probably meant.
    """
    if not module_name:
        raise CommandError("-A needs the name of a module", "write -A shop for shop.py, or -A package.module:app")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        dotted = module_name.removesuffix(".py").strip("./\\").replace("/", ".").replace("\\", ".")
        meant = dotted + spec[len(module_name) :]
        raise CommandError(f"-A {spec} is a path, but -A takes the name of a module", f"write -A {meant}")


def add_working_directory() -> None:
    """Let modules in the working directory be found, as ``python -m`` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def import_module(name: str) -> ModuleType:
    """Import a module.

    Raises:
        CommandError: There is no such module. What is missing *inside* of it is raised as it is.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise
        near = difflib.get_close_matches(name, modules_here(), n=1)
        hint = f"did you mean -A {near[0]}?" if near else f"modules are looked for in {Path.cwd()} first"
        raise CommandError(f"there is no module {missing!r}", hint) from error


def modules_here() -> list[str]:
    """Return the names that could be imported from the working directory."""
    here = Path.cwd()
    files = [path.stem for path in here.glob("*.py")]
    packages = [path.parent.name for path in here.glob("*/__init__.py")]
    return sorted(files + packages)


def find_app(module: ModuleType, attribute: str) -> App:
    """Return the app in a module.

    Raises:
        CommandError: There is none, or several and none is called ``app``.
    """
    from beltline.app import App

    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if not attribute:
        if DEFAULT_ATTRIBUTE in apps or (not apps and hasattr(module, DEFAULT_ATTRIBUTE)):
            attribute = DEFAULT_ATTRIBUTE
        elif len({id(app) for app in apps.values()}) == 1:
            return next(iter(apps.values()))
        else:
            raise CommandError(f"module {module.__name__!r} {described(apps)}", which_of(module, apps))
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, ModuleType):
        return find_app(found, "")
    if isinstance(found, App):
        return found
    if found is None:
        raise CommandError(
            f"module {module.__name__!r} has no {attribute!r}; it {described(apps)}", which_of(module, apps)
        )
    raise CommandError(
        f"{module.__name__}:{attribute} is {type(found).__name__}, not beltline.App", which_of(module, apps)
    )


def described(apps: dict[str, App]) -> str:
    """Return in words which apps a module has."""
    if not apps:
        return "has no beltline.App"
    names = sorted(apps)[:MAX_LISTED]
    return "has the apps " + ", ".join(names) if len(names) > 1 else f"has the app {names[0]}"


def which_of(module: ModuleType, apps: dict[str, App]) -> str:
    """Return what to write instead."""
    if apps:
        return f"write -A {module.__name__}:{min(apps)}"
    return f'make one in {module.__file__ or module.__name__}: app = beltline.App("name")'
