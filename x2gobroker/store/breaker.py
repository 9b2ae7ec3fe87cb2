"""A database that hangs holds up a few threads for a few seconds, and not all of them for good."""

from __future__ import annotations

import os
import threading
import time

SLOW_SECONDS = 1.0  # a failure that took as long has held a thread; one at once has not
PAUSE_SECONDS = 1.0
PROBE_SECONDS = 15.0
STALL_SECONDS = 3.0


class Breaker:
    """Who may begin a transaction. Safe for threads, and for forks.

    Nobody begins one while those that have begun get nowhere. After a slow failure nobody does for PAUSE_SECONDS, and
    then one alone, until that one is through.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._under_way: dict[object, float] = {}  # the oldest first
        self._finished = 0.0
        self._until = 0.0
        self._why = ""

    def enter(self) -> object:
        """A transaction begins; the token of it, for `leave`. Raises TimeoutError with the reason why it may not."""
        if self._pid != os.getpid():
            self._reset()  # the threads of the parent are none of ours
        now = time.monotonic()
        with self._lock:
            oldest = next(iter(self._under_way.values()), now)
            stalled = now - max(oldest, self._finished)
            if stalled > STALL_SECONDS:
                raise TimeoutError(f"no answer for {stalled:.0f} s")
            if self._until > now:
                raise TimeoutError(f"{self._why}; it is asked again in a moment")
            if self._until:
                self._until = now + PROBE_SECONDS
            token = object()
            self._under_way[token] = now
            return token

    def leave(self, token: object, failure: str = "") -> None:
        """The transaction is over; `failure` is why, where the database did not do what it should."""
        now = time.monotonic()
        with self._lock:
            began = self._under_way.pop(token, now)
            if not failure:
                self._finished, self._until = now, 0.0
            elif now - began >= SLOW_SECONDS or self._until:
                self._until, self._why = now + PAUSE_SECONDS, failure
