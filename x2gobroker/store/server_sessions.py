"""What is known of sessions on X2Go Servers: rows of the store, and who may change those of a server at a moment.

What becomes of the rows is for `inventory/`. It reads, makes up its mind and writes within one transaction, in which
nobody else does the same with those servers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, or_, select, true

from x2gobroker.model.inventory import EXPECTED, LIVING, KnownServer, KnownSession, SessionKey, View
from x2gobroker.store.database import Store
from x2gobroker.store.inventory_tables import SERVER_SESSIONS, SERVERS_HEARD
from x2gobroker.store.rows import upsert

MOST_KEYS = 500  # in one statement
ASKED_SECONDS = 3 * 86400.0  # three times the longest interval of the load checker
KEEP_SECONDS = 30 * 86400.0  # for which a session is remembered that nobody has spoken of since; as client events are
H, S = SERVERS_HEARD.c, SERVER_SESSIONS.c
_DELETE = delete(SERVER_SESSIONS).where(
    S.server == bindparam("of"), S.username == bindparam("by"), S.session == bindparam("named")
)


class ServerSessions:
    """The sessions of one store. All methods that open a transaction of their own raise StoreError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def all(self, keys: Collection[str] | None = None, user: str = "") -> dict[str, View]:
        """What is known of all servers, or of those with these keys, by key; of all accounts, or of one."""
        with self.store.begin() as connection:
            return self.read(connection, keys, user)

    def of_user(self, user: str, keys: Collection[str] | None = None) -> dict[str, View]:
        """The sessions of an account by server; servers without any are only there where they are among `keys`."""
        with self.store.begin() as connection:
            found = self.read(connection, keys, user)
        return {key: view for key, view in found.items() if view.sessions or keys is not None}

    def servers(self) -> dict[str, KnownServer]:
        """All servers by key, without a look at sessions."""
        with self.store.begin() as connection:
            return {row.key: KnownServer(**row._mapping) for row in connection.execute(select(SERVERS_HEARD))}

    @staticmethod
    def read(
        connection: Connection, keys: Collection[str] | None, user: str = "", unsettled: bool = False
    ) -> dict[str, View]:
        """The same in a transaction that has begun. Raises SQLAlchemyError, of which its end makes a StoreError.

        `unsettled`: only sessions of which others say something else than their server has said last.
        """
        servers: dict[str, KnownServer] = {}
        sessions: dict[str, dict[SessionKey, KnownSession]] = {}
        narrow: list[ColumnElement[bool]] = [S.username == user] if user else []
        if unsettled:
            narrow += [S.state != S.told, S.state != EXPECTED]
        for named, mine in _portions(keys):
            for row in connection.execute(select(SERVER_SESSIONS).where(and_(mine, *narrow))):
                session = _session(row)
                sessions.setdefault(row.server, {})[session.key] = session
            # of one account, wherever it is, only where it is
            about = [named] if keys is not None or not user else [one for one, _ in _portions(sessions)]
            for where in about:
                for row in connection.execute(select(SERVERS_HEARD).where(where)):
                    servers[row.key] = KnownServer(**row._mapping)
        found = servers.keys() | sessions.keys()
        return {key: View(servers.get(key) or KnownServer(key), sessions.get(key, {})) for key in sorted(found)}

    @staticmethod
    def known_since(connection: Connection, oldest: float) -> dict[str, tuple[str, float]]:
        """The servers of which all sessions are known as of then or later: how they are heard, and as of when.

        Raises SQLAlchemyError.
        """
        query = select(H.key, H.how, H.known).where(H.known >= oldest)
        return {key: (how, known) for key, how, known in connection.execute(query)}

    @staticmethod
    def counts(connection: Connection, keys: Collection[str]) -> dict[str, int]:
        """How many sessions there are on each of these servers; those without any are left out.

        Raises SQLAlchemyError.
        """
        found: dict[str, int] = {}
        for _named, mine in _portions(keys):
            query = select(S.server, func.count()).where(mine, S.state.in_(LIVING)).group_by(S.server)
            found.update((key, number) for key, number in connection.execute(query))
        return found

    @staticmethod
    def take_turn(connection: Connection, servers: Mapping[str, str]) -> None:
        """Wait until nobody else changes what is known of these servers, keys to names; until the transaction ends.

        It writes before anything is read, for the reason that `server_tables.lock` has, in the order of the keys: of
        two that want the same servers, one waits for the other.
        """
        if not servers:
            return
        rows = [asdict(KnownServer(key, servers[key])) for key in sorted(servers)]
        # the rows apart from the statement, which is made once: made anew, it would take longer than all else here
        statement = upsert(connection, SERVERS_HEARD)
        connection.execute(statement.on_conflict_do_update(index_elements=[H.key], set_={"name": H.name}), rows)

    @staticmethod
    def write(connection: Connection, before: Mapping[str, View], after: Mapping[str, View]) -> int:
        """Write what is otherwise than before; how many rows that were. Both have the same part of each server."""
        servers = [asdict(view.server) for key, view in after.items() if view.server != _server(before, key)]
        gone: list[dict[str, object]] = []
        rows: list[dict[str, object]] = []
        for key, view in after.items():
            was = before[key].sessions if key in before else {}
            gone += [{"of": key, "by": user, "named": name} for user, name in was.keys() - view.sessions.keys()]
            rows += [_row(key, one) for one in view.sessions.values() if was.get(one.key) != one]
        _put(connection, SERVERS_HEARD, servers)
        _put(connection, SERVER_SESSIONS, rows)
        if gone:
            connection.execute(_DELETE, gone)
        return len(servers) + len(gone) + len(rows)

    @staticmethod
    def withdraw(connection: Connection, user: str, name: str, at: float, but: str) -> None:
        """Nobody waits for this session any more on any server but `but`, where it was waited for before `at`."""
        mine = and_(S.username == user, S.session == name, S.state == EXPECTED)
        connection.execute(delete(SERVER_SESSIONS).where(mine, S.server != but, S.since <= at))

    def sweep(self, now: float) -> int:
        """Drop what is past; how many rows that were.

        That is: sessions that nobody has spoken of for KEEP_SECONDS, those that nobody waits for any more, and servers
        without sessions that nobody has asked or heard for ASKED_SECONDS.
        """
        late = now - KEEP_SECONDS
        known = select(H.known).where(H.key == S.server).scalar_subquery()
        unspoken = and_(S.last_seen < late, or_(S.told == "", func.coalesce(known, 0.0) < late))
        past = or_(unspoken, and_(S.state == EXPECTED, S.until <= now))
        silent = and_(H.asked < now - ASKED_SECONDS, H.heard < now - ASKED_SECONDS)
        empty = ~select(S.session).where(S.server == H.key).exists()
        with self.store.begin() as connection:
            gone = len(connection.execute(delete(SERVER_SESSIONS).where(past).returning(S.session)).all())
            # who just writes to one of them is not waited for
            keys = select(H.key).where(silent, empty).with_for_update(skip_locked=True)
            return gone + len(connection.execute(delete(SERVERS_HEARD).where(H.key.in_(keys)).returning(H.key)).all())


def _portions(keys: Collection[str] | None) -> Iterable[tuple[ColumnElement[bool], ColumnElement[bool]]]:
    """What finds these servers, and their sessions; a part of them at a time."""
    if keys is None:
        yield true(), true()
        return
    wanted = sorted(keys)
    for begin in range(0, len(wanted), MOST_KEYS):
        portion = wanted[begin : begin + MOST_KEYS]
        yield H.key.in_(portion), S.server.in_(portion)


def _put(connection: Connection, table: Any, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    statement = upsert(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _server(views: Mapping[str, View], key: str) -> KnownServer | None:
    return views[key].server if key in views else None


def _session(row: Row[Any]) -> KnownSession:
    values = dict(row._mapping)
    values.pop("server")
    return KnownSession(user=values.pop("username"), name=values.pop("session"), **values)


def _row(key: str, session: KnownSession) -> dict[str, object]:
    return {
        "server": key,
        "username": session.user,
        "session": session.name,
        "state": session.state,
        "told": session.told,
        "since": session.since,
        "source": session.source,
        "first_seen": session.first_seen,
        "last_seen": session.last_seen,
        "client": session.client,
        "display": session.display,
        "backend": session.backend,
        "profile": session.profile,
        "until": session.until,
    }
