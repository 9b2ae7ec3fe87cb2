"""Values that tests of the inventory share: sessions as servers tell them, and what is known of a server."""

from __future__ import annotations

from collections.abc import Iterable

from x2gobroker.inventory.happenings import Happening
from x2gobroker.inventory.merge import merge
from x2gobroker.model.inventory import KnownServer, View
from x2gobroker.model.server_report import SeenSession

NOW = 1_800_000_000.0
EMPTY = View(KnownServer("10.0.0.1:22", "ts01"))


def name_of(user: str, display: int = 50) -> str:
    """The name of a session."""
    return f"{user}-{display:02}-1790000000_stDXFCE_dp24"


def seen(
    user: str = "anna", display: int = 50, state: str = "R", since: float = NOW, server: str = "ts01", client: str = ""
) -> SeenSession:
    """One session, as a server tells it."""
    return SeenSession(
        name_of(user, display), user, display, state, since, client or "192.0.2.9", server, (30001, 30002, 30003)
    )


def after(view: View, *happenings: tuple[float, Happening]) -> View:
    """What is known after these have happened, each merged at its moment."""
    for now, happening in happenings:
        view = merge(view, happening, now)
    return view


def states(view: View, users: Iterable[str] = ()) -> dict[str, str]:
    """The states of all sessions, by name."""
    wanted = set(users)
    return {one.name: one.state for one in view.sessions.values() if not wanted or one.user in wanted}
