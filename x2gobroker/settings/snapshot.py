"""`Settings`: every option's value at one moment, typed, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from x2gobroker.errors import PluginError
from x2gobroker.model.options import Option, Value
from x2gobroker.plugins import AUTH_MECHANISMS, BACKENDS, load
from x2gobroker.settings.ini import Problem
from x2gobroker.settings.table import TABLE

GLOBAL = "global"
ENVIRONMENT = "environment"
ANY_BACKEND = "broker_*"
BACKEND_PREFIX = "broker_"
AUTH_PREFIX = "authmech_"


def options_of(section: str) -> dict[str, Option]:
    """The options that a section may have, by name; those of a plug-in's section are its class's, too."""
    found: dict[str, Option] = {}
    if section.startswith(BACKEND_PREFIX):
        found.update((option.name, option) for option in TABLE if option.section == ANY_BACKEND)
    found.update((option.name, option) for option in TABLE if option.section == section)
    found.update((option.name, option) for option in plugin_options(section))
    return found


def plugin_options(section: str) -> tuple[Option, ...]:
    """The options that the plug-in class behind a section declares in its `options`."""
    for prefix, group in ((BACKEND_PREFIX, BACKENDS), (AUTH_PREFIX, AUTH_MECHANISMS)):
        if section.startswith(prefix):
            try:
                plugin = load(group, section.removeprefix(prefix), object)
            except PluginError:
                return ()
            declared: tuple[Option, ...] = getattr(plugin, "options", ())
            return declared
    return ()


def is_known_section(section: str) -> bool:
    """Whether a file may have this section: one of the table, or of an installed plug-in."""
    if any(option.section == section for option in TABLE) and section not in (ENVIRONMENT, ANY_BACKEND):
        return True
    for prefix, group in ((BACKEND_PREFIX, BACKENDS), (AUTH_PREFIX, AUTH_MECHANISMS)):
        if section.startswith(prefix):
            try:
                load(group, section.removeprefix(prefix), object)
            except PluginError:
                return False
            return True
    return False


@dataclass(frozen=True, eq=False)
class Settings:
    """What the configuration says. Two requests that see the same files share the same object.

    `values` holds what files, environment and command line gave, by section and option; everything else has its
    default. `usable` is False while no readable main configuration file was ever seen: then no backend is served.
    """

    values: Mapping[tuple[str, str], Value] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    usable: bool = True

    @cached_property
    def _resolved(self) -> dict[tuple[str, str], Value]:
        return {}

    @cached_property
    def _paths(self) -> dict[tuple[str, str], Path]:
        return {}

    def value(self, section: str, name: str) -> Value:
        """The value of an option. Raises KeyError for a name that no table has: a mistake in the program."""
        key = (section, name)
        known = self._resolved.get(key)
        if known is None:
            known = self.values.get(key)
            if known is None:
                known = options_of(section)[name].default
            self._resolved[key] = known
        return known

    def boolean(self, section: str, name: str) -> bool:
        """The value of a boolean option."""
        value = self.value(section, name)
        if not isinstance(value, bool):
            raise TypeError(f"{section}/{name} is no boolean option")
        return value

    def integer(self, section: str, name: str) -> int:
        """The value of an integer option."""
        value = self.value(section, name)
        if not isinstance(value, int):
            raise TypeError(f"{section}/{name} is no integer option")
        return value

    def text(self, section: str, name: str) -> str:
        """The value of a text, path or choice option."""
        value = self.value(section, name)
        if not isinstance(value, str):
            raise TypeError(f"{section}/{name} is no text option")
        return value

    def path(self, section: str, name: str) -> Path:
        """The value of a path option."""
        known = self._paths.get((section, name))
        if known is None:
            known = self._paths[section, name] = Path(self.text(section, name))
        return known

    def environment(self, name: str) -> str:
        """The value of a text variable of the environment."""
        return self.text(ENVIRONMENT, name)

    def debug(self) -> bool:
        """Whether GET requests are answered and everything is logged."""
        return self.boolean(ENVIRONMENT, "X2GOBROKER_DEBUG")

    def backend_enabled(self, backend: str) -> bool:
        """Whether this backend is to be served."""
        return self.usable and self.boolean(BACKEND_PREFIX + backend, "enable")

    def for_backend(self, backend: str, name: str) -> str:
        """A text option of a backend; the global `default-<name>` where it is empty; its default where that is, too."""
        shared = "default-" + name
        return (
            self.text(BACKEND_PREFIX + backend, name)
            or self.text(GLOBAL, shared)
            or str(options_of(GLOBAL)[shared].default)
        )
