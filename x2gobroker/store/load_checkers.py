"""Which load checkers there are, on whatever hosts: a row for each, with a number that grows while it lives."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select

from x2gobroker.store.database import Store
from x2gobroker.store.inventory_tables import LOAD_CHECKERS
from x2gobroker.store.rows import put

FORGET_SECONDS = 86400.0  # hosts may have clocks that differ by hours
T = LOAD_CHECKERS.c


@dataclass(frozen=True)
class Peer:
    """A load checker. `servers` stands for the servers that it looks after; `beat` is its clock at its last sign."""

    name: str
    servers: str
    beat: float


class LoadCheckers:
    """The load checkers of one store. All methods raise StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def beat(self, name: str, servers: str, now: float) -> list[Peer]:
        """A load checker is alive, and looks after these servers. Returns all that there are, by name."""
        with self.store.begin() as connection:
            put(connection, LOAD_CHECKERS, {"name": name, "servers": servers, "beat": now})
            connection.execute(delete(LOAD_CHECKERS).where(T.beat < now - FORGET_SECONDS))
            return [Peer(*row) for row in connection.execute(select(T.name, T.servers, T.beat).order_by(T.name))]

    def leave(self, name: str) -> None:
        """A load checker ends."""
        with self.store.begin() as connection:
            connection.execute(delete(LOAD_CHECKERS).where(T.name == name))
