"""Imports the modules in which an app's agents, handlers and tasks are declared."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any, Final

from beltline.exceptions import ImproperlyConfigured

__all__ = ["discover_modules", "modules_to_search"]

logger = logging.getLogger(__name__)

#: Modules that declare nothing and may do harm when imported.
IGNORED: Final = ("test_", "__main__", "conftest")


def modules_to_search(autodiscover: Any, origin: str | None) -> list[str]:
    """Return the packages and modules that the setting ``autodiscover`` means.

    Raises:
        ImproperlyConfigured: It is True, but ``origin`` does not say which package.
    """
    if callable(autodiscover):
        autodiscover = autodiscover()
    if not autodiscover:
        return []
    if autodiscover is True:
        if origin is None:
            raise ImproperlyConfigured("autodiscover=True needs origin='package', where to look for agents")
        return [origin]
    return [autodiscover] if isinstance(autodiscover, str) else list(autodiscover)


def discover_modules(names: Iterable[str], is_ignored: Callable[[str], bool] | None = None) -> list[str]:
    """Import modules, and all modules inside those that are packages; returns the names imported.

    A module that is named must be there; one that was found inside a package and cannot be imported is logged.

    Raises:
        ModuleNotFoundError: A module that is named does not exist.
    """
    imported: list[str] = []
    for name in names:
        module = importlib.import_module(name)
        imported.append(name)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.", onerror=log_failure):
            last = found.name.rpartition(".")[2]
            if last.startswith(IGNORED) or (is_ignored is not None and is_ignored(found.name)):
                continue
            try:
                importlib.import_module(found.name)
            except Exception:
                logger.exception("cannot import %s while looking for agents", found.name)
            else:
                imported.append(found.name)
    return imported


def log_failure(name: str) -> None:
    """Report a package that could not be searched."""
    logger.exception("cannot search %s for agents", name)
