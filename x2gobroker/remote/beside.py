"""What a page gets of a desktop beside pictures, over connections of their own: files and sound."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from x2gobroker.logs import error_log
from x2gobroker.remote.desktop import Connection, Desktop
from x2gobroker.remote.keys import NEITHER
from x2gobroker.remote.stopping import ASK_SECONDS, name_of, worker_of
from x2gobroker.remote.told import (
    BEING_STOPPED,
    FILES_FAIL,
    NO_FILES,
    NO_SOUND,
    NOT_STARTED,
    SOUND_FAILS,
    NoDesktopError,
)
from x2gobroker.remote.types import SessionType
from x2gobroker.remote.workers import WorkerError, Workers
from x2gobroker.store import Slot


@dataclass(frozen=True)
class Beside:
    """One of these. `do`: what workers call it; `denied` and `fails`: what users are told; `is_work`: whether it counts
    as work at the desktop.
    """

    do: str
    allowed: Callable[[SessionType], bool]
    denied: str
    fails: str
    is_work: bool


FILES = Beside("files", lambda kind: kind.files != NEITHER, NO_FILES, FILES_FAIL, is_work=True)
SOUND = Beside("sound", lambda kind: kind.sound != NEITHER, NO_SOUND, SOUND_FAILS, is_work=False)

Opened = tuple[Desktop, socket.socket, socket.socket]


async def open_beside(
    workers: Workers, known: Mapping[str, Desktop], slot: Slot, connection: Connection, what: Beside
) -> Opened:
    """What leads to a process of the desktop's user that has it: the page's bytes, and its reports.

    Whether the session type allows it is the caller's to see. Raises NoDesktopError. `beside` of the desktop has the
    connection until it is taken out there.
    """
    desktop = known.get(slot.id)
    if desktop is None or not desktop.running or desktop.stopping is not None:
        raise NoDesktopError(BEING_STOPPED if desktop is not None and desktop.stopping else NOT_STARTED)
    desktop.beside.add(connection)
    try:
        if what.is_work:
            desktop.touch()
        answer = await worker_of(workers, desktop).ask(what.do, ASK_SECONDS, token=slot.id)
        if answer.connection is None or answer.reports is None:
            raise WorkerError(f"there is no process for {what.do}")
    except BaseException as error:
        desktop.beside.discard(connection)
        if not isinstance(error, WorkerError):
            raise
        error_log.error("remote: no %s for %s: %s", what.do, name_of(slot), error)
        raise NoDesktopError(what.fails) from error
    return desktop, answer.connection, answer.reports
