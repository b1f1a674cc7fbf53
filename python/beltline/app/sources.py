"""Where the settings of an app come from: an object, a mapping, or the name of one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from beltline.exceptions import ImproperlyConfigured
from beltline.settings import Settings

__all__ = ["import_object", "settings_of"]


def import_object(name: str) -> Any:
    """Import a module, or an attribute of one named ``module:attribute`` or ``module.attribute``."""
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError:
        if attribute or "." not in module_name:
            raise
        module_name, _, attribute = module_name.rpartition(".")
        found = importlib.import_module(module_name)
    if not attribute:
        return found
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise ImportError(f"module {module_name} has no {attribute!r}") from None


def settings_of(source: Any) -> Mapping[str, Any]:
    """Return the settings that an object or mapping has; whatever else it has does not matter."""
    if source is None:
        return {}
    if isinstance(source, str):
        source = import_object(source)
    names = [setting.name for setting in Settings.settings()]
    if isinstance(source, Mapping):
        unknown = [key for key in source if key not in names]
        if unknown:
            raise ImproperlyConfigured(f"unknown settings: {', '.join(map(str, unknown))}")
        return source
    return {name: getattr(source, name) for name in names if hasattr(source, name)}
