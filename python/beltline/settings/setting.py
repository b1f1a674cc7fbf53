"""One setting: its name, default, unit, limits and what it does."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, overload

from beltline.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured

_T = TypeVar("_T")

#: Says that a value was not given where None has a meaning of its own.
MISSING: Final[Any] = object()


class Effect(Enum):
    """What a setting does in this version. Programs written for Faust set many that have nothing to act on here."""

    NOW = "yes"
    KAFKA = "with Kafka only"
    EMBEDDED = "with the embedded log only"
    WEB = "with the web server only"
    NONE = "accepted, nothing to set"


class Setting(Generic[_T]):
    """A descriptor on a settings class.

    Args:
        convert: Turns what was given into the value; raises ``ValueError`` or ``TypeError`` with the reason.
        default: The value when nobody says otherwise.
        default_from: Computes the default from the other settings.
        default_text: How the documentation writes a computed default.
        env: Environment variable that wins over the constructor's argument.
        unit: What a number counts.
        minimum: The least value.
        maximum: The greatest value.
        effect: What it does in this version.
        shown: Writes a value for errors and ``repr``, without what nobody else may read.
        doc: One or two sentences.
    """

    name: str
    section: str

    def __init__(
        self,
        convert: Callable[[Any], _T],
        *,
        default: Any = None,
        default_from: Callable[[Any], Any] | None = None,
        default_text: str | None = None,
        env: str | None = None,
        unit: str | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        effect: Effect = Effect.NOW,
        shown: Callable[[Any], str] = repr,
        doc: str,
    ) -> None:
        self.convert = convert
        self.default = default
        self.default_from = default_from
        self.default_text = default_text
        self.env = env
        self.unit = unit
        self.minimum = minimum
        self.maximum = maximum
        self.effect = effect
        self.shown = shown
        self.doc = doc

    def __set_name__(self, owner: type[SettingsBase], name: str) -> None:
        self.name = name
        self.section = owner.section

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: SettingsBase, owner: type) -> _T: ...

    def __get__(self, instance: SettingsBase | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        instance._read.add(self.name)
        if self.name in instance._values:
            value: _T = instance._values[self.name]
            return value
        default = self.default if self.default_from is None else self.default_from(instance)
        return self.check(default, "its default")

    def __set__(self, instance: SettingsBase, value: Any) -> None:
        if self.name in instance._read:
            warnings.warn(
                f"setting {self.name} was read before it was changed; what read it keeps the old value",
                AlreadyConfiguredWarning,
                stacklevel=2,
            )
        instance.set(self.name, value)

    def check(self, value: Any, source: str) -> _T:
        """Return the converted value.

        Raises:
            ImproperlyConfigured: With the setting's name, the value, where it came from and what is wrong.
        """
        try:
            result = self.convert(value)
        except (ValueError, TypeError) as error:
            # A chained error would show the value that `shown` hides.
            cause = error if self.shown is repr else None
            raise ImproperlyConfigured(f"setting {self.name}={self.shown(value)} ({source}): {error}") from cause
        if isinstance(result, int | float) and not isinstance(result, bool):
            unit = f" {self.unit}" if self.unit else ""
            if self.minimum is not None and result < self.minimum:
                raise ImproperlyConfigured(
                    f"setting {self.name}={self.shown(value)} ({source}): at least {self.minimum}{unit}"
                )
            if self.maximum is not None and result > self.maximum:
                raise ImproperlyConfigured(
                    f"setting {self.name}={self.shown(value)} ({source}): at most {self.maximum}{unit}"
                )
        return result

    @property
    def describes_default(self) -> str:
        """The default as the documentation writes it."""
        if self.default_text is not None:
            return self.default_text
        return "none" if self.default is None else repr(self.default)


class SettingsBase:
    """Values of settings, read through the descriptors on the class.

    Args:
        given: Values by name; None means the default.
        environment: Variables to look at; None is the process's.

    Raises:
        ImproperlyConfigured: An unknown setting, or a value that cannot be.
    """

    section: ClassVar[str] = ""

    #: Names that settings had in old versions of Faust.
    old_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, given: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._given: set[str] = set()
        self._read: set[str] = set()
        self._environment = os.environ if environment is None else environment
        self._prefix = ""
        self.load(given)
        self._load_environment()

    @classmethod
    def settings(cls) -> Iterator[Setting[Any]]:
        """Yield every setting, section by section in the order of the documentation."""
        for owner in cls.__mro__:
            for value in vars(owner).values():
                if isinstance(value, Setting):
                    yield value

    @classmethod
    def setting(cls, name: str) -> Setting[Any]:
        """Return the setting of that name.

        Raises:
            ImproperlyConfigured: There is none; the nearest name is suggested.
        """
        found = getattr(cls, name, None)
        if isinstance(found, Setting):
            return found
        names = [setting.name for setting in cls.settings()]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "the settings are listed in docs/settings.md"
        raise ImproperlyConfigured(f"unknown setting {name!r}: {hint}")

    def load(self, given: Mapping[str, Any]) -> None:
        """Take several values; variables of the environment still win.

        Raises:
            ImproperlyConfigured: An unknown setting, a value that cannot be, or a setting under two names.
        """
        for name, value in given.items():
            new_name = self.old_names.get(name)
            if new_name is not None:
                if given.get(new_name) is not None:
                    raise ImproperlyConfigured(f"setting {name!r} is the old name of {new_name!r}; give only that one")
                warnings.warn(f"setting {name!r} is now called {new_name!r}", FutureWarning, stacklevel=4)
            setting = self.setting(new_name or name)
            if value is not None and not self._is_in_environment(setting):
                self.set(setting.name, value)

    def set(self, name: str, value: Any, *, source: str = "in the program") -> None:
        """Take one value, without the warning that an assignment after a read gives."""
        setting = self.setting(name)
        self._values[setting.name] = setting.check(value, source)
        self._given.add(setting.name)

    def was_given(self, name: str) -> bool:
        """Whether the program or the environment said something about the setting."""
        return name in self._given

    def without_effect(self) -> list[tuple[str, Effect]]:
        """Return the settings that somebody gave and that do nothing in this version."""
        kinds = {setting.name: setting.effect for setting in self.settings()}
        return [(name, kinds[name]) for name in sorted(self._given) if kinds[name] not in self.effects_here()]

    def effects_here(self) -> frozenset[Effect]:
        """Which effects settings can have, as things are."""
        return frozenset({Effect.NOW})

    def as_dict(self) -> dict[str, Any]:
        """Return what was given, by name."""
        return {name: self._values[name] for name in sorted(self._given)}

    def _load_environment(self) -> None:
        prefix = self._environment.get("APP_ENV_PREFIX") or self._values.get("env_prefix") or ""
        self._prefix = prefix
        for setting in self.settings():
            variable = self._variable(setting)
            if variable in self._environment:
                self.set(setting.name, self._environment[variable], source=f"environment variable {variable}")

    def _is_in_environment(self, setting: Setting[Any]) -> bool:
        return self._variable(setting) in self._environment

    def _variable(self, setting: Setting[Any]) -> str:
        if setting.env is None or setting.env == "APP_ENV_PREFIX":
            return setting.env or ""
        return f"{self._prefix}{setting.env}"
