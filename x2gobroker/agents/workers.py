"""Threads for calls that may take their time: made when needed, kept for a while, never waited for at the end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

IDLE_SECONDS = 60.0
LOST_AFTER = 30.0  # seconds past its end, after which a job's thread is given up and replaced
MOST_LOST = 256


@dataclass
class _Job:
    work: Callable[[], None]
    end: float


class Workers:
    """Up to `most` threads. A job whose end is past before its turn comes is dropped.

    A job must not raise, and should have a deadline of its own; one that hangs all the same loses its thread only.
    """

    def __init__(self, most: int = 64, name: str = "agents") -> None:
        self._most = most
        self._name = name
        self._jobs: deque[_Job] = deque()
        self._busy: dict[int, float] = {}
        self._idle = 0
        self._started = 0
        self._closed = False
        self._changed = threading.Condition()

    def submit(self, work: Callable[[], None], end: float) -> None:
        """Have `work` done by a thread, if one is free before `end` (of the monotonic clock)."""
        with self._changed:
            if self._closed:
                return
            self._jobs.append(_Job(work, end))
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._room():
                self._started += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True).start()
                self._idle += 1  # it will be; taken back when it takes a job

    def _room(self) -> bool:
        long_ago = time.monotonic() - LOST_AFTER
        lost = sum(end < long_ago for end in self._busy.values())
        return self._idle + len(self._busy) - min(lost, MOST_LOST) < self._most

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                job = self._next()
                self._idle -= 1
                if job is None:
                    return
                self._busy[me] = job.end
            try:
                job.work()
            finally:
                with self._changed:
                    del self._busy[me]
                    self._idle += 1

    def _next(self) -> _Job | None:
        """The next job that is still wanted; None after a while without any."""
        end = time.monotonic() + IDLE_SECONDS
        while not self._closed:
            while self._jobs:
                job = self._jobs.popleft()
                if job.end > time.monotonic():
                    return job
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._changed.wait(left)
        return None

    def close(self) -> None:
        """No more jobs; idle threads end, busy ones when they are done. Waits for nobody."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    @property
    def threads(self) -> int:
        """How many threads there are."""
        with self._changed:
            return self._idle + len(self._busy)
