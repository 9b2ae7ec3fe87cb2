"""Who has a second factor: the secret that the user's telephone shares, and the last step of its clock that counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, select, update

from x2gobroker.model.accounts import account_name
from x2gobroker.store.database import Store
from x2gobroker.store.rows import put, put_new
from x2gobroker.store.tables import TOTP


@dataclass(frozen=True)
class Enrolment:
    """A user's second factor. `last_step` is the 30-second step of the last code that was accepted, 0 before that."""

    username: str
    secret: str = field(repr=False)
    enrolled: float
    last_step: int


_FIND = select(TOTP).where(TOTP.c.username == bindparam("user"))
_REMOVE = delete(TOTP).where(TOTP.c.username == bindparam("user"))
_ADVANCE = update(TOTP).where(
    TOTP.c.username == bindparam("user"), TOTP.c.secret == bindparam("shared"), TOTP.c.last_step < bindparam("step")
)


class Enrolments:
    """The second factors of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, user: str) -> Enrolment | None:
        """The second factor of a user; None without one."""
        with self.store.begin() as connection:
            row = connection.execute(_FIND, {"user": account_name(user)}).one_or_none()
        return None if row is None else Enrolment(**row._mapping)

    def everybody(self) -> list[Enrolment]:
        """All second factors, sorted by user."""
        with self.store.begin() as connection:
            return [Enrolment(**row._mapping) for row in connection.execute(select(TOTP).order_by(TOTP.c.username))]

    def add(self, user: str, secret: str, replace: bool) -> bool:
        """Keep a user's secret; False, and nothing changed, where there is one that is not to be replaced."""
        row = {"username": account_name(user), "secret": secret, "enrolled": time.time(), "last_step": 0}
        with self.store.begin() as connection:
            return put(connection, TOTP, row) if replace else put_new(connection, TOTP, row)

    def remove(self, user: str) -> bool:
        """Forget a user's secret; False where there is none."""
        with self.store.begin() as connection:
            return bool(connection.execute(_REMOVE, {"user": account_name(user)}).rowcount)

    def advance(self, enrolment: Enrolment, step: int) -> bool:
        """Use up all codes up to `step`; True for one caller only, among all threads, processes and hosts."""
        asked = {"user": enrolment.username, "shared": enrolment.secret, "step": step}
        with self.store.begin() as connection:
            return connection.execute(_ADVANCE.values(last_step=step), asked).rowcount == 1
