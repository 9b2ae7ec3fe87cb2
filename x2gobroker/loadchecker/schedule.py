"""When each server is asked: at once when it is new, then once per interval, at a moment of its own."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable

JITTER = 0.05  # of the interval, to each side


def phase(key: str) -> float:
    """A number from 0 to 1 that is always the same for a key, and spread evenly over many of them."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()) / 2**64


def next_time(key: str, interval: float, now: float, jitter: float) -> float:
    """When a server that is asked now is asked next: at its phase of an interval, half to one and a half from now.

    `jitter` from -1 to 1 moves it by up to JITTER of the interval: load checkers on several hosts thus do not ask at
    the same moment, and who is first has asked for the others.
    """
    offset = phase(key) * interval
    slot = math.ceil((now + interval / 2 - offset) / interval)
    return slot * interval + offset + jitter * JITTER * interval


class Schedule:
    """When each server is asked next. Times are seconds of whatever clock the caller has; that of the epoch, mostly."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 - no secret: it spreads load
        self._due: dict[str, float] = {}
        self._interval = 0.0

    def set(self, keys: Iterable[str], interval: float, now: float) -> set[str]:
        """The servers there are, and seconds between two questions to one. New ones are due at once.

        Returns those that are gone.
        """
        wanted = set(keys)
        gone = self._due.keys() - wanted
        for key in gone:
            del self._due[key]
        if interval != self._interval:
            self._interval = interval
            for key in self._due:
                self._due[key] = self._next(key, now)
        for key in wanted - self._due.keys():
            self._due[key] = now
        return gone

    def take_due(self, now: float) -> list[str]:
        """The servers that are to be asked now, in the order in which they came due; their next times are set.

        A clock that was set back does not make them wait longer than an interval and a half.
        """
        latest = now + self._interval * (1.5 + 2 * JITTER)
        due = sorted((moment, key) for key, moment in self._due.items() if moment <= now or moment > latest)
        for _, key in due:
            self._due[key] = self._next(key, now)
        return [key for _, key in due]

    def all_now(self, now: float) -> None:
        """Make all servers due at once."""
        self._due = dict.fromkeys(self._due, now)

    def now(self, key: str, now: float) -> None:
        """Make one server due at once, if it is among them."""
        if key in self._due:
            self._due[key] = now

    def seconds_left(self, now: float) -> float:
        """Seconds until the next server is due; infinite where there is none."""
        return max(0.0, min(self._due.values(), default=math.inf) - now)

    def _next(self, key: str, now: float) -> float:
        return next_time(key, self._interval, now, self._chance.uniform(-1, 1))
