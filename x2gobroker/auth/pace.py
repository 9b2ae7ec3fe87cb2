"""How long checks take, and whether anybody could tell: so that those who need none can be refused in the same way."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass

KEPT = 32
FIRST_SECONDS = 0.15  # about what PAM takes, with a service between and a machine that has more to do
LONGEST_SECONDS = 5.0
LONGEST_FAILURE_SECONDS = 40.0  # more than the authentication service may take
FAILING_SECONDS = 60.0
FINE_SECONDS = 3.0


@dataclass(frozen=True)
class Failure:
    """That nobody could tell whether a password is right, after so many seconds. `looked` is as with a verdict."""

    seconds: float = 0.0
    looked: bool = False

    def wait(self, began: float) -> None:
        """Wait as long as this took, counted from `began` (time.monotonic)."""
        _wait(min(self.seconds, LONGEST_FAILURE_SECONDS), began)


class Pace:
    """What came of the last checks, and the times that they took. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: deque[float] = deque(maxlen=KEPT)
        self._granted: deque[float] = deque(maxlen=KEPT)
        self._failure: Failure | None = None
        self._told = -FAILING_SECONDS  # when the last check has ended

    def took(self, seconds: float) -> None:
        """A wrong password was found to be one in so many seconds."""
        self._note(self._refused, seconds)

    def let_in(self, seconds: float) -> None:
        """A right password was found to be one in so many seconds."""
        self._note(self._granted, seconds)

    def failed(self, seconds: float, looked: bool) -> None:
        """After so many seconds it turned out that nobody can tell."""
        with self._lock:
            self._failure = Failure(seconds, looked)
            self._told = time.monotonic()

    def failure(self) -> Failure | None:
        """How the last check failed, if it did so within FAILING_SECONDS."""
        with self._lock:
            return self._failure if time.monotonic() - self._told < FAILING_SECONDS else None

    def is_fine(self) -> bool:
        """Whether within FINE_SECONDS a check has told right from wrong."""
        with self._lock:
            return self._failure is None and time.monotonic() - self._told < FINE_SECONDS

    def wait(self, began: float | None = None) -> None:
        """Wait as long as one of the last refusals took, whichever, counted from `began` (time.monotonic).

        Before the first one, as long as a right password took: that costs much the same.
        """
        with self._lock:
            seconds = secrets.choice(self._refused or self._granted or [FIRST_SECONDS])
        _wait(seconds, began)

    def _note(self, times: deque[float], seconds: float) -> None:
        with self._lock:
            times.append(min(seconds, LONGEST_SECONDS))
            self._failure = None
            self._told = time.monotonic()


def _wait(seconds: float, began: float | None) -> None:
    passed = 0.0 if began is None else time.monotonic() - began
    time.sleep(max(seconds - passed, 0.0))
