"""Addresses of host names that stand in client rules, with a deadline and for a while from memory."""

from __future__ import annotations

import socket
import threading
import time

from x2gobroker.logs import error_log, field
from x2gobroker.model.acl import Address, parse_client

DEADLINE = 2.0
KEEP_SECONDS = 60.0
KEEP_FAILURE_SECONDS = 10.0
MOST_NAMES = 4096
MOST_AT_ONCE = 64

Answer = frozenset[Address] | None

_ANSWERED = threading.Event()
_ANSWERED.set()


class HostNames:
    """Looks host names up through the system's resolver; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Answer]] = {}
        self._asking: dict[str, threading.Event] = {}
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def resolve(self, name: str) -> Answer:
        """The addresses of a name, or None when there are none to be had within the deadline."""
        now = time.monotonic()
        known = self._known.get(name)
        if known is not None and known[0] > now:
            return known[1]
        answered = self._ask(name)
        if answered is None or not answered.wait(DEADLINE):
            error_log.warning("host name %s of a client rule: no answer within %g s", field(name), DEADLINE)
            self._remember(name, None)
            return None
        return self._known.get(name, (0.0, None))[1]

    def _ask(self, name: str) -> threading.Event | None:
        """An event that is set once the answer is known; None when too many names are being asked for."""
        with self._lock:
            known = self._known.get(name)
            if known is not None and known[0] > time.monotonic():  # it came between the look of `resolve` and this one
                return _ANSWERED
            answered = self._asking.get(name)
            if answered is None and self._places.acquire(blocking=False):
                answered = self._asking[name] = threading.Event()
                threading.Thread(target=self._look_up, args=(name, answered), daemon=True).start()
            return answered

    def _look_up(self, name: str, answered: threading.Event) -> None:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = (parse_client(str(entry[4][0])) for entry in found)
            answer: Answer = frozenset(address for address in addresses if address is not None)
        except (OSError, UnicodeError) as error:
            error_log.warning("host name %s of a client rule does not resolve: %s", field(name), error)
            answer = None
        finally:
            self._places.release()
        self._remember(name, answer)
        with self._lock:
            self._asking.pop(name, None)
        answered.set()

    def _remember(self, name: str, answer: Answer) -> None:
        keep = KEEP_SECONDS if answer is not None else KEEP_FAILURE_SECONDS
        with self._lock:
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[name] = (time.monotonic() + keep, answer)
