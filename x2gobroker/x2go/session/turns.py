"""One action at a time on a session."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from x2gobroker.x2go.errors import X2GoTimeOutException

# How long an action waits for another one on the same session; longer than any of them takes.
LOCK_SECONDS = 300.0


class Turns:
    """The lock of a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beginning = False

    @contextlib.contextmanager
    def exclusively(self, session_name: str | None, begins: bool = False) -> Iterator[bool]:
        """Hold the lock. Gives whether this action, a start, waited for another thread's start.

        Raises X2GoTimeOutException when the other action does not end.
        """
        waited = False
        if not self._lock.acquire(blocking=False):
            waited = begins and self._beginning
            if not self._lock.acquire(timeout=LOCK_SECONDS):
                raise X2GoTimeOutException(f"another action on session {session_name} does not end")
        self._beginning = begins
        try:
            yield waited
        finally:
            self._beginning = False
            self._lock.release()

    def is_taken(self) -> bool:
        """Whether an action is under way."""
        return self._lock.locked()
