"""What is known of sessions on X2Go Servers: rows of the store, and who may change those of a server at a moment.

What becomes of the rows is for `inventory/`. It reads, makes up its mind and writes within one transaction, in which
nobody else does the same with those servers.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, bindparam, delete, func, or_, select

from x2gobroker.model.inventory import EXPECTED, LIVING, KnownServer, KnownSession, SessionKey, View
from x2gobroker.store.database import Store
from x2gobroker.store.inventory_tables import SERVER_SESSIONS, SERVERS_HEARD
from x2gobroker.store.rows import insert_of

MOST_KEYS = 500  # in one statement
ASKED_SECONDS = 3 * 86400.0  # three times the longest interval of the load checker
KEEP_SECONDS = 30 * 86400.0  # for which a session is remembered that nobody has spoken of since; as client events are
H, S = SERVERS_HEARD.c, SERVER_SESSIONS.c
# in the order of the fields of KnownServer, and, behind the server, of KnownSession
_SERVER = (H.key, H.name, H.how, H.asked, H.heard, H.known, H.silent_since, H.trouble)
_SESSION = (
    S.server, S.username, S.session, S.state, S.told, S.since, S.source, S.first_seen, S.last_seen, S.client, S.display,
    S.backend, S.profile, S.until,
)  # fmt: skip
# made once: to make a statement takes as long as to execute it
_KNOWN_SINCE = select(H.key, H.how, H.known).where(H.known >= bindparam("oldest"))
_COUNTS = (
    select(S.server, func.count())
    .where(S.server.in_(bindparam("keys", expanding=True)), S.state.in_(LIVING))
    .group_by(S.server)
)
_DELETE = delete(SERVER_SESSIONS).where(
    S.server == bindparam("of"), S.username == bindparam("by"), S.session == bindparam("named")
)
_WITHDRAW = delete(SERVER_SESSIONS).where(
    S.username == bindparam("by"),
    S.session == bindparam("named"),
    S.state == EXPECTED,
    S.server != bindparam("but"),
    S.since <= bindparam("at"),
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
            return {row[0]: KnownServer(*row) for row in connection.execute(_servers(False))}

    @staticmethod
    def read(
        connection: Connection,
        keys: Collection[str] | None,
        user: str = "",
        unsettled: bool = False,
        beside: Collection[str] = (),
    ) -> dict[str, View]:
        """The same in a transaction that has begun. Raises SQLAlchemyError, of which its end makes a StoreError.

        `unsettled`: only sessions of which others say something else than their server has said last, and those of the
        accounts `beside`, which are to be few.
        """
        servers: dict[str, KnownServer] = {}
        sessions: dict[str, dict[SessionKey, KnownSession]] = {}
        which = _sessions(keys is not None, bool(user), unsettled)
        for portion in _portions(keys):
            for row in connection.execute(which, {**portion, "user": user, "beside": list(beside)}).all():
                session = KnownSession(*row[1:])
                sessions.setdefault(row[0], {})[session.key] = session
        # of one account, wherever it is, only where it is
        about = keys if keys is not None or not user else sessions.keys()
        for portion in _portions(about):
            for row in connection.execute(_servers(about is not None), portion).all():
                servers[row[0]] = KnownServer(*row)
        found = servers.keys() | sessions.keys()
        return {key: View(servers.get(key) or KnownServer(key), sessions.get(key, {})) for key in sorted(found)}

    @staticmethod
    def known_since(connection: Connection, oldest: float) -> dict[str, tuple[str, float]]:
        """The servers of which all sessions are known as of then or later: how they are heard, and as of when.

        Raises SQLAlchemyError.
        """
        rows = connection.execute(_KNOWN_SINCE, {"oldest": oldest}).all()
        return {key: (how, known) for key, how, known in rows}

    @staticmethod
    def counts(connection: Connection, keys: Collection[str]) -> dict[str, int]:
        """How many sessions there are on each of these servers; those without any are left out.

        Raises SQLAlchemyError.
        """
        found: dict[str, int] = {}
        for portion in _portions(keys):
            found.update((key, number) for key, number in connection.execute(_COUNTS, portion).all())
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
        connection.execute(_turn(connection.dialect.name), rows)

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
        connection.execute(_WITHDRAW, {"by": user, "named": name, "but": but, "at": at})

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


@functools.cache
def _sessions(by_key: bool, by_user: bool, unsettled: bool) -> Select[Any]:
    """The sessions of some servers or all, of one account or all; `unsettled` and `beside` as in `read`."""
    wanted: list[ColumnElement[bool]] = []
    if by_key:
        wanted.append(S.server.in_(bindparam("keys", expanding=True)))
    if by_user:
        wanted.append(S.username == bindparam("user"))
    if unsettled:
        others_say = and_(S.state != S.told, S.state != EXPECTED)
        wanted.append(or_(others_say, S.username.in_(bindparam("beside", expanding=True))))
    return select(*_SESSION).where(*wanted)


@functools.cache
def _servers(by_key: bool) -> Select[Any]:
    """Some servers, or all."""
    every = select(*_SERVER)
    return every.where(H.key.in_(bindparam("keys", expanding=True))) if by_key else every


def _portions(keys: Collection[str] | None) -> Iterable[dict[str, object]]:
    """What finds these servers, or all; a part of them at a time."""
    if keys is None:
        yield {}
        return
    wanted = sorted(keys)
    for begin in range(0, len(wanted), MOST_KEYS):
        yield {"keys": wanted[begin : begin + MOST_KEYS]}


@functools.cache
def _turn(dialect: str) -> Any:
    """What writes servers, and leaves those that are there as they are but for their names."""
    return insert_of(dialect, SERVERS_HEARD).on_conflict_do_update(index_elements=[H.key], set_={"name": H.name})


@functools.cache
def _whole(dialect: str, table: Table) -> Any:
    """What writes whole rows, whether or not they are there."""
    statement = insert_of(dialect, table)
    keys = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _put(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        connection.execute(_whole(connection.dialect.name, table), rows)


def _server(views: Mapping[str, View], key: str) -> KnownServer | None:
    return views[key].server if key in views else None


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
