"""What X2Go Clients report about their sessions: the last event of each, per user."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from x2gobroker.store.database import CLIENT_EVENTS, Store

KEEP_SECONDS = 30 * 86400
MOST_PER_USER = 200


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

    def record(self, report: ClientEvent) -> None:
        """Keep this as the last report of its user and session, and drop what is old or too much."""
        table = CLIENT_EVENTS
        mine = table.c.username == report.username
        newest = select(table.c.session).where(mine).order_by(table.c.reported.desc()).limit(MOST_PER_USER - 1)
        with self.store.begin() as connection:
            connection.execute(delete(table).where(mine, table.c.session == report.session))
            connection.execute(delete(table).where(mine, table.c.session.not_in(newest)))
            connection.execute(delete(table).where(table.c.reported < time.time() - KEEP_SECONDS))
            connection.execute(insert(table), asdict(report))

    def of_user(self, user: str) -> list[ClientEvent]:
        """The last reports of a user's sessions, the newest first."""
        table = CLIENT_EVENTS
        query = select(table).where(table.c.username == user).order_by(table.c.reported.desc())
        with self.store.begin() as connection:
            return [ClientEvent(**row._mapping) for row in connection.execute(query)]
