"""What goes over the load checker's socket, as brokers of the reference ask and read it.

A query is a line `backend CR profile CR host LF`. The answer to it is the host's load factor, a whole number without a
line end, or LOAD-UNAVAILABLE. With an empty host it is a line `host:factor` for each host of the profile, or one empty
line where the profile is not known. Source: `x2gobroker/loadchecker.py` and `x2gobroker-loadchecker` of x2gobroker
0.0.4.3, and what these say on a socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from x2gobroker.agents.base import NONSENSE, TIMEOUT, UNREACHABLE
from x2gobroker.store.loads import ServerLoad

UNAVAILABLE = "LOAD-UNAVAILABLE"
WORDS = {UNREACHABLE: "HOST-UNREACHABLE", TIMEOUT: "HOST-UNREACHABLE", NONSENSE: "LOAD-DATA-BOGUS"}
MOST_QUERY_BYTES = 1024
CLIENT_BYTES = 1024  # the reference's client reads once, and no more than this

Hosts = Sequence[tuple[str, str]]  # names, each with the key of its server


@dataclass(frozen=True)
class Query:
    """Somebody asks for a host of a profile, or, with an empty host, for all of them."""

    backend: str
    profile: str
    host: str = ""


def parse_query(line: bytes) -> Query:
    """A line without its LF. Raises ValueError when it is no query."""
    if len(line) > MOST_QUERY_BYTES:
        raise ValueError(f"a query of more than {MOST_QUERY_BYTES} bytes")
    try:
        parts = line.decode("utf-8").split("\r")
    except UnicodeDecodeError:
        raise ValueError("a query that is no UTF-8 text") from None
    if len(parts) not in (2, 3):
        raise ValueError("a query is backend, profile and host, with a carriage return between them")
    return Query(*parts)


def wanted_keys(query: Query, hosts: Hosts) -> list[str]:
    """The keys of the servers that the query is about."""
    keys = [key for name, key in hosts if query.host in ("", name)]
    return keys[:1] if query.host else keys


def word_of(load: ServerLoad | None, interval: float, now: float) -> tuple[int, str]:
    """The load factor, as a number and as text; 0 and a word where there is none."""
    if load is None:
        return 0, UNAVAILABLE
    report = load.fresh_report(interval, now)
    if report is None or load.is_dead(interval, now):
        return 0, WORDS.get(load.state, UNAVAILABLE)
    return report.factor, str(report.factor)


def answer(query: Query, hosts: Hosts, loads: Mapping[str, ServerLoad], interval: float, now: float) -> bytes:
    """The bytes that answer one query. `hosts` are the profile's, none where it is not known; `loads` are by key.

    `interval` is the load checker's, in seconds, `now` seconds since the epoch.
    """
    keys = wanted_keys(query, hosts)
    if query.host:
        factor, text = word_of(loads.get(keys[0]) if keys else None, interval, now)
        # the only word that clients know for a single host
        return text.encode() if factor else UNAVAILABLE.encode()
    if not hosts:
        return b"\n"
    words = [(*word_of(loads.get(key), interval, now), name) for name, key in hosts]
    words.sort(key=lambda item: (-item[0], item[2]))
    return fitted([f"{name}:{text}\n".encode() for _, text, name in words])


def fitted(lines: Sequence[bytes]) -> bytes:
    """The lines, so that a client which reads CLIENT_BYTES only sees whole ones: a cut number would be a wrong one.

    Empty lines fill up the room before the first line that does not fit; clients skip them.
    """
    begin = b""
    for number, line in enumerate(lines):
        if len(begin) + len(line) > CLIENT_BYTES:
            return begin.ljust(CLIENT_BYTES, b"\n") + b"".join(lines[number:])
        begin += line
    return begin


def joined(answers: Sequence[tuple[Query, bytes]]) -> bytes:
    """Answers to queries that came together: a number before another answer gets the line end that it lacks."""
    last = len(answers) - 1
    return b"".join(text + b"\n" if query.host and at < last else text for at, (query, text) in enumerate(answers))
