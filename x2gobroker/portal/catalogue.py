"""What a user may have: session types for the browser, with their places, and session profiles for X2Go clients."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flask import Response, abort
from flask import request as http_request

from x2gobroker.logs import error_log, field
from x2gobroker.model.accounts import account_name
from x2gobroker.model.acl import Requester
from x2gobroker.portal.decorator import signed_in
from x2gobroker.portal.pictures import PictureError, send_picture
from x2gobroker.portal.session import SignIn
from x2gobroker.remote.loader import ScriptError, script_path
from x2gobroker.remote.types import SessionType
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.settings.watch import Identity, identity
from x2gobroker.store import DesktopEnd, DesktopEnds, RemoteDesktops, Slot, Why
from x2gobroker.store.remote_desktops import (
    BROKEN,
    FAILED,
    MINE,
    RESERVED,
    RESERVED_SECONDS,
    comes_back_to,
    has_room,
)

LARGEST_SCRIPT = 1 << 20
LARGEST_PICTURE = 4 << 20
KEPT_PICTURE = "private, max-age=86400"
MOST_HOLDERS = 5
# what a card says of a session type
FREE, HERE, FULL, ENDING, CLOSED, ENOUGH = "free", "here", "full", "ending", "closed", "enough"
OWN_WISH = (Why.STOP, Why.LOGOUT)  # of how desktops end, what their user need not be told


@dataclass(frozen=True)
class Desk:
    """One session type as its user sees it. `slots`: the places that the user has, oldest first, those that are being
    stopped among them; `ends`: how others have ended, or failed, of late, the last one first.

    `is_closed`: nobody gets a new desktop at present.
    """

    kind: SessionType
    free: int
    slots: tuple[Slot, ...] = ()
    ends: tuple[DesktopEnd, ...] = ()
    is_closed: bool = False

    @property
    def is_several(self) -> bool:
        """Whether the user may have several desktops of this type, or still has them from when that was so."""
        return self.kind.per_user > 1 or sum(slot.state in MINE for slot in self.slots) > 1

    @property
    def is_ending(self) -> bool:
        """Whether one of them is being stopped, so that there may be more to start in a moment."""
        return any(is_ending(slot) for slot in self.slots)

    @property
    def slot(self) -> Slot | None:
        """The user's place, where it is one: what the user comes back to before what is being stopped."""
        return next((slot for slot in self.slots if slot.state in MINE), self.slots[-1] if self.slots else None)

    @property
    def state(self) -> str:
        """HERE (the user has one), ENDING (it is being stopped), or what `another` says."""
        if self.slot is not None:
            return ENDING if is_ending(self.slot) else HERE
        return self.another

    @property
    def another(self) -> str:
        """What is to be said of one more: ENOUGH (the user may have no more), CLOSED, FULL (all places are taken) or
        FREE.
        """
        if not has_room(self.slots, self.kind.per_user):
            return ENOUGH
        return CLOSED if self.is_closed else FREE if self.free else FULL

    @property
    def can_start(self) -> bool:
        """Whether Start leads to a desktop now, be it one that the user has."""
        return comes_back_to(self.slots, self.kind.per_user) is not None or self.another == FREE


def is_ending(slot: Slot) -> bool:
    """Whether a place is being stopped, or will be in a moment."""
    return slot.state not in MINE or slot.is_unwanted


@dataclass(frozen=True)
class Crowd:
    """Who has the places of a session type: some users by name, and how many `more` there are.

    `broken` places can be freed by an administrator only. `ends`: when the first one will be stopped, as things stand,
    in seconds of the epoch.
    """

    users: tuple[str, ...]
    more: int
    broken: int
    ends: float | None


