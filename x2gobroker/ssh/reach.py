"""The one way by which the broker gets to an X2Go Server: by its name or its address, whichever leads there.

The name is tried first, and the address a moment later, or at once where the name leads nowhere (RFC 8305). What led
there last time is tried first next time.
"""

from __future__ import annotations

import socket
import threading
import time

from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.deadline import Deadline
from x2gobroker.ssh.dial import Dial
from x2gobroker.ssh.failures import NobodyAnswers, SshTimeout, Unreachable
from x2gobroker.ssh.routes import Route

STAGGER_SECONDS = 0.25
REMEMBERED_SECONDS = 600.0  # then the name is tried first again
MOST_REMEMBERED = 4096
UNANSWERED_MS = 20_000

Known = tuple[str, str, int, str]


class WaysThatWork:
    """Which of a server's names led there last. Safe for threads; for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Known, tuple[str, float]] = {}

    def order(self, endpoint: Endpoint, through: str = "") -> tuple[str, ...]:
        """The ways to a server, the best first; `through` is the key of a proxy host."""
        ways = endpoint.ways
        known = self._known.get(_known(endpoint, through)) if len(ways) > 1 else None
        if known is None or known[1] < time.monotonic():
            return ways
        return (known[0], *(way for way in ways if way != known[0]))

    def note(self, endpoint: Endpoint, way: str, through: str = "") -> None:
        """This way has led there."""
        if len(endpoint.ways) > 1:
            with self._lock:
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[_known(endpoint, through)] = way, time.monotonic() + REMEMBERED_SECONDS


def _known(endpoint: Endpoint, through: str) -> Known:
    return endpoint.name, endpoint.address, endpoint.port, through


WAYS = WaysThatWork()


def reach(route: Route, deadline: Deadline, most_seconds: float) -> socket.socket:
    """A connected socket to the route's server, without Nagle's delays. Raises Unreachable, SshTimeout.

    The server has to take the connection within `most_seconds` of the first attempt.
    """
    endpoint = route.endpoint
    waiting = list(WAYS.order(endpoint))
    failures: dict[str, OSError] = {}
    with Dial[str](STAGGER_SECONDS) as dial:
        dial.begin(waiting[0], waiting.pop(0), endpoint.port)
        next_at = time.monotonic() + STAGGER_SECONDS
        while True:
            now = time.monotonic()
            if waiting and (now >= next_at or failures):
                dial.begin(waiting[0], waiting.pop(0), endpoint.port)
                continue
            asked_at = dial.connecting_since
            end = deadline.end if asked_at is None else min(deadline.end, asked_at + most_seconds)
            if now >= end:
                raise _too_late(route, deadline, most_seconds, asked_at is not None)
            for way, result in dial.wait(min(end, next_at if waiting else end, now + STAGGER_SECONDS) - now):
                if isinstance(result, socket.socket):
                    WAYS.note(endpoint, way)
                    return _prepared(result)
                failures[way] = result
            if len(failures) == len(endpoint.ways):
                raise _unreachable(route, failures)


def _prepared(connection: socket.socket) -> socket.socket:
    connection.setblocking(True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # a host that vanished is noticed by what it does not acknowledge
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
    return connection


def _too_late(route: Route, deadline: Deadline, most_seconds: float, was_asked: bool) -> SshTimeout:
    if not was_asked:
        text = f"{route.shown}: the name is not resolved within {deadline.seconds:g} s; see /etc/resolv.conf"
        return SshTimeout(text)
    kind = NobodyAnswers if most_seconds < deadline.seconds else SshTimeout
    return kind(f"{route.shown}: nobody answers within {min(deadline.seconds, most_seconds):g} s")


def _unreachable(route: Route, failures: dict[str, OSError]) -> Unreachable:
    """Why no way leads there. Of names that do not resolve is only said where there is nothing else to say."""
    refused = {way: error for way, error in failures.items() if not isinstance(error, socket.gaierror)}
    if not refused:
        error = next(iter(failures.values()))
        return Unreachable(f"{route.shown}: the name cannot be resolved: {error.strerror}")
    error = next(reversed(refused.values()))
    reasons = [f"{way}: {each.strerror or each}" for way, each in refused.items()]
    why = "; ".join(reasons) if len(reasons) > 1 else f"{error.strerror or error}"
    return Unreachable(f"{route.shown}: {why}; is an SSH server running there?", error.errno or 0)
