"""When servers are asked: new ones at once, then each once per interval, spread evenly, with jitter."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from x2gobroker.loadchecker.schedule import JITTER, Schedule, next_time, phase

NOW = 1_800_000_000.0
KEYS = [f"host{number}.example:22" for number in range(200)]


def schedule() -> Schedule:
    return Schedule(random.Random(1))


def times_asked(plan: Schedule, begin: float, seconds: float, step: float = 1.0) -> dict[str, list[float]]:
    """When each server was asked, looking at the clock every `step` seconds."""
    asked: dict[str, list[float]] = {}
    for number in range(int(seconds / step)):
        now = begin + number * step
        for key in plan.take_due(now):
            asked.setdefault(key, []).append(now)
    return asked


def test_new_servers_are_asked_at_once() -> None:
    plan = schedule()
    assert plan.set(KEYS, 300, NOW) == set()
    assert plan.seconds_left(NOW) == 0
    assert sorted(plan.take_due(NOW)) == sorted(KEYS)
    assert plan.take_due(NOW) == []
    plan.set([*KEYS, "new:22"], 300, NOW + 1)
    assert plan.take_due(NOW + 1) == ["new:22"]


def test_then_once_per_interval() -> None:
    plan = schedule()
    plan.set(KEYS, 300, NOW)
    asked = times_asked(plan, NOW, 3000)
    for times in asked.values():
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert len(times) in (10, 11)
        assert 145 * (1 - 2 * JITTER) <= gaps[0] <= 301 * (1.5 + JITTER)
        assert all(300 * (1 - 2 * JITTER) - 1 <= gap <= 300 * (1 + 2 * JITTER) + 1 for gap in gaps[1:])


def test_they_are_spread_over_the_interval() -> None:
    plan = schedule()
    plan.set(KEYS, 300, NOW)
    asked = times_asked(plan, NOW, 1200)
    in_third_interval = [moment for times in asked.values() for moment in times if 600 <= moment - NOW < 900]
    by_tenth = [sum(1 for moment in in_third_interval if (moment - NOW - 600) // 30 == tenth) for tenth in range(10)]
    assert sum(by_tenth) == pytest.approx(200, abs=20)
    assert max(by_tenth) < 45, by_tenth  # 20 would be perfectly even


def test_jitter_differs_from_round_to_round() -> None:
    assert len({next_time("a:22", 300, NOW, jitter) for jitter in (-1, 0, 0.5, 1)}) == 4


def test_vanished_servers_are_forgotten() -> None:
    plan = schedule()
    plan.set(["a:22", "b:22"], 300, NOW)
    assert plan.set(["b:22"], 300, NOW) == {"a:22"}
    assert plan.take_due(NOW) == ["b:22"]
    assert plan.set([], 300, NOW) == {"b:22"}
    assert plan.seconds_left(NOW) == math.inf


def test_another_interval_counts_at_once() -> None:
    plan = schedule()
    plan.set(["a:22"], 86400, NOW)
    plan.take_due(NOW)
    assert plan.seconds_left(NOW) > 3600
    plan.set(["a:22"], 10, NOW)
    assert plan.seconds_left(NOW) <= 10 * (1.5 + JITTER)


def test_all_now() -> None:
    plan = schedule()
    plan.set(KEYS, 300, NOW)
    plan.take_due(NOW)
    plan.all_now(NOW + 5)
    assert sorted(plan.take_due(NOW + 5)) == sorted(KEYS)


def test_a_clock_that_was_set_back_delays_nobody_for_long() -> None:
    plan = schedule()
    plan.set(["a:22"], 300, NOW)
    plan.take_due(NOW)
    assert plan.take_due(NOW - 86400) == ["a:22"]
    assert plan.seconds_left(NOW - 86400) <= 300 * (1.5 + JITTER)


def test_a_clock_that_was_set_forward_asks_each_once() -> None:
    plan = schedule()
    plan.set(KEYS, 300, NOW)
    plan.take_due(NOW)
    assert sorted(plan.take_due(NOW + 86400)) == sorted(KEYS)
    assert plan.take_due(NOW + 86400) == []


@given(st.text(max_size=80), st.floats(1, 86400), st.floats(0, 4e9), st.floats(-1, 1))
def test_the_next_time_is_half_to_one_and_a_half_intervals_away(
    key: str, interval: float, now: float, jitter: float
) -> None:
    gap = next_time(key, interval, now, jitter) - now
    assert interval * (0.5 - JITTER) - 1e-3 <= gap <= interval * (1.5 + JITTER) + 1e-3


@given(st.text(max_size=80))
def test_phases_are_stable_and_within_bounds(key: str) -> None:
    assert 0 <= phase(key) < 1
    assert phase(key) == phase(key)


def test_the_phase_is_the_same_in_every_process() -> None:
    assert phase("ts1.example:22") == pytest.approx(0.4763440656944769)
    assert phase("a:22") != phase("b:22")
