"""How far the start of a session has come, for who shows it to a user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

WAIT_SECONDS = 600.0
DONE, FAILED = 100, -1


class ProgressStatus:
    """Iterates over the percentages of a start: gives the next one as soon as the event is set, ends at 100 or -1.

    `progress_event` is what was given to `start`; `progress_func` is the session's `get_progress_status`.
    """

    def __init__(self, progress_event: threading.Event, progress_func: Callable[[], int]) -> None:
        self.ev = progress_event
        self.progress_func = progress_func
        self.status = 0

    def __iter__(self) -> Iterator[int]:
        self.status = self.progress_func()
        return self

    def __next__(self) -> int:
        if self.status in (DONE, FAILED):
            raise StopIteration
        if not self.ev.wait(WAIT_SECONDS):
            raise StopIteration
        self.ev.clear()  # before reading: what comes now sets it again
        self.status = self.progress_func()
        return self.status
