"""Addresses of host names that stand in client rules, with a deadline and for a while from memory."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

from x2gobroker.logs import error_log, field
from x2gobroker.model.acl import Address, parse_client

DEADLINE = 2.0
KEEP_SECONDS = 60.0
KEEP_FAILURE_SECONDS = 10.0
MOST_NAMES = 4096

Answer = frozenset[Address] | None


class HostNames:
    """Looks host names up through the system's resolver; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Answer]] = {}
        self._asking: dict[str, Future[Answer]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def resolve(self, name: str) -> Answer:
        """The addresses of a name, or None when there are none to be had within the deadline."""
        now = time.monotonic()
        known = self._known.get(name)
        if known is not None and known[0] > now:
            return known[1]
        try:
            return self._ask(name).result(DEADLINE)
        except FutureTimeout:
            error_log.warning("host name %s of a client rule: no answer within %g s", field(name), DEADLINE)
            self._remember(name, None)
            return None

    def _ask(self, name: str) -> Future[Answer]:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(4, thread_name_prefix="host-names")
            future = self._asking.get(name)
            if future is None:
                future = self._asking[name] = self._pool.submit(self._look_up, name)
            return future

    def _look_up(self, name: str) -> Answer:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = (parse_client(str(entry[4][0])) for entry in found)
            answer: Answer = frozenset(address for address in addresses if address is not None)
        except (OSError, UnicodeError) as error:
            error_log.warning("host name %s of a client rule does not resolve: %s", field(name), error)
            answer = None
        self._remember(name, answer)
        return answer

    def _remember(self, name: str, answer: Answer) -> None:
        keep = KEEP_SECONDS if answer is not None else KEEP_FAILURE_SECONDS
        with self._lock:
            self._asking.pop(name, None)
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[name] = (time.monotonic() + keep, answer)
