"""Which session types a user gets at the portal, and why not: for `x2gobroker explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from x2gobroker.model.acl import Requester
from x2gobroker.model.json_text import JsonError, read_object
from x2gobroker.portal.catalogue import is_held, script_fault
from x2gobroker.remote.permits import NotPermittedError, check_account
from x2gobroker.remote.stopping import NUMBER_LETTERS
from x2gobroker.remote.types import SessionType, SessionTypes
from x2gobroker.services import Services
from x2gobroker.settings import Settings
from x2gobroker.store import DesktopOrders, RemoteDesktops, UserLocks
from x2gobroker.store.remote_desktops import MINE

LARGEST_ANSWER = 1 << 22


@dataclass(frozen=True)
class Explained:
    """One session type: whether the user can start it now, or go back to it, and what decided."""

    name: str
    offered: bool
    reason: str


@dataclass(frozen=True)
class Places:
    """What the store says: by whom the user is locked out, who has closed desktops for new ones, how many places of
    each session type are taken, and the user's own desktops by type, oldest first, each with its number and its state.
    """

    locked: str = ""
    closed: str = ""
    taken: Mapping[str, int] = field(default_factory=dict)
    mine: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Them as `read` takes them: for root, who does not open the store."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> Places:
        """Them from another process, which is not believed. Raises JsonError."""
        match read_object(data, LARGEST_ANSWER):
            case {"locked": str(locked), "closed": str(closed), "taken": dict(taken), "mine": dict(mine)}:
                if all(type(number) is int for number in taken.values()):
                    return cls(locked, closed, taken, {name: _pairs(value) for name, value in mine.items()})
        raise JsonError("it does not say which places are taken")


def _pairs(found: object) -> tuple[tuple[str, str], ...]:
    """Numbers and states of one type's desktops. Raises JsonError."""
    pairs = []
    for pair in found if isinstance(found, list) else [found]:
        match pair:
            case [str(number), str(state)]:
                pairs.append((number, state))
            case _:
                raise JsonError("it does not say which desktops the user has")
    return tuple(pairs)


def places_of(settings: Settings, services: Services, user: str, found: SessionTypes) -> Places:
    """What the store says for a user. Raises StoreError."""
    store = services.of(RemoteDesktops, settings)
    lock = services.of(UserLocks, settings).find(user)
    closing = services.of(DesktopOrders, settings).closing()
    numbers = store.taken()
    mine: dict[str, tuple[tuple[str, str], ...]] = {}
    for slot in store.of_user(user):
        if is_held(slot):
            mine[slot.type] = (*mine.get(slot.type, ()), (slot.id[:NUMBER_LETTERS], slot.state))
    return Places(
        "" if lock is None else _by(lock.by, lock.reason),
        "" if closing is None else _by(closing.by, closing.reason),
        {kind.name: sum(n < kind.count for n in numbers.get(kind.name, ())) for kind in found.types.values()},
        mine,
    )


def _by(name: str, reason: str) -> str:
    return f"by {name}" + (f": {reason}" if reason else "")


def explain_types(found: SessionTypes, who: Requester, places: Places | None) -> Iterator[Explained]:
    """All session types of a file, with the first reason that counts. `places` None: the store cannot be asked."""
    try:
        check_account(who.user)
        account = ""
    except NotPermittedError as error:
        account = str(error)
    for kind in found.types.values():
        yield _explained(kind, who, account, places or Places())
    for name, problem in found.faults.items():
        yield Explained(name, False, f"out of service: {problem}")


def _explained(kind: SessionType, who: Requester, account: str, places: Places) -> Explained:
    if fault := script_fault(kind):
        return Explained(kind.name, False, f"out of service: {fault}")
    if not kind.count:
        return Explained(kind.name, False, "count = 0: it has no places")
    decision = kind.access.decide(who)
    if not decision:
        return Explained(kind.name, False, decision.reason)
    if places.locked:
        return Explained(kind.name, False, f"the user is locked out {places.locked}")
    if account:
        return Explained(kind.name, False, account)
    mine = places.mine.get(kind.name, ())
    if mine and kind.per_user == 1:
        number, state = next((pair for pair in mine if pair[1] in MINE), mine[-1])
        return Explained(kind.name, state in MINE, f"{decision.reason}; has {number}, which is {state}")
    has, count = "", sum(state in MINE for _number, state in mine)
    if mine:
        shown = ", ".join(f"{number} ({state})" for number, state in mine)
        has = f"has {count} of {kind.per_user} (per-user): {shown}"
    if fault := _no_other(kind, places, count):
        reason = "; ".join(filter(None, (decision.reason if count else "", has, fault)))
        return Explained(kind.name, count > 0, reason)
    free = kind.count - places.taken.get(kind.name, 0)
    reason = "; ".join(filter(None, (decision.reason, has, f"{free} of {kind.count} places free")))
    return Explained(kind.name, True, reason)


def _no_other(kind: SessionType, places: Places, count: int) -> str:
    """Why a user with so many desktops of a type gets no other one; nothing where there is one to be had."""
    if count >= kind.per_user:
        return "may have no more"
    if places.closed:
        return f"closed for new desktops {places.closed}"
    return f"all places are taken ({kind.count})" if places.taken.get(kind.name, 0) >= kind.count else ""
