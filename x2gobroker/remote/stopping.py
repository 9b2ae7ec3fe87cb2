"""How a desktop is stopped by its script, and what is left to do where there is no script that could."""

from __future__ import annotations

import asyncio
import time

from x2gobroker.logs import error_log, field
from x2gobroker.remote.desktop import Desktop
from x2gobroker.remote.told import MORE_MEMORY, SCRIPT_FAILED
from x2gobroker.remote.workers import Worker, WorkerError, Workers
from x2gobroker.store import Slot, Why

ASK_SECONDS = 10.0  # for poll and connect
LOOK_SECONDS = 0.1
NUMBER_LETTERS = 8  # of a slot's ID, as people read it to each other
# in the log, where the word alone says too little
IN_LOG = {
    Why.SESSION: "its VNC server has ended",
    Why.EARLY: "its VNC server has ended",
    Why.MEMORY: MORE_MEMORY,
    Why.SERVICE: "the service is being stopped",
    Why.INTERRUPTED: "it was left by a service that has ended",
    Why.GIVEN_BACK: "its row in the state store is gone",
}


def name_of(slot: Slot) -> str:
    """A slot in a line of the log, with the number that its user sees where something has gone wrong."""
    return f"{field(slot.type)}/{slot.number} of {field(slot.username)} ({slot.id[:NUMBER_LETTERS]})"


def reason_of(why: Why, by: str = "") -> str:
    """Why a desktop is stopped, in a line of the log; `by`: which administrator wants it."""
    return f"{why} {field(by)}" if by else IN_LOG.get(why, str(why))


def worker_of(workers: Workers, desktop: Desktop) -> Worker:
    """The desktop's worker; a new one where that is lost. Raises WorkerError."""
    if desktop.worker is None or desktop.worker.lost:
        if desktop.worker is not None:
            desktop.worker.close(group=False)
        desktop.worker = workers.make(desktop.slot.type, desktop.slot.number)
    return desktop.worker


async def try_stop(workers: Workers, desktop: Desktop) -> str:
    """Why the session may still run, for the log; empty when it does not."""
    if not desktop.began:
        return ""  # so that nothing is there that could be stopped
    _drop_lost(desktop)  # it hangs, or has ended, with what it has started
    try:
        worker = worker_of(workers, desktop)
        if not worker.loaded:
            await worker.ask("load", desktop.stop_seconds)
    except WorkerError as error:
        _drop_lost(desktop)
        return await _without_script(workers, desktop, str(error))
    fault = ""
    try:
        await worker.ask("stop", desktop.stop_seconds)
    except WorkerError as error:
        fault = str(error)
        _drop_lost(desktop)
    try:
        worker = worker_of(workers, desktop)
        end = time.monotonic() + desktop.stop_seconds
        while (await worker.ask("poll", ASK_SECONDS)).values["alive"]:
            if fault or time.monotonic() > end:
                return fault or "it goes on running"
            await asyncio.sleep(LOOK_SECONDS)
    except WorkerError as error:
        return fault or str(error)
    if fault:
        error_log.error("remote: stopping %s: %s; but it no longer runs", name_of(desktop.slot), fault)
    return ""


def _drop_lost(desktop: Desktop) -> None:
    if desktop.worker is not None and desktop.worker.lost:
        desktop.worker.close(group=True)


async def _without_script(workers: Workers, desktop: Desktop, fault: str) -> str:
    """The same where the script does not load: then what counts is whether anything answers where the desktop was."""
    try:
        worker = worker_of(workers, desktop)
        if (await worker.ask("look", ASK_SECONDS)).values["alive"]:
            return fault
    except WorkerError as error:
        return f"{fault}; {error}"
    desktop.fault = desktop.fault or SCRIPT_FAILED
    error_log.error("remote: stopping %s: %s; but it no longer runs", name_of(desktop.slot), fault)
    return ""
