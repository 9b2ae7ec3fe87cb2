"""Servers that were handed out, until the sessions on them show up: shared by all workers and broker hosts.

Without them, everybody who logs in before the next load report would be sent to the same idle server.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, and_, bindparam, delete, func, insert, or_, select, update

from x2gobroker.errors import StoreError
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import CLOCK_SECONDS as BROKERS_DIFFER_SECONDS
from x2gobroker.model.server_names import find_host
from x2gobroker.store.database import BUSY_SECONDS, Store
from x2gobroker.store.origins import note_origin, sweep_origins
from x2gobroker.store.server_tables import RESERVATIONS, SERVER_LOADS, lock

LOCK = "reservations"
SWEEP_SECONDS = 10.0
CLOCK_SECONDS = 60.0  # by which the clocks of servers may differ from the broker's
ROUNDING_SECONDS = 5.0  # by which the age of a session may be off
BEGAN = re.compile(r"-([0-9]{9,12})(?:_|$)")
KEEP_SECONDS = 86400.0  # for which load reports may still be to come; by then there are none
MOST_KEYS = 500
T = RESERVATIONS.c


@dataclass(frozen=True)
class Claim:
    """Who wants a place, by which profile; user `""` is somebody unknown. It is kept for `seconds`."""

    user: str
    backend: str
    profile: str
    seconds: float


@dataclass(frozen=True)
class Place:
    """The server that was picked, and how many sessions it was reckoned to have at that moment."""

    server: Endpoint
    base: int


class Reservation(NamedTuple):
    """One place on a server, the key of which is `server`; times are seconds since the epoch.

    `base`: see Place. `began` is when its session began, None while that has not shown up; `session` is its name.
    """

    user: str
    backend: str
    profile: str
    server: str
    name: str
    made: float
    expires: float
    base: int
    began: float | None
    session: str

    @property
    def is_open(self) -> bool:
        """Whether its session has not shown up."""
        return self.began is None


@dataclass(frozen=True)
class Seen:
    """A session of a user: the key of its server, when it began (seconds since the epoch), and its name if known."""

    server: str
    began: float
    session: str = ""


class Held(NamedTuple):
    """What a choice must know of a Reservation; there may be thousands of them."""

    server: str
    made: float
    expires: float
    base: int
    began: float | None

    @property
    def is_open(self) -> bool:
        """Whether its session has not shown up."""
        return self.began is None


Pick = Callable[[Mapping[str, list[Held]]], Place | None]
Beside = Callable[[Connection, Place], None]
_COLUMNS: tuple[Column[Any], ...] = (
    T.username, T.backend, T.profile, T.server, T.name, T.made, T.expires, T.base, T.began, T.session
)  # fmt: skip

_HELD: tuple[Column[Any], ...] = (T.server, T.made, T.expires, T.base, T.began)
# made once: to make a statement takes as long as to execute it
_INSERT = insert(RESERVATIONS)
_DELETE_OPEN = delete(RESERVATIONS).where(
    T.username == bindparam("user"),
    T.backend == bindparam("backend"),
    T.profile == bindparam("profile"),
    T.began.is_(None),
    T.expires > bindparam("now"),
)
_SELECT_HELD = select(*_HELD).where(
    T.server.in_(bindparam("keys", expanding=True)),
    T.expires > bindparam("earliest"),
    T.made <= bindparam("latest"),
)
_MADE = attrgetter("made")


class Reservations:
    """The reservations of one store. All methods raise StoreError; `now` is seconds since the epoch."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._turn = threading.Lock()
        self._pid = os.getpid()
        self._next_sweep = 0.0

    def hold(
        self, claim: Claim, since: Mapping[str, float], pick: Pick, now: float, beside: Beside | None = None
    ) -> Place | None:
        """Let `pick` choose a server, and reserve a place there; nobody else chooses in the meantime.

        `since` has the keys of the servers that can be chosen, and for each the moment as of which its sessions are
        known: `pick` is given the reservations that expire later, oldest first, by key. An open one of the same user
        and profile is not among them; it is replaced. `pick` must be quick: others wait for it. `beside` writes into
        other tables in the same transaction, which it is given, what the choice means there.
        """
        with self._in_turn(), self.store.begin() as connection:
            if not claim.user or connection.dialect.name != "sqlite":
                lock(connection, LOCK)  # else to delete is the write that SQLite is to begin with
            if claim.user:
                mine = {"user": claim.user, "backend": claim.backend, "profile": claim.profile, "now": now}
                connection.execute(_DELETE_OPEN, mine)
            place = pick(_by_server(connection, since, now))
            if place is not None and claim.seconds > 0:
                connection.execute(_INSERT, _row(claim, place, now))
            if place is not None and beside is not None:
                beside(connection, place)
            if not self._next_sweep - SWEEP_SECONDS <= now <= self._next_sweep:  # also after the clock was set back
                self._next_sweep = now + SWEEP_SECONDS
                _sweep(connection, now)
            return place

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """One thread of this process at a time: waiting here takes no connection, and is fairer than in a database."""
        if self._pid != os.getpid():
            self._turn, self._pid = threading.Lock(), os.getpid()  # a thread of the parent may have held it
        turn = self._turn
        if not turn.acquire(timeout=BUSY_SECONDS):
            raise StoreError("the reservations are busy: too many logins at once, or a slow state store")
        try:
            yield
        finally:
            turn.release()

    def confirm(self, user: str, server_key: str, now: float, began: float | None = None, session: str = "") -> bool:
        """A session of the user is on this server, since `began` (else since `now`): its reservation has come true.

        The oldest open reservation that was made before the session began counts. One session confirms one
        reservation, however often it is seen, where its name is given. Returns whether there was one.
        """
        seen = Seen(server_key, now if began is None else began, session)
        return self.confirm_all(user, [seen], now) == 1

    def confirm_all(self, user: str, sessions: Iterable[Seen], now: float) -> int:
        """The same for all sessions of a listing; how many reservations have come true."""
        if not user or not self._open(user):
            return 0
        confirmed = 0
        columns = (T.id, T.server, T.made, T.began, T.session, T.backend, T.profile)
        query = select(*columns).where(T.username == user).order_by(T.made, T.id)
        with self.store.begin() as connection:
            lock(connection, LOCK)
            rows = connection.execute(query).all()
            known = {row.session for row in rows if row.session}
            waiting = [row for row in rows if row.began is None]
            for seen in sorted(sessions, key=lambda seen: seen.began):
                if seen.session in known:
                    continue
                latest = seen.began + ROUNDING_SECONDS
                row = next((row for row in waiting if row.server == seen.server and row.made <= latest), None)
                if row is not None:
                    waiting.remove(row)
                    values = {"began": min(seen.began, now), "session": seen.session}
                    connection.execute(update(RESERVATIONS).where(T.id == row.id).values(values))
                    if seen.session:
                        note_origin(connection, user, seen.session, row.backend, row.profile, now)
                    confirmed += 1
        return confirmed

    def reported(self, user: str, server: str, session: str, now: float) -> bool:
        """A client says that the user's session runs on `server`, by name or address; returns as `confirm` does.

        Where clients name the server by something else, the only open reservation of the user is meant.
        """
        rows = self._open(user) if user else []
        if not rows:
            return False
        hosts = {Host(name, address if address != name else ""): key for key, name, address in rows}
        host = find_host(tuple(hosts), server)
        keys = set(hosts.values())
        key = hosts[host] if host is not None else keys.pop() if len(keys) == 1 else ""
        return bool(key) and self.confirm(user, key, now, _began(session, now), session)

    def all(self, now: float) -> list[Reservation]:
        """The reservations that have not expired, oldest first."""
        query = select(*_COLUMNS).where(T.expires > now).order_by(T.made, T.id)
        with self.store.begin() as connection:
            return [Reservation._make(row) for row in connection.execute(query)]

    def _open(self, user: str) -> list[tuple[str, str, str]]:
        query = select(T.server, T.name, T.address).where(T.username == user, T.began.is_(None))
        with self.store.begin() as connection:
            return [(key, name, address) for key, name, address in connection.execute(query)]


