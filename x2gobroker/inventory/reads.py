"""What listing, selection, pages and commands read: where a user's sessions are, how old that is, and whom to ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from x2gobroker.model.hosts import Host
from x2gobroker.model.inventory import (
    AHEAD_SECONDS,
    EXPECTED,
    LEFT,
    SUSPENDED_FIRST,
    WATCH,
    KnownServer,
    KnownSession,
    View,
)
from x2gobroker.model.server_names import find_host
from x2gobroker.model.sessions import RUNNING, SUSPENDED, is_shadow
from x2gobroker.settings import GLOBAL, Settings
from x2gobroker.store import ServerSessions, Store

OPTION = "sessions-known-for"
ROUNDS = 2  # of the load checker, for which a round that fails may be missed
WATCHED_ONLY = -1.0  # the rule by which only servers count that are watched
WATCHED_SECONDS = 25.0  # without a word, after which a server is not watched any more, whoever has watched it


@dataclass(frozen=True)
class Whereabout:
    """A session, the server that it is on, and the moment as of which it is known, in seconds since the epoch."""

    server: KnownServer
    session: KnownSession
    as_of: float

    def age(self, now: float) -> float:
        """Seconds since it was known to be so."""
        return max(0.0, now - self.as_of)

    def is_fresh(self, rule: float, now: float) -> bool:
        """Whether it counts: it is no older than the rule, in seconds, allows."""
        return counts(self.server.how, self.as_of, rule, now)


@dataclass(frozen=True)
class Whereabouts:
    """Where the sessions of an account are, suspended ones first, and those that are still to come.

    `unknown` has the keys of servers that nobody knows enough of: it may have sessions there all the same.
    """

    found: tuple[Whereabout, ...] = ()
    unknown: frozenset[str] = frozenset()

    @property
    def where(self) -> dict[str, frozenset[str]]:
        """The keys of the servers that have each session, by its name: one, as a rule."""
        keys: dict[str, frozenset[str]] = {}
        for one in self.found:
            if one.session.state != EXPECTED:
                keys[one.session.name] = keys.get(one.session.name, frozenset()) | {one.server.key}
        return keys

    @property
    def to_ask(self) -> frozenset[str]:
        """The servers whose agents a selection has to ask: the unknown ones, and those that have what it resumes."""
        return self.unknown | {one.server.key for one in self.found}


def rule_of(settings: Settings) -> float:
    """By which rule what is known spares a question: seconds, WATCHED_ONLY, or 0: all servers are always asked."""
    return float(settings.integer(GLOBAL, OPTION))


def known_for(settings: Settings) -> float:
    """For how many seconds what is known is shown as fresh; 0: nobody makes a difference."""
    seconds = settings.integer(GLOBAL, OPTION)
    return float(seconds if seconds >= 0 else ROUNDS * settings.integer(GLOBAL, "load-checker-intervals"))


class Reads:
    """Reads in the inventory of one store. All methods raise StoreError."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._sessions = ServerSessions(store)
        self._clock = clock

    def of_user(self, user: str, keys: Collection[str], seconds: float) -> Whereabouts:
        """Where an account has sessions on the servers with these keys, by the rule of so many `seconds`."""
        return whereabouts(self._sessions.of_user(user, keys), keys, seconds, self._clock())

    def everywhere(self, user: str = "", server: str = "") -> list[Whereabout]:
        """All sessions, or those of an account, on all servers, or on those that `server` names; by server and user."""
        now = self._clock()
        views = self._sessions.all(user=user).values()
        found = [one for view in views if not server or is_called(view.server, server) for one in living(view, now)]
        return sorted(found, key=lambda one: (one.server.name, one.server.key, one.session.user, one.session.name))

    def servers(self) -> dict[str, KnownServer]:
        """How each server is heard, by key."""
        return self._sessions.servers()


def whereabouts(views: Mapping[str, View], keys: Collection[str], seconds: float, now: float) -> Whereabouts:
    """What `views` says of one account on the servers with these keys, by the rule of so many `seconds`."""
    known = {key for key, view in views.items() if counts(view.server.how, view.server.known, seconds, now)}
    return _whereabouts(views, keys, frozenset(keys) - known, seconds, now)


def _whereabouts(
    views: Mapping[str, View], keys: Collection[str], unknown: frozenset[str], rule: float, now: float
) -> Whereabouts:
    found = [one for key in sorted(views) if key in keys for one in living(views[key], now)]
    return Whereabouts(tuple(sorted(_once(found, rule, now), key=_order)), unknown)


