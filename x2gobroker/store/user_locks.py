"""Users who are locked out, for all brokers that share the store. Who locks them is in `lockouts.py`.

Whoever lets somebody in asks `find`: there is no copy in the memory of any process, so a lock counts at once.
"""

from __future__ import annotations

import contextlib
import pwd
import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Boolean, Column, Float, String, Table, bindparam, delete, or_, select

from x2gobroker.model.accounts import account_name
from x2gobroker.store.database import Store
from x2gobroker.store.tables import METADATA

USER_LOCKS = Table(
    "user_locks",
    METADATA,
    Column("account", String, primary_key=True),
    Column("username", String, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),
)
L = USER_LOCKS.c
_COUNTS = or_(L.until.is_(None), L.until > bindparam("now"))
# made once: every login reads it
_ANYBODY = select(L.account).where(_COUNTS).limit(1)


@dataclass(frozen=True)
class UserLock:
    """One user who is locked out, by whom and why. Times are seconds since the epoch; `until` None: until lifted.

    `told`: the reason is meant for the user as well.
    """

    account: str
    username: str
    by: str
    reason: str
    told: bool
    since: float
    until: float | None

    @property
    def for_user(self) -> str:
        """The reason, where it is meant for the user; else nothing."""
        return self.reason if self.told else ""


def account_names(user: str) -> frozenset[str]:
    """The names of a user's account: as given, and as this system calls it, where it knows it by that name."""
    names = {account_name(user)}
    # an error: no account of this system, or no possible name of one
    with contextlib.suppress(KeyError, ValueError, OSError):
        names.add(account_name(pwd.getpwnam(user).pw_name))
    return frozenset(names)


class UserLocks:
    """The locks of one store. All methods raise StoreError; `now` is for tests, seconds since the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, user: str, now: float | None = None) -> UserLock | None:
        """The lock of a user, by whatever name of the account; None for a user who may come in."""
        moment = {"now": _now(now)}
        with self.store.begin() as connection:
            if connection.execute(_ANYBODY, moment).first() is None:
                return None  # mostly nobody is locked, and then no directory is asked for names
        mine = select(*L).where(L.account.in_(account_names(user)), _COUNTS)
        with self.store.begin() as connection:
            row = connection.execute(mine, moment).first()
        return None if row is None else UserLock(*row)

    def among(self, users: Iterable[str]) -> set[str]:
        """Those of these users who are locked."""
        return {user for user in set(users) if self.find(user) is not None}

    def all(self, now: float | None = None) -> list[UserLock]:
        """Everybody who is locked, by name. Locks whose time is over are forgotten by this."""
        moment = _now(now)
        with self.store.begin() as connection:
            connection.execute(delete(USER_LOCKS).where(L.until <= moment))
            return [UserLock(*row) for row in connection.execute(select(*L).order_by(L.account))]


def _now(now: float | None) -> float:
    return time.time() if now is None else now
