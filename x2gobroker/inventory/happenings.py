"""What may be learnt of the sessions on an X2Go Server, as values, each about one server.

`asked` is the moment as of which something holds at least: for an answer, when the question was put; for a line of a
watch, WATCH_LAG before it came. `heard` is when it came. Both are of the broker host's own clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from x2gobroker.model.inventory import BROKER, EVENT, REPORT, SessionKey
from x2gobroker.model.server_report import SeenSession

WATCH_LAG = 2.0  # an agent looks once a second, and its line takes a while


@dataclass(frozen=True)
class Told:
    """A server has said all its sessions, or those of the account `user`; by `how`, a report, a watch or a listing.

    Without `whole`, there are more than these, and none that is missing has ended.
    """

    asked: float
    heard: float
    sessions: tuple[SeenSession, ...] = ()
    how: str = REPORT
    user: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Changed:
    """A line of a watch: all is as it was, except that `sessions` are now as they are here, and `gone` have ended.

    Without either it is a sign of life. `follows` is `asked` of what the same watch has said before, at first of its
    whole list: a change counts only on top of that. Otherwise the whole list is to be told anew.
    """

    follows: float
    asked: float
    heard: float
    sessions: tuple[SeenSession, ...] = ()
    gone: frozenset[SessionKey] = frozenset()


@dataclass(frozen=True)
class Answered:
    """The server has answered, by `how`, and said nothing of sessions: Debian's agent does, when asked for its load."""

    asked: float
    heard: float
    how: str


@dataclass(frozen=True)
class Silent:
    """The server was asked and did not answer, or its watch has fallen silent. `trouble` is why, in one word."""

    asked: float
    trouble: str = ""


@dataclass(frozen=True)
class Said:
    """Somebody else than the server says at the moment `at` that a session is in a state.

    By a client's event it is running, suspended, ending or left; a broker that has ended it says ENDED. `client` is the
    address that an event came from.
    """

    at: float
    user: str
    name: str
    state: str
    source: str = EVENT
    client: str = ""
    display: int = -1


@dataclass(frozen=True)
class Placed:
    """A broker has sent an account to the server at the moment `at`, to begin a session of a profile before `until`."""

    at: float
    user: str
    backend: str
    profile: str
    until: float
    source: str = BROKER

    @property
    def name(self) -> str:
        """The name under which the session is waited for; no session can be called so."""
        return f"{self.backend}/{self.profile}"


@dataclass(frozen=True)
class Withdrawn:
    """The session that was waited for under `name` is not to be waited for here: the account was sent elsewhere."""

    at: float
    user: str
    name: str


Happening = Told | Changed | Answered | Silent | Said | Placed | Withdrawn
