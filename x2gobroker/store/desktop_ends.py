"""How desktops in the browser have ended: why and when, for about a day, so that their users can read it later.

An end takes no place: it is a row of its own, whoever has the slot since. Each desktop of a user, as the user counts
them, has one: that of its last end.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select

from x2gobroker.store.database import Store
from x2gobroker.store.remote_tables import REMOTE_ENDS
from x2gobroker.store.spellings import is_of, same_account

ENDS_SECONDS = 86400.0  # for which an end is kept
E = REMOTE_ENDS.c


class Why(StrEnum):
    """Why a desktop has ended. The words are those of the store, of `x2gobroker-remote` to browsers, and of pages."""

    STOP = "stop"  # its user wanted it
    ADMINISTRATOR = "administrator"
    LOGOUT = "logout"
    LOCKED = "locked"  # its user was locked out
    IDLE = "idle"
    ABSOLUTE = "absolute"
    GRACE = "grace"  # nobody was connected
    SESSION = "session"  # its session or its VNC server has ended by itself
    EARLY = "early"  # the same, right after its start
    MEMORY = "memory"  # it used more than it may
    SERVICE = "service"  # the service was stopped
    INTERRUPTED = "interrupted"  # the service, or its host, was interrupted
    FAILED = "failed"  # it could not be started
    GIVEN_BACK = "given-back"  # somebody has given its place back
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, word: str) -> Why:
        """The one with this word; UNKNOWN for what is none."""
        return next((why for why in cls if why == word), cls.UNKNOWN)


@dataclass(frozen=True)
class DesktopEnd:
    """The end of one desktop. `id` is that of its use of the slot, `ended` the moment, in seconds of the epoch.

    `started` is None for one that never ran. `seconds` is the limit that it has reached, where it was one, and `note`
    what went wrong, for its user.
    """

    id: str
    type: str
    ordinal: int
    username: str
    started: float | None
    ended: float
    why: Why
    seconds: float | None = None
    note: str = ""

    def is_of(self, user: str) -> bool:
        """Whether it was the user's desktop, in whatever spelling the name is written."""
        return same_account(self.username, user)

    @property
    def never_ran(self) -> bool:
        """Whether it could not be started, so that nothing has ended."""
        return self.why is Why.FAILED and self.started is None


class DesktopEnds:
    """The ends of one store. All methods raise StoreError; `now` is for tests, seconds of the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, slot_id: str) -> DesktopEnd | None:
        """How this use of a slot has ended; None where it has not, or where that is no longer known."""
        return next(iter(self._all(E.id == slot_id)), None)

    def of_user(self, user: str, now: float | None = None) -> list[DesktopEnd]:
        """How a user's desktops have ended of late, in whatever spelling the name is written, the last one first."""
        since = (time.time() if now is None else now) - ENDS_SECONDS
        with self.store.begin() as connection:
            mine = is_of(connection, E.username, user)
        return self._all(and_(mine, E.ended >= since))

    def _all(self, condition: ColumnElement[bool]) -> list[DesktopEnd]:
        query = select(*E).where(condition).order_by(E.ended.desc(), E.id)
        with self.store.begin() as connection:
            return [_end(row) for row in connection.execute(query)]


def note_end(connection: Connection, end: DesktopEnd) -> None:
    """Keep an end, in the transaction that gives its slot back; it takes the place of the one before."""
    before = and_(E.type == end.type, E.ordinal == end.ordinal, E.username == end.username)
    connection.execute(delete(REMOTE_ENDS).where(or_(E.id == end.id, before)))
    connection.execute(insert(REMOTE_ENDS), {**asdict(end), "why": end.why.value})


def forget_ends(connection: Connection, now: float) -> None:
    """Forget those of long ago."""
    connection.execute(delete(REMOTE_ENDS).where(E.ended < now - ENDS_SECONDS))


def _end(row: Any) -> DesktopEnd:
    values = dict(row._mapping)
    return DesktopEnd(**{**values, "why": Why.of(values["why"])})
