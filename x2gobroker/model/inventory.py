"""What the broker knows of X2Go Servers between logins: who is on which, since when, and where that is known from.

Moments are seconds since the epoch by the clock of whichever broker host noted them; those of X2Go Servers may be wrong
by hours, and decide nothing. Broker hosts that share a store are to agree to within AHEAD_SECONDS: what one of them
wrote that is further ahead does not count as news of a moment to come, nor as fresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from x2gobroker.model.sessions import ENDING, RUNNING, SUSPENDED

CLOCK_SECONDS = 60.0  # by which the clocks of any two hosts may differ, where nothing but patience hangs on it
AHEAD_SECONDS = 2.0  # by which what another broker host wrote may lie ahead of this one's clock

# states beside those that servers say
LEFT = "L"  # its client has gone: it is suspended, or was taken over, or has ended
EXPECTED = "E"  # a user was sent to the server to begin one
ENDED = "F"  # kept for a while, so that what was asked for before does not bring it back
LIVING = (RUNNING, SUSPENDED, ENDING, LEFT)
SUSPENDED_FIRST = (SUSPENDED, LEFT, RUNNING, ENDING, EXPECTED)  # the order in which sessions are offered

# where something is known from
WATCH = "watch"  # the server's agent says at once what changes
REPORT = "report"  # it was asked for all of its sessions
LISTED = "listsessions"  # it was asked for those of one user
EVENT = "event"  # a client has said it
BROKER = "broker"  # a broker has done it: sent a user there, ended a session
CHECKLOAD = "checkload"  # for servers: an agent that says nothing of sessions

SessionKey = tuple[str, str]  # account and name


@dataclass(frozen=True, slots=True)
class KnownSession:
    """One session of an account on a server, or one that is still to come.

    `name` is that of X2Go; where the session is EXPECTED, `backend/profile`, which no session is called. `told` is the
    state that the server itself gave last, empty where it has given none, or has left the session out; where it is
    watched, what it lists for one account does not count here. `since` is when the state began. `display` is -1,
    `client`, `backend` and `profile` are empty where nobody knows. `last_seen` is the moment as of which the state was
    news; `until` when an expected session is no longer waited for.
    """

    user: str
    name: str
    state: str
    told: str
    since: float
    source: str
    first_seen: float
    last_seen: float
    client: str = ""
    display: int = -1
    backend: str = ""
    profile: str = ""
    until: float = 0.0

    @property
    def key(self) -> SessionKey:
        """What tells it from all others of its server."""
        return self.user, self.name

    def is_living(self, now: float) -> bool:
        """Whether it is there, or is on its way."""
        return self.until > now if self.state == EXPECTED else self.state in LIVING


@dataclass(frozen=True, slots=True)
class KnownServer:
    """One server, and how it is heard.

    `name` is what the profile calls it; `how` is how it last answered, empty: never. `asked` is when that was asked
    which was answered last, or was not, and `heard` when it last answered. All of its sessions are known as of `known`
    (0: never were). `silent_since`: when it was first asked in vain since then, 0 where it answers; `trouble` is why.
    """

    key: str
    name: str = ""
    how: str = ""
    asked: float = 0.0
    heard: float = 0.0
    known: float = 0.0
    silent_since: float = 0.0
    trouble: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether it did not answer when it was asked last."""
        return self.silent_since > 0


class Counted(NamedTuple):
    """How many sessions a server has, as is known, and when it last told all of them, in seconds since the epoch."""

    sessions: int
    told: float


@dataclass(frozen=True)
class Beforehand:
    """What is known of an account's sessions on some servers before anybody is asked.

    `ask` are the keys of servers to ask all the same: not enough is known of them, or the account has a session there,
    of which a client wants to know more than the broker does; `homes` those where the account has one, quite
    surely. `counts` has how many sessions all accounts have on each server of which that is known. `watched` are those
    that have said something of late. `where` has the servers of each of its sessions, by the name of the session.
    """

    ask: frozenset[str]
    homes: frozenset[str] = frozenset()
    counts: Mapping[str, Counted] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """One server with sessions: all of them, or those of some accounts only, as the reader wanted it."""

    server: KnownServer
    sessions: Mapping[SessionKey, KnownSession] = field(default_factory=dict)

    def as_of(self, session: KnownSession) -> float:
        """The moment as of which the state of a session is known: its own news, or a later look at all sessions."""
        return max(session.last_seen, self.server.known)
