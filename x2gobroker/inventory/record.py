"""What has happened goes into the store: read what is known, merge, write what is new, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import NamedTuple, assert_never

from sqlalchemy import Connection

from x2gobroker.inventory.happenings import Answered, Changed, Happening, Placed, Said, Silent, Told, Withdrawn
from x2gobroker.inventory.merge import merge
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import KnownServer, View
from x2gobroker.store import ServerSessions, Store

MOST_SERVERS = 25  # in one transaction: others wait for it
MOST_BESIDE = 200  # accounts that are named in one statement
SWEEP_SECONDS = 3600.0

News = tuple[Endpoint, Happening]


class Inventory:
    """Writes into the inventory of one store. Safe for threads and for any number of processes and hosts."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._clock = clock
        self._swept = 0.0

    def now(self) -> float:
        """Seconds since the epoch, by this host's clock."""
        return self._clock()

    def take(self, news: Iterable[News]) -> frozenset[str]:
        """Take what has happened, in its order for each server; MOST_SERVERS of them in one transaction.

        Returns the keys of servers of which a change came that follows nothing: their watch is to tell all sessions
        anew. Raises StoreError; those who come again with the same news do no harm.
        """
        by_server = sorted(news, key=lambda one: one[0].key)  # a sort that leaves equals in their order
        servers = [list(group) for _key, group in groupby(by_server, key=lambda one: one[0].key)]
        astray: set[str] = set()
        for begin in range(0, len(servers), MOST_SERVERS):
            portion = list(chain.from_iterable(servers[begin : begin + MOST_SERVERS]))
            with self.store.begin() as connection:
                astray |= self.take_within(connection, portion)
        return frozenset(astray)

    def sweep(self) -> None:
        """Drop what is past, once in SWEEP_SECONDS at most. Raises StoreError."""
        now = self._clock()
        if 0 <= now - self._swept < SWEEP_SECONDS:
            return
        self._swept = now
        ServerSessions(self.store).sweep(now)

    def take_within(self, connection: Connection, news: Sequence[News]) -> frozenset[str]:
        """The same in a transaction that has begun, and may have written other tables before, but not these.

        Raises SQLAlchemyError, of which the end of the transaction makes a StoreError.
        """
        by_key: dict[str, list[News]] = {}
        for one in news:
            by_key.setdefault(one[0].key, []).append(one)
        ServerSessions.take_turn(connection, {key: about[-1][0].name for key, about in by_key.items()})
        before = _read(connection, by_key)
        now = self._clock()
        after: dict[str, View] = {}
        astray = set()
        for key, about in by_key.items():
            view = before[key]
            for server, happening in about:
                if isinstance(happening, Changed) and happening.follows != view.server.known:
                    astray.add(key)
                view = merge(_named(view, server.name), happening, now)
            after[key] = view
        ServerSessions.write(connection, before, after)
        for server, happening in news:
            if isinstance(happening, Placed):
                ServerSessions.withdraw(connection, happening.user, happening.name, happening.at, server.key)
        return frozenset(astray)


def endpoint_of(server: KnownServer) -> Endpoint:
    """Where a server is, of which its key and its name are known."""
    address, _, port = server.key.rpartition(":")
    return Endpoint(server.name, address.strip("[]"), int(port))


def _named(view: View, name: str) -> View:
    """With the name that profiles give the server now."""
    return view if name in ("", view.server.name) else replace(view, server=replace(view.server, name=name))


def _read(connection: Connection, by_key: dict[str, list[News]]) -> dict[str, View]:
    """As much of each server as the merge needs: all, one account, or only what is in question."""
    wanted: dict[_Need, list[str]] = {}
    for key, about in by_key.items():
        needs = {_need(happening) for _server, happening in about}
        wanted.setdefault(needs.pop() if len(needs) == 1 else EVERYTHING, []).append(key)
    found: dict[str, View] = {}
    for need, keys in wanted.items():
        views = ServerSessions.read(connection, keys, need.user, need.unsettled, need.beside)
        found.update((key, views.get(key) or View(KnownServer(key))) for key in keys)
    return found


class _Need(NamedTuple):
    """Of which account (empty: of all) the sessions are wanted, and whether only those in question.

    Then `beside` has the accounts of which all are wanted all the same.
    """

    user: str = ""
    unsettled: bool = False
    beside: frozenset[str] = frozenset()


EVERYTHING = _Need()
IN_QUESTION = _Need(unsettled=True)


def _need(happening: Happening) -> _Need:
    match happening:
        case Said(user=user) | Placed(user=user) | Withdrawn(user=user) | Told(user=user):
            return _Need(user)
        case Answered() | Silent():
            return IN_QUESTION
        case Changed(sessions=sessions, gone=gone):
            users = frozenset(one.user for one in sessions) | {user for user, _name in gone}
            return EVERYTHING if len(users) > MOST_BESIDE else _Need(unsettled=True, beside=users)
        case _:
            assert_never(happening)
