"""What a broker agent says of its whole server: the load, and who is there. Its forms are those of session lists."""

from __future__ import annotations

from dataclasses import dataclass

from x2gobroker.model.load import LoadReport
from x2gobroker.model.sessions import CLIENT, SERVER_NAME, SESSION_NAME, STATES, UNKNOWN_PORT, USER_NAME

MOST_SESSIONS = 10_000  # of one server; an agent of ours tells no more


@dataclass(frozen=True)
class SeenSession:
    """A session as its server tells everybody's, without the cookie. Raises ValueError with what is wrong.

    `state` is R, S or T; `since` is when it came into that state, in epoch seconds of this host's clock. `server` is
    how that server calls itself. `ports` are those of graphics, sound and shared folders, -1 where there is none.
    """

    name: str
    user: str
    display: int
    state: str
    since: float
    client: str
    server: str
    ports: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Check each field by its own form."""
        if not SESSION_NAME.fullmatch(self.name):
            raise ValueError("what a server says of a session has no session name")
        if self.state not in STATES:
            raise ValueError(f"session {self.name} is neither running nor suspended")
        for text, form, what in (
            (self.user, USER_NAME, "an owner who can be no user"),
            (self.server, SERVER_NAME, "a server that could have no such name"),
            (self.client, CLIENT, "a client that can be no address"),
        ):
            if not form.fullmatch(text):
                raise ValueError(f"session {self.name} has {what}")
        if not all(UNKNOWN_PORT <= port <= 65535 for port in self.ports) or not 0 <= self.display <= 65535:
            raise ValueError(f"session {self.name} has numbers that can be no ports, or no display")
        if not 0 <= self.since < float("inf"):
            raise ValueError(f"session {self.name} is in its state since a time that never was")


@dataclass(frozen=True)
class ServerReport:
    """Load and sessions of one server at one moment. `server` is how it calls itself.

    `left_out` is how many sessions more there are: too many to tell, or told in words that cannot be.
    """

    load: LoadReport
    sessions: tuple[SeenSession, ...]
    left_out: int
    server: str
