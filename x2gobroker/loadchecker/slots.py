"""How many servers are asked at the same time, so that dead ones hold up nobody.

A server that answers does so within a fraction of a second; one that is down costs the whole `agent-timeout`. So there
are two sorts of slots. A call begins in a fast one, and gives it back when it takes longer than SLOW_SECONDS: it goes
on in a slow slot. Servers that failed the last time, or whose
port does not answer, begin in a slow one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FAST_SLOTS = 16  # each is a key exchange, which keeps a processor busy; more at once would only be slower
SLOW_SLOTS = 96
SLOW_SECONDS = 1.0


@dataclass
class _Call:
    began: float
    slow: bool


class Slots:
    """The calls under way, by the key of the server; for one thread. Times are seconds of a monotonic clock."""

    def __init__(self, fast: int = FAST_SLOTS, slow: int = SLOW_SLOTS, slow_seconds: float = SLOW_SECONDS) -> None:
        self._most_fast = fast
        self._most_slow = slow
        self._slow_seconds = slow_seconds
        self._calls: dict[str, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, key: str) -> bool:
        return key in self._calls

    def take(self, waiting: Iterable[str], doubtful: Iterable[str], now: float) -> list[str]:
        """Those of `waiting` that are to be begun now, in their order. `doubtful` servers failed the last time."""
        slow = sum(call.slow for call in self._calls.values())
        for call in self._calls.values():
            if not call.slow and now - call.began >= self._slow_seconds and slow < self._most_slow:
                call.slow = True
                slow += 1
        fast = len(self._calls) - slow
        failed = set(doubtful)
        begun = []
        for key in waiting:
            if key in self._calls:
                continue
            is_slow = key in failed
            if (slow >= self._most_slow) if is_slow else (fast >= self._most_fast):
                continue
            self._calls[key] = _Call(now, is_slow)
            slow, fast = slow + is_slow, fast + (not is_slow)
            begun.append(key)
        return begun

    def free(self, key: str) -> None:
        """The call has ended."""
        self._calls.pop(key, None)
