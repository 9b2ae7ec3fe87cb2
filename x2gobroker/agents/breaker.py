"""A circuit breaker: servers that fail time and again are left out for a while, then tried by one call at a time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from x2gobroker.agents.base import LEFT_OUT, SERVER_TROUBLE

FAILURES = 3
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 60.0  # no longer: the sessions of a server that is back should be found again
JITTER = 0.2
TRIAL_SECONDS = 30.0  # a trial of which nothing is heard for so long makes room for the next


@dataclass
class _State:
    failures: int = 0
    pause: float = 0.0  # seconds, before jitter; 0: not left out
    until: float = 0.0  # of the clock
    on_trial: bool = False


class CircuitBreaker:
    """What is known of servers that failed, by `Endpoint.key`; safe for threads.

    `clock` gives seconds that only grow, `jitter` a factor between two bounds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()

    def allows(self, key: str) -> bool:
        """Whether to ask this server now. When its pause is over, the first who asks makes the trial."""
        with self._lock:
            state = self._states.get(key)
            if state is None or not state.pause:
                return True
            now = self._clock()
            if now < state.until:
                return False
            state.on_trial = True
            state.until = now + TRIAL_SECONDS
            return True

    def succeeded(self, key: str) -> bool:
        """The server answered. Returns whether it had been left out."""
        with self._lock:
            state = self._states.pop(key, None)
        return state is not None and state.pause > 0

    def failed(self, key: str, reason: str) -> float:
        """A call failed. Returns for how many seconds the server is left out from now on; 0 where nothing changes.

        Only reasons of SERVER_TROUBLE count; with another one the server has answered.
        """
        if reason not in SERVER_TROUBLE:
            if reason != LEFT_OUT:
                self.succeeded(key)
            return 0.0
        with self._lock:
            state = self._states.setdefault(key, _State())
            if state.pause and not state.on_trial:
                return 0.0  # a call from before it was left out
            state.failures += 1
            if state.failures < FAILURES:
                return 0.0
            state.pause = min(LONGEST_PAUSE, state.pause * 2 or FIRST_PAUSE)
            state.on_trial = False
            seconds = state.pause * self._jitter(1 - JITTER, 1 + JITTER)
            state.until = self._clock() + seconds
            return seconds

    def left_out(self) -> frozenset[str]:
        """The servers that are left out at this moment."""
        with self._lock:
            now = self._clock()
            return frozenset(key for key, state in self._states.items() if state.pause and now < state.until)

    def after_fork(self) -> None:
        """In a new process: a thread of the old one may have held the lock."""
        self._lock = threading.Lock()
