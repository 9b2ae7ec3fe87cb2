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


def backend_class(backend: Any, kind: str) -> Any:
    """The class of a backend: `backend` itself if it is one, else the class behind its name.

    Settings and printing settings have no class here: for them the name is given back. Raises X2GoBackendException
    when there is no backend of this name.
    """
    if isinstance(backend, type):
        return backend
    name = str(backend).upper()
    if name not in (_NAMES[kind], "AUTO-DETECT" if kind == PROXY else _NAMES[kind]):
        raise X2GoBackendException(f"there is no backend {backend!r} for {kind}; the only one is {_NAMES[kind]!r}")
    return _class_of(kind) or _NAMES[kind]


def _class_of(kind: str) -> Any:
    # Imported when it is wanted: the terminal session and the session know each other.
    if kind == CONTROL:
        from x2gobroker.x2go.control import X2GoControlSession

        return X2GoControlSession
    if kind == TERMINAL:
        from x2gobroker.x2go.terminal import X2GoTerminalSession

        return X2GoTerminalSession
    if kind == PROXY:
        from x2gobroker.x2go.proxy import X2GoProxy

        return X2GoProxy
    from x2gobroker.x2go import listing

    return {INFO: listing.X2GoServerSessionInfo, LIST: listing.X2GoServerSessionList}.get(kind)
