"""Drained X2Go Servers: they get no new sessions; sessions that are there can be resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from x2gobroker.store.database import Store
from x2gobroker.store.rows import put
from x2gobroker.store.server_tables import DRAINS

ALL = select(*DRAINS.c).order_by(DRAINS.c.name)


@dataclass(frozen=True)
class Drain:
    """One drained server: its name or address, who drained it and why; `since` is seconds since the epoch."""

    name: str
    by: str
    reason: str
    since: float


class Drains:
    """The drained servers of one store. All methods raise StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def start(self, name: str, by: str, reason: str = "") -> None:
        """Drain a server; for one that is drained already, the new reason counts. Names are kept in small letters."""
        name = name.strip().lower()
        with self.store.begin() as connection:
            put(connection, DRAINS, {"name": name, "by": by, "reason": reason, "since": time.time()})

    def end(self, name: str) -> bool:
        """Let a server have new sessions again; False when it was not drained."""
        statement = delete(DRAINS).where(DRAINS.c.name == name.strip().lower()).returning(DRAINS.c.name)
        with self.store.begin() as connection:
            return bool(connection.execute(statement).all())

    def all(self) -> list[Drain]:
        """All drained servers, by name."""
        with self.store.begin() as connection:
            return self.read(connection)

    @staticmethod
    def read(connection: Connection) -> list[Drain]:
        """The same in a transaction that has begun. Raises SQLAlchemyError, of which its end makes a StoreError."""
        return [Drain(*row) for row in connection.execute(ALL)]