class _Scripts:
    """Whether the scripts of session types can be Python at all. They are never run here: the service does that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[Identity, str]] = {}

    def fault(self, kind: SessionType) -> str:
        """Why a session type is out of service; nothing when it is not, as far as can be seen. Costs a `stat` call."""
        try:
            path = script_path(kind.folder, kind.script)
        except ScriptError as error:
            path, fault, seen = kind.folder / kind.script, str(error), None
        else:
            fault, seen = "", identity(path)
        with self._lock:
            known = self._known.get(path)
            if known is not None and known[0] == seen:
                return known[1]
            fault = fault or _syntax_fault(path)
            self._known[path] = seen, fault
        if fault:
            error_log.error("portal: session type %s is out of service: %s", field(kind.name), fault)
        return fault


def _syntax_fault(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            ast.parse(stream.read(LARGEST_SCRIPT))
    except SyntaxError as error:
        return f"script {path} is no Python: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError):
        return f"script {path} is no Python"
    except OSError:
        return ""  # the service may read it all the same: it has other rights
    return ""


_SCRIPTS = _Scripts()


def script_fault(kind: SessionType) -> str:
    """Why a session type is out of service for its script; nothing when it is not, as far as can be seen."""
    return _SCRIPTS.fault(kind)


def types_for(settings: Settings, services: Services, who: Requester) -> list[SessionType]:
    """The session types that this user may start, in the order of their file; none that is out of service."""
    found = services.session_types.current(settings).types.values()
    return [kind for kind in found if kind.count and kind.access.decide(who) and not _SCRIPTS.fault(kind)]


def find_type(settings: Settings, services: Services, who: Requester, name: str) -> SessionType | None:
    """One of them by name: None alike for one that is not there, out of service, or not for this user."""
    kind = services.session_types.current(settings).types.get(name)
    good = kind is not None and kind.count and kind.access.decide(who) and not _SCRIPTS.fault(kind)
    return kind if good else None


def desks(settings: Settings, services: Services, who: Requester, is_closed: bool = False) -> list[Desk]:
    """The session types of this user with their places. Raises StoreError."""
    kinds = types_for(settings, services, who)
    if not kinds:
        return []
    store = services.of(RemoteDesktops, settings)
    taken, mine = store.taken(), store.of_user(who.user)
    ends = services.of(DesktopEnds, settings).of_user(who.user)
    return [_desk(kind, taken.get(kind.name, ()), mine, ends, is_closed) for kind in kinds]


def desk(store: RemoteDesktops, kind: SessionType, user: str, is_closed: bool = False) -> Desk:
    """One of them, without `ends`. Raises StoreError."""
    return _desk(kind, store.taken().get(kind.name, ()), store.of_user(user), (), is_closed)


def _desk(
    kind: SessionType, taken: Iterable[int], mine: Iterable[Slot], ends: Iterable[DesktopEnd], is_closed: bool
) -> Desk:
    free = kind.count - sum(1 for number in taken if number < kind.count)
    held = (slot for slot in mine if slot.type == kind.name and slot.state != BROKEN and is_held(slot))
    slots = tuple(held)
    return Desk(kind, max(0, free), slots, _shown_ends(kind, slots, ends), is_closed)


def _shown_ends(kind: SessionType, slots: Iterable[Slot], ends: Iterable[DesktopEnd]) -> tuple[DesktopEnd, ...]:
    """The last end of each desktop that the user might miss: not where there is another one in its stead."""
    there = {slot.ordinal for slot in slots}
    if there and kind.per_user == 1:
        return ()
    last: dict[int, DesktopEnd] = {}
    for end in ends:
        if end.type == kind.name and end.ordinal not in there:
            last.setdefault(end.ordinal, end)
    shown = [end for end in last.values() if end.why not in OWN_WISH]
    return tuple(shown[: kind.per_user])


def is_held(slot: Slot, now: float | None = None) -> bool:
    """Whether somebody has a place: not where it was reserved and nobody has come for it in time."""
    moment = time.time() if now is None else now
    return slot.state != FAILED and (slot.state != RESERVED or slot.reserved >= moment - RESERVED_SECONDS)


def crowd(store: RemoteDesktops, kind: SessionType) -> Crowd:
    """Who has the places of a session type. Raises StoreError."""
    slots = [slot for slot in store.of_type(kind.name) if slot.number < kind.count and slot.state != FAILED]
    broken = sum(1 for slot in slots if slot.state == BROKEN)
    names: dict[str, str] = {}
    for slot in slots:
        if slot.state != BROKEN:
            names.setdefault(account_name(slot.username), slot.username)
    users = list(names.values())
    ends = min((slot.ends for slot in slots if slot.ends is not None and slot.state != BROKEN), default=None)
    return Crowd(tuple(users[:MOST_HOLDERS]), max(0, len(users) - MOST_HOLDERS), broken, ends)


def picture_version(kind: SessionType) -> str:
    """What the address of a type's picture ends in, so that browsers may keep it; empty where there is none."""
    path = kind.picture_path
    seen = identity(path) if path is not None else None
    return "" if seen is None else f"{seen[0]:x}"


@signed_in
def picture(sign_in: SignIn) -> Response:
    """The picture of a session type that the user may see."""
    kind = find_type(sign_in.settings, sign_in.services, sign_in.requester, http_request.args.get("type", ""))
    path = kind.picture_path if kind is not None else None
    if path is None:
        abort(404)
    try:
        return send_picture(path, LARGEST_PICTURE, KEPT_PICTURE)
    except PictureError as error:
        error_log.error("portal: the picture %s %s", path, error)
        abort(404)
