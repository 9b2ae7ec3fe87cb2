"""Which X2Go Servers are up: their SSH ports are tried all at once, and the answers kept for some seconds."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Collection, Iterable

from x2gobroker.logs import broker_log, field
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.dial import Dial

DEADLINE = 1.5
HOPELESS_SECONDS = 0.05
KEEP_SECONDS = 10.0  # that a port did not answer
KEEP_UP_SECONDS = 3.0  # that it did: asking again costs little then, and a user who is sent to a dead server much
MOST_TARGETS = 4096

Target = Endpoint


class PortProbe:
    """Tries TCP ports; safe for threads. One unreachable server costs the deadline once, whatever their number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Target, tuple[float, bool, bool]] = {}  # until when, whether up, whether tried in full

    def reachable(self, targets: Iterable[Target], hopeless: Collection[Target] = ()) -> set[Target]:
        """Those targets whose port accepts connections, as of at most KEEP_SECONDS ago.

        The `hopeless` ones, which others found down a moment ago, are tried like the others, but hardly waited for:
        that one of them did not answer counts only where it is hopeless again. Of the others, those count as well that
        this machine cannot try at present.
        """
        wanted = set(targets)
        now = time.monotonic()
        known: dict[Target, bool] = {}
        for target in wanted:
            is_hopeless = target in hopeless
            is_up = self._remembered(target, now, in_full=not is_hopeless)
            if is_up is not None and not (is_up and is_hopeless):
                known[target] = is_up
        unknown = wanted - known.keys()
        known.update(self._try(unknown, hopeless, now))
        if len(known) > len(unknown) and not any(known.values()):
            # before users are told that there is no server: one that was down may be back
            known.update(self._try(wanted - unknown, hopeless, now))
        return {target for target, is_up in known.items() if is_up}

    def _try(self, unknown: set[Target], hopeless: Collection[Target], now: float) -> dict[Target, bool]:
        """Try these now, and remember what came of it."""
        if unknown:
            untried: set[Target] = set()
            up = try_all(unknown, DEADLINE, hopeless, untried)
            tried = unknown - untried
            for target in sorted(tried - up, key=lambda target: target.key):
                ways = " nor ".join(target.ways)
                broker_log.warning("X2Go Server %s: port %d does not answer", field(ways), target.port)
            hasty = set(hopeless) - up if unknown - set(hopeless) else set()
            with self._lock:
                if len(self._known) + len(tried) > MOST_TARGETS:
                    self._known.clear()
                self._known.update((target, _state(target in up, now, target not in hasty)) for target in tried)
            return {target: target in up or (target in untried and target not in hopeless) for target in unknown}
        return {}

    def known_down(self, targets: Iterable[Target]) -> set[Target]:
        """Those targets that did not answer at most KEEP_SECONDS ago; tries nothing."""
        now = time.monotonic()
        return {target for target in targets if self._remembered(target, now, in_full=False) is False}

    def _remembered(self, target: Target, now: float, in_full: bool) -> bool | None:
        """Whether it was up a moment ago; None where nobody knows. `in_full`: what was hardly waited for is nothing."""
        until, is_up, was_in_full = self._known.get(target, (0.0, False, False))
        return is_up if until > now and (was_in_full or not in_full) else None


def _state(is_up: bool, now: float, in_full: bool) -> tuple[float, bool, bool]:
    return now + (KEEP_UP_SECONDS if is_up else KEEP_SECONDS), is_up, in_full


def try_all(
    targets: Iterable[Target], deadline: float, hopeless: Collection[Target] = (), untried: set[Target] | None = None
) -> set[Target]:
    """Connect to all targets at the same time, by name and address; those that accepted within `deadline` seconds.

    Once only `hopeless` ones are left, they have HOPELESS_SECONDS; where there are no others, the whole time. Names
    that the resolver does not know in that time are down. `untried` gets those that did not accept, and could not be
    tried in full: this machine had no thread to resolve a name, say.
    """
    up: set[Target] = set()
    lacking: set[Target] = set()
    open_ways = {target: len(target.ways) for target in targets}
    waited_for = set(open_ways) - set(hopeless) or set(open_ways)
    begun = time.monotonic()
    with Dial[tuple[Target, str]]() as dial:
        for target in open_ways:
            for way in target.ways:
                dial.begin((target, way), way, target.port)
        while pending := {target for target, ways in open_ways.items() if ways and target not in up}:
            left = begun + (deadline if pending & waited_for else HOPELESS_SECONDS) - time.monotonic()
            events = dial.wait(max(0.0, left))
            for (target, _), result in events:
                open_ways[target] -= 1
                if isinstance(result, socket.socket):
                    result.close()
                    up.add(target)
                elif result.errno == errno.EAGAIN:
                    lacking.add(target)
            if left <= 0 and not events:  # on a busy machine the time may be over before anything was looked at
                break
    if untried is not None:
        untried |= lacking - up
    return up
