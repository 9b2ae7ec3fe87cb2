"""What an X2Go Server says of itself in one answer of its broker agent: its load, and all sessions that are on it.

There is no cookie in it: by that, anybody could draw on a session.
"""

from __future__ import annotations

from dataclasses import dataclass

from x2gobroker.model.load import LoadReport


@dataclass(frozen=True)
class SeenSession:
    """One session of anybody on the server.

    `state` is R, S or T (`model/sessions.py`), `since` when it began, in seconds since the epoch; `client` is the
    address of who is or was connected, `server` how the server calls itself. Ports are 0 or -1 where there are none.
    """

    name: str
    user: str
    display: int
    state: str
    since: float
    client: str
    server: str
    graphics_port: int
    sound_port: int
    folders_port: int


@dataclass(frozen=True)
class ServerReport:
    """One answer. `left_out` is how many sessions there are beside these: more than fit, or not to be understood."""

    load: LoadReport
    sessions: tuple[SeenSession, ...]
    left_out: int
