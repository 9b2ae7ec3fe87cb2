"""`x2gobroker sessions`: who is on which X2Go Server, as far as the broker knows without asking anybody."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence

from x2gobroker.cli.admin.tables import age, aligned
from x2gobroker.cli.common import add_config_options, check_made, source_of
from x2gobroker.inventory.reads import Reads, Whereabout, is_called, known_for
from x2gobroker.logs import field
from x2gobroker.model.inventory import BROKER, EVENT, EXPECTED, LEFT, KnownServer
from x2gobroker.model.sessions import ENDING, RUNNING, SUSPENDED
from x2gobroker.services import Services

STATES = {RUNNING: "running", SUSPENDED: "suspended", ENDING: "ending", LEFT: "left", EXPECTED: "expected"}
HEAD = ("SERVER", "USER", "STATE", "FOR", "CLIENT", "PROFILE", "KNOWN BY", "AGE", "SESSION")
RIGHT = ("FOR", "AGE")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this sub-command."""
    parser = commands.add_parser(
        "sessions",
        help="list who is on which X2Go Server",
        description="Lists the sessions on X2Go Servers as the broker knows them without asking anybody, from what "
        "agents, clients and brokers have reported. For each session, it says who reported it, and how long ago this "
        "was the case. A session is `left` if its client has gone: it is suspended, was taken over, or has ended. It "
        "is `expected` if its user has been sent to the server and it has not appeared yet.",
    )
    add_config_options(parser)
    parser.add_argument("--user", default="", metavar="USER", help="only sessions of this account on the servers")
    parser.add_argument(
        "--server",
        default="",
        metavar="NAME",
        help="only sessions on this server: its name, its address, or `address:port`; a name without a domain means "
        "every server of that name",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; times are seconds since the epoch")
    parser.set_defaults(run=run)


def source(one: Whereabout, seconds: float, now: float) -> str:
    """From whom a session is known, and whether that counts no longer."""
    # what a client said is by now what its server says, which was heard later
    is_confirmed = one.session.source in (EVENT, BROKER) and one.as_of > one.session.last_seen
    known = one.server.how if is_confirmed else one.session.source
    return known if not seconds or one.is_fresh(seconds, now) else f"{known}, old"


def table(found: Sequence[Whereabout], seconds: float, now: float) -> list[str]:
    """One line for each session."""
    rows = []
    for one in found:
        session = one.session
        expected = session.state == EXPECTED
        rows.append(
            (
                field(one.server.name or one.server.key),
                field(session.user),
                STATES.get(session.state, session.state),
                age(now - session.since),
                field(session.client) or "-",
                field(session.profile) or "-",
                source(one, seconds, now),
                age(one.age(now)),
                "-" if expected else field(session.name),
            )
        )
    return aligned(HEAD, rows, RIGHT)


def notes(servers: Sequence[KnownServer], now: float) -> list[str]:
    """Which servers do not answer, so that what is said of them may be wrong."""
    return [
        f"{field(server.name or server.key)} has not answered for {age(now - server.silent_since)} "
        f"({field(server.trouble) or 'silent'}): what is known of it may be wrong"
        for server in servers
        if server.is_silent
    ]


def as_json(found: Sequence[Whereabout], servers: Sequence[KnownServer], seconds: float, now: float) -> str:
    """Everything, for programs."""
    return json.dumps(
        {
            "known_for": seconds,
            "servers": [_server(server) for server in servers],
            "sessions": [_session(one, seconds, now) for one in found],
        },
        indent=2,
    )


def _server(server: KnownServer) -> Mapping[str, object]:
    return {
        "server": server.name,
        "key": server.key,
        "how": server.how or None,
        "heard": server.heard or None,
        "known": server.known or None,
        "silent_since": server.silent_since or None,
        "trouble": server.trouble or None,
    }


def _session(one: Whereabout, seconds: float, now: float) -> Mapping[str, object]:
    session = one.session
    return {
        "server": one.server.name,
        "key": one.server.key,
        "user": session.user,
        "session": None if session.state == EXPECTED else session.name,
        "state": STATES.get(session.state, session.state),
        "since": session.since,
        "client": session.client or None,
        "display": session.display if session.display >= 0 else None,
        "backend": session.backend or None,
        "profile": session.profile or None,
        "source": session.source,
        "first_seen": session.first_seen,
        "as_of": one.as_of,
        "fresh": one.is_fresh(seconds, now),
    }


def run(options: argparse.Namespace) -> int:
    """Print the list; 1 for a server of which nothing is known. Raises ConfigurationError, StoreError."""
    settings = source_of(options).current()
    store = Services().store(settings)
    check_made(store)
    reads = Reads(store)
    found = reads.everywhere(options.user.strip(), options.server.strip())
    name = options.server.strip()
    servers = sorted(
        (server for server in reads.servers().values() if not name or is_called(server, name)),
        key=lambda server: (server.name, server.key),
    )
    seconds, now = known_for(settings), time.time()
    if options.json:
        print(as_json(found, servers, seconds, now))
    elif found:
        print("\n".join(table(found, seconds, now)))
    sys.stdout.flush()
    for text in notes(servers, now):
        print(text, file=sys.stderr)
    if servers or not name:
        return 0
    print(f"nothing is known of a server {field(name)}; x2gobroker load lists them", file=sys.stderr)
    return 1
