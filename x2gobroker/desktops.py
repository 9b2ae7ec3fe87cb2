"""Desktops in the browser as administrators see and handle them: one function for each act, whoever asks for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from x2gobroker.auth import tickets
from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import broker_log, field
from x2gobroker.model.accounts import account_name
from x2gobroker.remote.stopping import NUMBER_LETTERS
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import DesktopOrders, PortalSessions, RemoteDesktops, Slot
from x2gobroker.store.desktop_orders import by_administrator
from x2gobroker.store.remote_desktops import BROKEN, FAILED, MINE, RESERVED, RESERVED_SECONDS, STOPPING

LEAST_LETTERS = 4  # of a number; what is shorter is a slip
LOOK_SECONDS = 0.3
SEE_LIST = "x2gobroker desktops list shows the numbers"
# what has become of a desktop that is to stop
ENDED, GOING_ON, STILL_STOPPING, CANNOT = "ended", "going on", "stopping", "cannot be stopped"


@dataclass(frozen=True)
class Listed:
    """One desktop, as it is now. Times are seconds: `since`, `ends` of the epoch, `age` and `idle` until now.

    `number` is what its user reads out, `id` all of it, `place` counts from 0. `idle` None: it has not run yet.
    `ends` is when it will be stopped as things stand, and `ends_why` the limit; `note` says what went wrong, or what
    is being done.
    """

    number: str
    id: str
    user: str
    type: str
    place: int
    state: str
    since: float
    age: float
    idle: float | None
    size: str
    connections: int
    host: str
    ends: float | None
    ends_why: str
    note: str


@dataclass(frozen=True)
class SignedOut:
    """What was ended for a user: sign-ins at the portal, and connections to so many desktops, which go on."""

    sign_ins: int
    desktops: int


def listed(slot: Slot, now: float) -> Listed:
    """A slot of the store as administrators see it."""
    state = STOPPING if slot.is_unwanted and slot.state in MINE else slot.state
    return Listed(
        number=slot.id[:NUMBER_LETTERS],
        id=slot.id,
        user=slot.username,
        type=slot.type,
        place=slot.number,
        state=state,
        since=slot.since,
        age=max(0.0, now - (slot.started or slot.reserved)),
        idle=None if slot.started is None else max(0.0, now - max(slot.last_input, slot.started)),
        size=str(slot.options.get("size", "")),
        connections=slot.connections,
        host=slot.node,
        ends=slot.ends,
        ends_why=slot.ends_why,
        note=slot.note or slot.progress,
    )


def find_slots(settings: Settings, services: Services, now: float | None = None) -> list[Slot]:
    """The slots that somebody has, and what failed of late, oldest first. Raises StoreError."""
    moment = time.time() if now is None else now
    found = services.of(RemoteDesktops, settings).everything()
    return [slot for slot in found if slot.state != RESERVED or slot.reserved >= moment - RESERVED_SECONDS]


def chosen(slots: Iterable[Slot], user: str = "", kind: str = "") -> list[Slot]:
    """Those of one user, of one session type, or both. Names are compared as everywhere: `Anna` is `anna`."""
    return [
        slot
        for slot in slots
        if (not user or account_name(slot.username) == account_name(user)) and (not kind or slot.type == kind)
    ]


def find_numbered(slots: Sequence[Slot], number: str) -> Slot:
    """The slot that is meant by a number, or by its beginning. Raises ConfigurationError for none and for several."""
    wanted = number.strip().lower()
    if len(wanted) < LEAST_LETTERS:
        raise ConfigurationError(f"{field(number)} is too short for a number; {SEE_LIST}")
    found = [slot for slot in slots if slot.id.startswith(wanted)]
    if not found:
        raise ConfigurationError(f"there is no desktop with the number {field(number)}; {SEE_LIST}")
    if len(found) > 1:
        ids = ", ".join(slot.id for slot in found)
        raise ConfigurationError(f"the number {field(number)} is that of {ids}; write one of them in full")
    return found[0]


def stop(settings: Settings, services: Services, slots: Iterable[Slot], by: str) -> None:
    """Have desktops stopped. What comes of it is for `wait_for_end` to say. Raises StoreError."""
    store = services.of(RemoteDesktops, settings)
    for slot in slots:
        broker_log.warning("desktops: %s has %s stopped", field(by), shown(slot))
        store.ask_stop(slot, by_administrator(by))


def wait_for_end(settings: Settings, services: Services, slots: Iterable[Slot], seconds: float) -> dict[str, str]:
    """What has become of desktops that are to stop, by their IDs, after at most so many seconds. Raises StoreError."""
    store = services.of(RemoteDesktops, settings)
    end = time.monotonic() + seconds
    ids = [slot.id for slot in slots]
    while True:
        found = {slot.id: slot for slot in store.everything()}
        outcomes = {slot_id: _outcome(found.get(slot_id)) for slot_id in ids}
        left = end - time.monotonic()
        if left <= 0 or not {GOING_ON, STILL_STOPPING} & set(outcomes.values()):
            return outcomes
        time.sleep(min(LOOK_SECONDS, left))


def _outcome(slot: Slot | None) -> str:
    if slot is None or slot.state == FAILED:
        return ENDED
    return CANNOT if slot.state == BROKEN else STILL_STOPPING if slot.state == STOPPING else GOING_ON


def free(settings: Settings, services: Services, slot: Slot, by: str, host_gone: bool = False) -> None:
    """Give the place of a desktop back that could not be stopped, and that somebody has ended by hand.

    With `host_gone`, also that of a desktop whose host will not come back. Raises ConfigurationError for any other,
    StoreError.
    """
    if slot.state != BROKEN:
        _check_gone(slot, host_gone)
    if not services.of(DesktopOrders, settings).free(slot, by):
        raise ConfigurationError(f"{shown(slot)} has just changed; look again with x2gobroker desktops list")
    broker_log.warning("desktops: %s has given back the place of %s", field(by), shown(slot))


def _check_gone(slot: Slot, host_gone: bool) -> None:
    """Whether a place may be given back without its service. Raises ConfigurationError."""
    number = slot.id[:NUMBER_LETTERS]
    if slot.state in (RESERVED, FAILED):
        raise ConfigurationError(f"{shown(slot)} runs nowhere, and its place is given back by itself")
    if not host_gone:
        raise ConfigurationError(
            f"{shown(slot)} is not one that could not be stopped: first x2gobroker desktops stop {number}; "
            f"--host-gone is for desktops of a host that will not come back"
        )
    if slot.node == socket.gethostname():
        raise ConfigurationError(
            f"{shown(slot)} is on this very host: start x2gobroker-remote, which finds it again, or ends what is left"
        )


def close(settings: Settings, services: Services, by: str, reason: str) -> int:
    """No new desktops from now on; how many places were given back that nobody had come to. Raises StoreError."""
    unused = services.of(DesktopOrders, settings).close(by, reason)
    broker_log.warning("desktops: closed for new ones by %s: %s", field(by), field(reason or "-"))
    return unused


def open_again(settings: Settings, services: Services, by: str) -> bool:
    """New desktops again; False where it was not closed. Raises StoreError."""
    was_closed = services.of(DesktopOrders, settings).open()
    if was_closed:
        broker_log.warning("desktops: open again by %s", field(by))
    return was_closed


def sign_out(settings: Settings, services: Services, user: str, by: str) -> SignedOut:
    """End all sign-ins of a user at the portal, all connections to the user's desktops, and links for guests.

    The desktops go on. Raises StoreError.
    """
    sessions, store = services.of(PortalSessions, settings), services.of(RemoteDesktops, settings)
    sign_ins, cut = sessions.close_all(user), store.ask_cut(user, links=True)
    tickets.forget(settings, user)
    broker_log.warning("desktops: %s has signed %s out: sign-ins=%d desktops=%d", field(by), field(user), sign_ins, cut)
    return SignedOut(sign_ins, cut)


def shown(slot: Slot) -> str:
    """A desktop in a sentence."""
    return f"{slot.id[:NUMBER_LETTERS]} ({field(slot.type)}/{slot.number} of {field(slot.username)})"
