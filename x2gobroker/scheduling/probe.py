"""Which X2Go Servers are up: their SSH ports are tried all at once, and the answers kept for some seconds."""

from __future__ import annotations

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
        self._known: dict[Target, tuple[float, bool]] = {}

    def reachable(self, targets: Iterable[Target], hopeless: Collection[Target] = ()) -> set[Target]:
        """Those targets whose port accepts connections, as of at most KEEP_SECONDS ago.

        The `hopeless` ones, which others found down a moment ago, are tried like the others, but hardly waited for.
        """
        wanted = set(targets)
        now = time.monotonic()
        known = {target: state for target in wanted if (state := self._remembered(target, now)) is not None}
        known = {target: is_up for target, is_up in known.items() if not (is_up and target in hopeless)}
        unknown = wanted - known.keys()
        known.update(self._try(unknown, hopeless, now))
        if len(known) > len(unknown) and not any(known.values()):
            # before users are told that there is no server: one that was down may be back
            known.update(self._try(wanted - unknown, hopeless, now))
        return {target for target, is_up in known.items() if is_up}

    def _try(self, unknown: set[Target], hopeless: Collection[Target], now: float) -> dict[Target, bool]:
        """Try these now, and remember what came of it."""
        if unknown:
            up = try_all(unknown, DEADLINE, hopeless)
            for target in sorted(unknown - up, key=lambda target: target.key):
                tried = " nor ".join(target.ways)
                broker_log.warning("X2Go Server %s: port %d does not answer", field(tried), target.port)
            with self._lock:
                if len(self._known) + len(unknown) > MOST_TARGETS:
                    self._known.clear()
                self._known.update((target, _state(target in up, now)) for target in unknown)
            return {target: target in up for target in unknown}
        return {}

    def known_down(self, targets: Iterable[Target]) -> set[Target]:
        """Those targets that did not answer at most KEEP_SECONDS ago; tries nothing."""
        now = time.monotonic()
        return {target for target in targets if self._remembered(target, now) is False}

    def _remembered(self, target: Target, now: float) -> bool | None:
        known = self._known.get(target)
        return known[1] if known is not None and known[0] > now else None


def _state(is_up: bool, now: float) -> tuple[float, bool]:
    return now + (KEEP_UP_SECONDS if is_up else KEEP_SECONDS), is_up


def try_all(targets: Iterable[Target], deadline: float, hopeless: Collection[Target] = ()) -> set[Target]:
    """Connect to all targets at the same time, by name and address; those that accepted within `deadline` seconds.

    Once only `hopeless` ones are left, they have HOPELESS_SECONDS; where there are no others, the whole time. Names
    that the resolver does not know in that time are down.
    """
    up: set[Target] = set()
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
            if left <= 0 and not events:  # on a busy machine the time may be over before anything was looked at
                break
    return up
