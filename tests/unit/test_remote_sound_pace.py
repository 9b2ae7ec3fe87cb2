"""How much sound goes to a page: never so much that it is heard late, whatever its network is like."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.remote.sound.messages import CHUNK_BYTES, CHUNK_MILLISECONDS
from x2gobroker.remote.sound.pace import FIRST_SECONDS, LONGEST_WAY_SECONDS, QUEUE_SECONDS, Pace

TICK = CHUNK_MILLISECONDS / 1000


@dataclass
class Network:
    """One with a queue that never drops anything. `rate`: bytes in a second, `way`: seconds there and back."""

    rate: float
    way: float
    stops: tuple[float, float] = (0.0, 0.0)  # when nothing goes through
    free: float = 0.0
    delays: list[float] = field(default_factory=list)
    taken: deque[tuple[float, int]] = field(default_factory=deque)
    count: int = 0

    def carry(self, now: float, size: int) -> None:
        begins = max(now, self.free)
        if self.stops[0] <= begins < self.stops[1]:
            begins = self.stops[1]
        self.free = begins + size / self.rate
        self.delays.append(self.free + self.way / 2 - now)
        self.count += 1
        self.taken.append((self.free + self.way, self.count))


def play(network: Network, seconds: float, begin: float = 0.0, pace: Pace | None = None) -> tuple[int, int]:
    """Music without a break; how many chunks were dropped, and how many went reduced."""
    pace, dropped, less = pace or Pace(), 0, 0
    for number in range(int(seconds / TICK)):
        now = begin + number * TICK
        while network.taken and network.taken[0][0] <= now:
            pace.taken(network.taken.popleft()[1], now)
        if not pace.may_send(now):
            dropped += 1
            continue
        less += pace.reduced
        pace.sent(now)
        network.carry(now, CHUNK_BYTES // 4 if pace.reduced else CHUNK_BYTES)
    return dropped, less


@pytest.mark.parametrize("way", [0.001, 0.05, 0.3, 0.6])
def test_a_network_that_is_good_enough_gets_all(way: float) -> None:
    network = Network(1e6, way)
    assert play(network, 120) == (0, 0)
    assert max(network.delays) < way / 2 + 0.02


@pytest.mark.parametrize("way", [0.01, 0.1, 0.3])
def test_a_slow_network_gets_less_of_it_and_in_time(way: float) -> None:
    network = Network(1e6 / 8, way)  # 1 Mbit/s
    dropped, less = play(network, 120)
    whole = 120 / TICK
    assert max(network.delays) < FIRST_SECONDS + QUEUE_SECONDS + TICK
    late = [delay for delay in network.delays if delay > way / 2 + 2 * QUEUE_SECONDS]
    assert len(late) < whole * 0.01
    assert dropped < whole * 0.03
    assert less > whole * 0.7


def test_a_network_that_gets_better_gets_all_again() -> None:
    network = Network(1e6 / 8, 0.02)
    pace = Pace()
    assert play(network, 30, pace=pace)[1]
    assert pace.reduced
    network.rate = 1e6
    play(network, 60, begin=30, pace=pace)
    assert not pace.reduced


def test_after_a_break_of_the_network_nothing_old_is_heard() -> None:
    network = Network(1e6, 0.05, stops=(10.0, 15.0))
    dropped, _ = play(network, 60)
    most = 0.05 + QUEUE_SECONDS + 2 * TICK  # what was under way as it stopped
    assert sum(delay > 0.5 for delay in network.delays) * TICK <= most
    assert 4.5 / TICK < dropped < 5.5 / TICK


def test_a_page_that_says_nothing_gets_half_a_second() -> None:
    pace, sent = Pace(), 0
    for number in range(1000):
        if pace.may_send(number * TICK):
            pace.sent(number * TICK)
            sent += 1
    assert sent * TICK <= FIRST_SECONDS + QUEUE_SECONDS + 2 * TICK


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.floats(0, 3))))
def test_whatever_a_page_says_no_more_is_under_way_than_may_be(
    steps: list[tuple[bool, int, float]],
) -> None:
    pace, now, sent, told = Pace(), 0.0, 0, 0
    most = (LONGEST_WAY_SECONDS + QUEUE_SECONDS) / TICK + 2
    for truly, count, seconds in steps:
        for _ in range(int(seconds / TICK)):
            now += TICK
            if pace.may_send(now):
                pace.sent(now)
                sent += 1
        assert sent - told <= most
        if truly:
            told = min(sent, told + count)
            pace.taken(told, now)
        else:
            for wrong in (sent + 1 + count, told - 1 - count):
                with pytest.raises(ValueError, match="not sent"):
                    pace.taken(wrong, now)
