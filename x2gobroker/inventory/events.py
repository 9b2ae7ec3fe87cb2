"""What a client's event says of a session on an X2Go Server, and which server that is.

A client says what it likes, within the name of the user who is logged in: it is believed of that user's own account
only. It names the server as its profile does, or as the broker told it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from x2gobroker.inventory.happenings import Said
from x2gobroker.inventory.record import Inventory, endpoint_of
from x2gobroker.model.hosts import Endpoint, Host
from x2gobroker.model.inventory import EXPECTED, LEFT, View
from x2gobroker.model.server_names import find_host
from x2gobroker.model.sessions import CLIENT, ENDING, RUNNING, SESSION_NAME, SUSPENDED
from x2gobroker.store import ClientEvent, ServerSessions

# FINISHED: its client has no part in it any more, whatever else became of it
STATES = {
    "CONNECTING": RUNNING,
    "CONNECTED": RUNNING,
    "ALIVE": RUNNING,
    "SUSPENDING": SUSPENDED,
    "TERMINATING": ENDING,
    "FINISHED": LEFT,
}

Endpoints = Callable[[], Iterable[Endpoint]]


def said_by(event: ClientEvent) -> Said | None:
    """What an event says of a session of the user's own account; None where it says nothing of one."""
    state = STATES.get(event.event)
    is_own = event.username and event.session.startswith(f"{event.username}-")
    if state is None or not is_own or not SESSION_NAME.fullmatch(event.session):
        return None
    display = event.display.strip().lstrip(":")
    return Said(
        event.reported,
        event.username,
        event.session,
        state,
        client=event.address if CLIENT.fullmatch(event.address) else "",
        display=int(display) if display.isascii() and display.isdigit() and len(display) <= 5 else -1,
    )


def note_event(inventory: Inventory, connection: Connection, event: ClientEvent, endpoints: Endpoints) -> None:
    """Take an event into the inventory, within the transaction that keeps the event.

    `endpoints` are the servers of all profiles; they are looked at where the user has not been sent to the server, and
    has no session there. An event that could mean several servers is left out.
    """
    said = said_by(event)
    if said is None:
        return
    known = ServerSessions.read(connection, None, said.user)
    server = server_of(said, event.server, known, endpoints)
    if server is not None:
        inventory.take_within(connection, [(server, said)])


def server_of(said: Said, named: str, known: dict[str, View], endpoints: Endpoints) -> Endpoint | None:
    """The server that a client calls `named`; `known` is what is known of the user's sessions by server."""
    have = [view.server for view in known.values() if (said.user, said.name) in view.sessions]
    if len(have) == 1:
        return endpoint_of(have[0])
    expects = [
        view.server
        for view in known.values()
        if any(one.state == EXPECTED and one.until > said.at for one in view.sessions.values())
    ]
    for candidates in (have, expects):
        found = _called([endpoint_of(server) for server in candidates], named)
        if found is not None:
            return found
    if have:
        return None
    if len(expects) == 1:  # clients may know it by another name
        return endpoint_of(expects[0])
    return _called(endpoints(), named)


def _called(endpoints: Iterable[Endpoint], name: str) -> Endpoint | None:
    """The one of these servers that has this name or address; None where there is none, or several."""
    distinct = {endpoint.key: endpoint for endpoint in endpoints}
    found = [one for one in distinct.values() if find_host((Host(one.name, one.address),), name) is not None]
    return found[0] if len(found) == 1 else None
