"""Locking users out, and letting them in again: a lock, and all that it takes away, are one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, delete, or_, select, update

from x2gobroker.model.accounts import account_name
from x2gobroker.store.autologin_keys import AUTOLOGIN_KEYS, KEY_OWNERS
from x2gobroker.store.database import Store
from x2gobroker.store.portal_tables import PORTAL_SESSIONS
from x2gobroker.store.remote_desktops import CUT, FAILED, RESERVED
from x2gobroker.store.remote_tables import REMOTE_SHARES, REMOTE_SLOTS, REMOTE_TOKENS
from x2gobroker.store.rows import upsert
from x2gobroker.store.tables import AUTHIDS
from x2gobroker.store.user_locks import USER_LOCKS, account_names

LOCKED = "locked"  # the word in the log of x2gobroker-remote for a desktop that is stopped
L, S, K, A = USER_LOCKS.c, REMOTE_SLOTS.c, REMOTE_TOKENS.c, AUTOLOGIN_KEYS.c


@dataclass(frozen=True)
class TakenAway:
    """What a lock has taken away, in numbers: `desktops` were cut off, or are being stopped."""

    authids: int = 0
    sign_ins: int = 0
    tokens: int = 0
    links: int = 0
    desktops: int = 0
    keys: int = 0


class Lockouts:
    """Locks users of one store out. All methods raise StoreError; `now` is for tests, seconds since the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def lock(
        self, user: str, by: str, reason: str = "", told: bool = False, until: float | None = None, stop: bool = False,
        now: float | None = None,
    ) -> TakenAway:  # fmt: skip
        """Lock a user out and take everything away by which the user comes in; a lock that is there is replaced.

        With `stop`, the user's desktops in the browser are stopped; else only their connections are cut.
        """
        moment = time.time() if now is None else now
        row = {"username": user, "by": by, "reason": reason, "told": told, "since": moment, "until": until}
        names = account_names(user)
        with self.store.begin() as connection:
            statement = upsert(connection, USER_LOCKS).values(account=_account(user), **row)
            connection.execute(statement.on_conflict_do_update(index_elements=[L.account], set_=row))
            return _take_away(connection, names, moment, stop)

    def lift(self, user: str, now: float | None = None) -> bool:
        """Let a user in again; False when there was no lock. What was got in the meantime is taken away once more."""
        names = account_names(user)
        with self.store.begin() as connection:
            gone = connection.execute(delete(USER_LOCKS).where(L.account.in_(names)).returning(L.account)).all()
            if gone:
                _take_away(connection, names, time.time() if now is None else now, stop=False)
        return bool(gone)


def _account(user: str) -> str:
    """The name of the account under which a lock is kept: the system's own where it knows this one by another."""
    other = account_names(user) - {account_name(user)}
    return min(other, default=account_name(user))


def _take_away(connection: Connection, names: frozenset[str], now: float, stop: bool) -> TakenAway:
    """Take away whatever lets one of these accounts in; the tables have the names as users write them."""
    authids = _of(connection, AUTHIDS.c.username, names)
    sign_ins = _of(connection, PORTAL_SESSIONS.c.username, names)
    owned = _of(connection, S.username, names)
    slots = select(S.id).where(owned)
    tokens = or_(K.slot.in_(slots), _of(connection, K.username, names))
    owners = select(KEY_OWNERS.c.id).where(_of(connection, KEY_OWNERS.c.username, names))
    keys = or_(_of(connection, A.username, names), A.id.in_(owners))
    return TakenAway(
        authids=_count(connection, delete(AUTHIDS).where(authids)),
        sign_ins=_count(connection, delete(PORTAL_SESSIONS).where(sign_ins)),
        tokens=_count(connection, delete(REMOTE_TOKENS).where(tokens)),
        links=_count(connection, delete(REMOTE_SHARES).where(REMOTE_SHARES.c.slot.in_(slots))),
        keys=_count(connection, update(AUTOLOGIN_KEYS).where(keys, A.due > now).values(due=now)),
        desktops=_leave_desktops(connection, owned, stop),
    )


def _of(connection: Connection, column: Column[Any] | ColumnElement[Any], names: frozenset[str]) -> ColumnElement[bool]:
    """The condition for rows of these accounts, in whatever form their name is written there."""
    written = connection.execute(select(column).distinct()).scalars()
    return column.in_([name for name in written if account_name(name) in names])


def _leave_desktops(connection: Connection, owned: ColumnElement[bool], stop: bool) -> int:
    """Have x2gobroker-remote cut the connections of desktops, or stop them; places nobody came to are given back."""
    connection.execute(delete(REMOTE_SLOTS).where(owned, S.state.in_((RESERVED, FAILED))))
    wanted = and_(owned, or_(S.wanted.in_(("", CUT)), S.wanted == LOCKED))
    return _count(connection, update(REMOTE_SLOTS).where(wanted).values(wanted=LOCKED if stop else CUT))


def _count(connection: Connection, statement: Any) -> int:
    return int(connection.execute(statement).rowcount)
