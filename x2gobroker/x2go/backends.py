"""Backends by name: the public API has several of each kind, here there is one. A class may stand for its name."""

from __future__ import annotations

from typing import Any

from x2gobroker.x2go import defaults
from x2gobroker.x2go.errors import X2GoBackendException

CONTROL, TERMINAL, INFO, LIST, PROXY = (
    "X2GoControlSession",
    "X2GoTerminalSession",
    "X2GoServerSessionInfo",
    "X2GoServerSessionList",
    "X2GoProxy",
)
SETTINGS, PRINTING = "X2GoClientSettings", "X2GoClientPrinting"

_NAMES = {
    CONTROL: defaults.CONTROL_BACKEND,
    TERMINAL: defaults.TERMINAL_BACKEND,
    INFO: defaults.INFO_BACKEND,
    LIST: defaults.LIST_BACKEND,
    PROXY: defaults.PROXY_BACKEND,
    SETTINGS: defaults.SETTINGS_BACKEND,
    PRINTING: defaults.PRINTING_BACKEND,
}


def backend_class(backend: Any, kind: str, only: Any = None) -> Any:
    """The class of a backend: `backend` itself if it is one, else `only`, the class that its name stands for.

    Settings and printing settings have no class here: for them the name is given back. Raises X2GoBackendException
    when there is no backend of this name.
    """
    if isinstance(backend, type):
        return backend
    name = str(backend).upper()
    if name not in (_NAMES[kind], "AUTO-DETECT" if kind == PROXY else _NAMES[kind]):
        raise X2GoBackendException(f"there is no backend {backend!r} for {kind}; the only one is {_NAMES[kind]!r}")
    return only or _NAMES[kind]
