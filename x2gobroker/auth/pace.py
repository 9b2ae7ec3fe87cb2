"""How long refusals take, so that those that need no check take as long as those that do."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque

KEPT = 32
FIRST_SECONDS = 0.05
LONGEST_SECONDS = 5.0


class Pace:
    """The times that the last refusals took. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque([FIRST_SECONDS], KEPT)

    def took(self, seconds: float) -> None:
        """A wrong password was found to be one in so many seconds."""
        with self._lock:
            self._seconds.append(min(seconds, LONGEST_SECONDS))

    def wait(self) -> None:
        """Wait as long as one of them took, whichever."""
        with self._lock:
            seconds = secrets.choice(self._seconds)
        time.sleep(seconds)
