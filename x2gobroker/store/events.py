"""What X2Go Clients report about their sessions: the last event of each, per user."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, or_, select, tuple_

from x2gobroker.store.database import Store
from x2gobroker.store.rows import put
from x2gobroker.store.tables import CLIENT_EVENTS

KEEP_SECONDS = 30 * 86400
MOST_PER_USER = 200
SAME_SECONDS = 1.0  # of two reports this close nobody knows which one came first
# what ends a session beats what may come just before it
RANKS = {"FINISHED": 2, "TERMINATING": 1}
T = CLIENT_EVENTS.c


@dataclass(frozen=True)
class ClientEvent:
    """One report. `started` is text in the client's own form, `elapsed` seconds of being connected."""

    username: str
    session: str
    event: str
    login: str
    server: str
    client: str
    address: str
    command: str
    display: str
    started: str
    elapsed: int
    version: str
    system: str
    reported: float


class ClientEvents:
    """The reports of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def record(self, report: ClientEvent, beside: Callable[[Connection], None] | None = None) -> None:
        """Keep this as the last report of its user and session, unless a later one is there; drop what is too much.

        Reports that overlap, on any number of hosts, are written in any order: the last by its time counts, and of
        those within a second the one that ends the session. `beside` writes into other tables in the same transaction,
        which it is given, what the report means there.
        """
        with self.store.begin() as connection:
            put(connection, CLIENT_EVENTS, asdict(report), _is_later)
            self._sweep(connection, report.username)
            if beside is not None:
                beside(connection)

    def of_user(self, user: str) -> list[ClientEvent]:
        """The last reports of a user's sessions, the newest first."""
        table = CLIENT_EVENTS
        query = select(table).where(table.c.username == user).order_by(table.c.reported.desc())
        with self.store.begin() as connection:
            return [ClientEvent(**row._mapping) for row in connection.execute(query)]

    @staticmethod
    def _sweep(connection: Connection, user: str) -> None:
        """Rows that somebody else just writes are left alone, so that nobody waits for anybody."""
        key = tuple_(T.username, T.session)
        newest = select(T.session).where(T.username == user).order_by(T.reported.desc()).limit(MOST_PER_USER)
        surplus = and_(T.username == user, T.session.not_in(newest))
        old = T.reported < time.time() - KEEP_SECONDS
        free = select(T.username, T.session).where(or_(surplus, old)).with_for_update(skip_locked=True)
        connection.execute(delete(CLIENT_EVENTS).where(key.in_(free)))


def _is_later(fresh: Any) -> ColumnElement[bool]:
    """Whether a new report takes the place of the one that is there."""
    ranks = [case(RANKS, value=event, else_=0) for event in (fresh.event, T.event)]
    return or_(
        fresh.reported >= T.reported + SAME_SECONDS,
        and_(fresh.reported > T.reported - SAME_SECONDS, ranks[0] > ranks[1]),
        and_(fresh.reported >= T.reported, ranks[0] == ranks[1]),
    )
