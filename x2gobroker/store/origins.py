"""From which session profile the sessions of a user were begun, and what clients reported of them last."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, String, Table, bindparam, delete, select

from x2gobroker.store.database import Store
from x2gobroker.store.rows import put_new
from x2gobroker.store.tables import CLIENT_EVENTS, METADATA

KEEP_SECONDS = 90 * 86400.0
SESSION_ORIGINS = Table(
    "session_origins",
    METADATA,
    Column("username", String, primary_key=True),
    Column("session", String, primary_key=True),
    Column("backend", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("noted", Float, nullable=False, index=True),
)
T, E = SESSION_ORIGINS.c, CLIENT_EVENTS.c
# made once: every login reads these
_PROFILES = select(T.session, T.profile).where(T.username == bindparam("user"), T.backend == bindparam("backend"))
_REPORTED = (
    select(T.session, T.profile, E.event, E.reported)
    .join(CLIENT_EVENTS, (E.username == T.username) & (E.session == T.session))
    .where(T.username == bindparam("user"), T.backend == bindparam("backend"))
)


@dataclass(frozen=True)
class Reported:
    """A session of a profile, and the last that a client said of it; `reported` in seconds since the epoch."""

    session: str
    profile: str
    event: str
    reported: float


def note_origin(connection: Connection, user: str, session: str, backend: str, profile: str, now: float) -> None:
    """Note where a session comes from, once; part of the caller's transaction."""
    row = {"username": user, "session": session, "backend": backend, "profile": profile, "noted": now}
    put_new(connection, SESSION_ORIGINS, row)


def sweep_origins(connection: Connection, now: float) -> None:
    """Drop what is about sessions of long ago; part of the caller's transaction."""
    connection.execute(delete(SESSION_ORIGINS).where(T.noted < now - KEEP_SECONDS))


class Origins:
    """The origins of one store. Methods raise StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def profile_of(self, user: str, backend: str) -> dict[str, str]:
        """The session profile of each known session of a user, by the session's name."""
        with self.store.begin() as connection:
            rows = connection.execute(_PROFILES, {"user": user, "backend": backend}).all()
        return {row.session: row.profile for row in rows}

    def reported(self, user: str, backend: str) -> list[Reported]:
        """What clients said last of the sessions of a user whose profile is known."""
        with self.store.begin() as connection:
            return [Reported(*row) for row in connection.execute(_REPORTED, {"user": user, "backend": backend})]
