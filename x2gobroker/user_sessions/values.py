"""What is said and asked about a user's sessions, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from x2gobroker.errors import SessionError
from x2gobroker.model.hosts import Endpoint, Host

# Reasons of SessionError. The first five are about the way to the server.
UNREACHABLE, TIMEOUT, HOST_KEY, LOGIN, BROKEN = "unreachable", "timeout", "host-key", "login", "broken"
REFUSED = "refused"  # the server, or what is asked for, does not allow it
GONE = "gone"  # the user has no such session (any more)
SHOWN = "shown"  # a client shows it, or is about to
UNKNOWN_SERVER = "unknown-server"  # it is none of the session profile's

# An agent that was resumed waits so long for a client; then it is suspended again. Measured with x2goserver 4.1.0.3.
WAITING_SECONDS = 60.0


@dataclass(frozen=True)
class UserLogin:
    """How a user logs in on X2Go Servers: the account there, and the password or the text of a private key, or both."""

    account: str
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True)
class UserSession:
    """One session. `state` is R (running), S (suspended) or T (about to end); `kind` D, R, S, P or K, or empty.

    `age` is seconds since its start; `started` and `changed` are the server's local time, `YYYY-MM-DDThh:mm:ss`.
    """

    name: str
    host: Host
    state: str
    kind: str
    display: int
    age: int
    started: str
    changed: str

    @property
    def is_suspended(self) -> bool:
        """Whether nobody is connected to it."""
        return self.state == "S"

    @property
    def is_view(self) -> bool:
        """Whether this is a view of another session, which can only be terminated."""
        return self.kind == "S"


@dataclass(frozen=True)
class FoundSessions:
    """A user's sessions, suspended ones first, and the youngest of these; and why servers did not answer, by host."""

    sessions: tuple[UserSession, ...]
    failed: Mapping[Host, SessionError]


@dataclass(frozen=True)
class ClientWish:
    """What a client says about itself when a session is resumed. Values as X2Go clients send them."""

    geometry: str = "800x600"
    link: str = "lan"
    pack: str = "16m-jpeg-9"
    keyboard: str = "null/null"
    layout: str = "null"
    clipboard: str = "both"
    xinerama: bool = False


@dataclass(frozen=True)
class WaitingSession:
    """A session whose agent waits for its client, for `seconds`; after that it is suspended as before.

    The client logs in on `server` by SSH, as the user, and connects nxproxy to 127.0.0.1:`graphics_port` there (a
    `direct-tcpip` channel), with `cookie`, which opens the session to whoever has it: it is for the user's own client,
    and never for a log or an address. `sound_port` and `folders_port` are for the client's reverse tunnels.
    """

    name: str
    host: Host
    server: Endpoint
    display: int
    graphics_port: int
    sound_port: int
    folders_port: int
    cookie: str = field(repr=False)
    seconds: float = WAITING_SECONDS
