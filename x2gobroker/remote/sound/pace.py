"""How much sound may be on its way to a page: as much as it takes in time, wherever on the way it would pile up."""

from __future__ import annotations

from collections import deque

QUEUE_SECONDS = 0.2  # by which a chunk may come later than the quickest of late
FIRST_SECONDS = 0.5  # as long as nothing is known of the way
LONGEST_WAY_SECONDS = 1.0
MEMORY_SECONDS = 30.0  # for which the quickest counts
STEADY_SECONDS = 10.0  # for which all must have gone well before more is tried
LONGEST_STEADY_SECONDS = 320.0


class Pace:
    """That of one page. Times are seconds of any clock that never goes back; `count` is in chunks."""

    def __init__(self) -> None:
        self.reduced = False  # whether less is to be sent for the same sound
        self._under_way: deque[float] = deque()  # when each was sent
        self._taken = 0
        self._way = [FIRST_SECONDS, FIRST_SECONDS]  # the quickest of this time and of the time before
        self._known = False
        self._turns = 0.0
        self._steady = STEADY_SECONDS
        self._tried = 0.0
        self._refused = 0.0

    def may_send(self, now: float) -> bool:
        """Whether one more may go; else it is dropped: nobody wants to hear it later."""
        if not self._under_way or now - self._under_way[0] <= self._limit():
            if self.reduced and now - self._refused > self._steady:
                self.reduced, self._tried = False, now
            return True
        if not self.reduced:
            # who had to give up at once waits longer the next time
            soon = self._tried and now - self._tried < self._steady
            self._steady = min(self._steady * 2, LONGEST_STEADY_SECONDS) if soon else STEADY_SECONDS
        self.reduced, self._refused = True, now
        return False

    def sent(self, now: float) -> None:
        """One has gone."""
        self._under_way.append(now)

    def taken(self, count: int, now: float) -> None:
        """So many have come, in all. Raises ValueError where that cannot be."""
        new = count - self._taken
        if not 0 <= new <= len(self._under_way):
            raise ValueError("it has taken what it was not sent")
        for _ in range(new):
            self._learn(now - self._under_way.popleft(), now)
        self._taken = count

    def _limit(self) -> float:
        return min(min(self._way), LONGEST_WAY_SECONDS) + QUEUE_SECONDS

    def _learn(self, seconds: float, now: float) -> None:
        if not self._known:
            self._known, self._turns, self._way = True, now, [seconds, seconds]
        elif now - self._turns > MEMORY_SECONDS:
            self._turns, self._way = now, [seconds, self._way[0]]
        else:
            self._way[0] = min(self._way[0], seconds)