def at_login(
    connection: Connection, user: str, keys: Collection[str], rule: float, now: float
) -> tuple[Whereabouts, frozenset[str], dict[str, float]]:
    """Where an account has sessions on the servers with these keys, which of them are watched, and which are known.

    The last comes with the moment as of which all sessions of the server are known, in seconds since the epoch.
    Of servers without sessions of the account no more is read than whether they are known: there may be hundreds.
    Raises SQLAlchemyError.
    """
    told = ServerSessions.known_since(connection, now - max(rule, WATCHED_SECONDS))
    known = {key: as_of for key, (how, as_of) in told.items() if key in keys and counts(how, as_of, rule, now)}
    watched = frozenset(key for key in known if told[key][0] == WATCH)
    views = ServerSessions.read(connection, None, user)
    return _whereabouts(views, keys, frozenset(keys) - known.keys(), rule, now), watched, known


@dataclass(frozen=True)
class Place:
    """A session that an account could resume: the server's key, its name, R or S, and since when.

    `backend` and `profile` are those that it was begun from, empty where nobody knows.
    """

    key: str
    name: str
    state: str
    since: float
    backend: str = ""
    profile: str = ""


@dataclass(frozen=True)
class Places:
    """The sessions of an account on servers that are known well enough; `unknown` has the keys of the others.

    `where` has the servers of each session, by its name, known well enough or not.
    """

    sessions: tuple[Place, ...]
    unknown: frozenset[str]
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)


def known_places(connection: Connection, user: str, keys: Collection[str], rule: float) -> Places:
    """What lists of session profiles show of an account without a question. Raises SQLAlchemyError."""
    if not rule or not user:
        return Places((), frozenset(keys))
    found, _watched, _known = at_login(connection, user, keys, rule, time.time())
    return Places(
        tuple(
            _place(one)
            for one in found.found
            if one.session.state in (RUNNING, SUSPENDED, LEFT)
            and one.server.key not in found.unknown
            and not is_shadow(one.session.name)
        ),
        found.unknown,
        found.where,
    )


def _place(one: Whereabout) -> Place:
    session = one.session
    state = RUNNING if session.state == RUNNING else SUSPENDED
    return Place(one.server.key, session.name, state, session.since, session.backend, session.profile)


def empty_places(
    connection: Connection, user: str, keys: Collection[str], rule: float, is_down: Callable[[str], bool]
) -> frozenset[str]:
    """The servers where an account has no session: as is known by the rule, or was before the server went down.

    Raises SQLAlchemyError.
    """
    views, now = ServerSessions.read(connection, keys, user), time.time()
    found = whereabouts(views, keys, rule, now)
    homes = {one.server.key for one in found.found}
    told = {key for key, view in views.items() if view.server.known}
    empty = (key for key in keys if key not in found.unknown or (key in told and is_down(key)))
    return frozenset(empty) - homes


def living(view: View, now: float) -> list[Whereabout]:
    """The sessions of a server that are there or on their way."""
    return [
        Whereabout(view.server, one, view.as_of(one) if one.state != EXPECTED else one.since)
        for one in view.sessions.values()
        if one.is_living(now)
    ]


def is_called(server: KnownServer, name: str) -> bool:
    """Whether a server is meant by its name, its address, or `address:port`; a short name means each server of it."""
    address = server.key.rpartition(":")[0].strip("[]")
    return name == server.key or find_host((Host(server.name, address),), name) is not None


def counts(how: str, as_of: float, rule: float, now: float) -> bool:
    """Whether what is known as of a moment, of a server that is heard in this way, counts by the rule.

    A moment to come does not: what was written by a clock that is ahead may be of any age.
    """
    oldest = max(rule, WATCHED_SECONDS) if rule and how == WATCH else rule
    return oldest > 0 and now - oldest <= as_of <= now + AHEAD_SECONDS


def _once(found: Iterable[Whereabout], seconds: float, now: float) -> list[Whereabout]:
    """Each session once, where one place is fresh and others are not: its server has another address now."""
    places: dict[str, list[Whereabout]] = {}
    for one in found:
        places.setdefault(one.session.name, []).append(one)
    kept = []
    for same in places.values():
        fresh = [one for one in same if one.is_fresh(seconds, now)]
        kept += fresh if fresh and same[0].session.state != EXPECTED else same
    return kept


def _order(one: Whereabout) -> tuple[int, float, str, str]:
    return SUSPENDED_FIRST.index(one.session.state), -one.session.since, one.session.name, one.server.key
