"""Plug-ins: classes that installed packages register under an entry-point group, found by name.

A name from a URL or a file is only ever compared with the registered names; no module name is built from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from x2gobroker.errors import PluginError
from x2gobroker.model.options import did_you_mean

FRONTENDS = "x2gobroker.frontends"
BACKENDS = "x2gobroker.backends"
AUTH_MECHANISMS = "x2gobroker.authmechs"
NAME_SERVICES = "x2gobroker.nameservices"
AGENTS = "x2gobroker.agents"
SCRIPTS = "x2gobroker.scripts"
GROUPS = (FRONTENDS, BACKENDS, AUTH_MECHANISMS, NAME_SERVICES, AGENTS, SCRIPTS)

T = TypeVar("T")
F = TypeVar("F")

_lock = threading.Lock()
_registered: dict[str, dict[str, EntryPoint]] = {}
_classes: dict[tuple[str, str], type] = {}


@dataclass(frozen=True)
class Installed:
    """One registered plug-in: its group and name, the class it names, the package it comes with."""

    group: str
    name: str
    target: str
    package: str


def registered(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name; read once per process, as packages do not come and go under it."""
    with _lock:
        if group not in _registered:
            _registered[group] = {point.name: point for point in entry_points(group=group)}
        return _registered[group]


def installed() -> list[Installed]:
    """All registered plug-ins of all groups, sorted."""
    found = []
    for group in GROUPS:
        for name, point in sorted(registered(group).items()):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "?"
            found.append(Installed(group, name, point.value, package))
    return found


def load(group: str, name: str, base: type[T]) -> type[T]:
    """The class registered as `name`, checked to derive from `base`.

    Raises PluginError when there is none of that name, it cannot be imported, or it is something else.
    """
    known = _classes.get((group, name))
    if known is not None and issubclass(known, base):
        return known
    point = registered(group).get(name)
    if point is None:
        raise PluginError(f"no {name!r} is registered in {group}{did_you_mean(name, registered(group))}")
    try:
        found = point.load()
    except Exception as error:
        raise PluginError(f"{name!r} of {group} ({point.value}) does not load: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PluginError(f"{name!r} of {group} ({point.value}) is no {base.__module__}.{base.__qualname__}")
    with _lock:
        _classes[group, name] = found
    return found


class Family(Generic[F]):
    """The plug-ins of one group: one object for each name, made at its first use. Safe for threads."""

    def __init__(self, group: str, base: type[F]) -> None:
        self._group = group
        self._base = base
        self._lock = threading.RLock()
        self._made: dict[str, F] = {}

    def named(self, name: str, make: Callable[[type[F]], F]) -> F:
        """The plug-in of this name; `make` makes it of its class. Raises PluginError."""
        known = self._made.get(name)
        if known is None:
            with self._lock:
                known = self._made.setdefault(name, make(load(self._group, name, self._base)))
        return known