def _began(session: str, now: float) -> float:
    """When a session began at the latest, by the clock of its server, which stands in its name; else now."""
    found = BEGAN.search(session)
    return min(now, int(found[1]) + CLOCK_SECONDS) if found else now


def _by_server(connection: Connection, since: Mapping[str, float], now: float) -> dict[str, list[Held]]:
    found: dict[str, list[Held]] = {key: [] for key in since}
    keys = list(since)
    earliest = min(since.values(), default=now)
    for begin in range(0, len(keys), MOST_KEYS):
        which = {"keys": keys[begin : begin + MOST_KEYS], "earliest": earliest, "latest": now + BROKERS_DIFFER_SECONDS}
        for held in map(Held._make, connection.execute(_SELECT_HELD, which).all()):
            if held.expires > since[held.server]:
                found[held.server].append(held)
    for rows in found.values():
        rows.sort(key=_MADE)
    return found


def _row(claim: Claim, place: Place, now: float) -> dict[str, object]:
    return {
        "username": claim.user,
        "backend": claim.backend,
        "profile": claim.profile,
        "server": place.server.key,
        "name": place.server.name,
        "address": place.server.address,
        "made": now,
        "expires": now + claim.seconds,
        "base": place.base,
        "began": None,
        "session": "",
    }


def _sweep(connection: Connection, now: float) -> None:
    """Drop what has expired and can be in the figures of a load report, if there are any of its server.

    And what was made at a moment still to come: some broker's clock was ahead.
    """
    last_report = select(SERVER_LOADS.c.answered).where(SERVER_LOADS.c.key == T.server).scalar_subquery()
    reported = or_(T.expires < func.coalesce(last_report, now), T.expires < now - KEEP_SECONDS)
    ahead = T.made > now + BROKERS_DIFFER_SECONDS
    connection.execute(delete(RESERVATIONS).where(or_(and_(T.expires < now, reported), ahead)))
    sweep_origins(connection, now)
