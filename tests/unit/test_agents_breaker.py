"""The circuit breaker: who is left out, for how long, and how one gets back."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties import SOME
from x2gobroker.agents.base import (
    HOST_KEY,
    LEFT_OUT,
    LOGIN,
    NONSENSE,
    REFUSED,
    SERVER_TROUBLE,
    TIMEOUT,
    UNREACHABLE,
)
from x2gobroker.agents.breaker import FAILURES, FIRST_PAUSE, JITTER, LONGEST_PAUSE, TRIAL_SECONDS, CircuitBreaker

KEY = "192.0.2.1:22"


class Clock:
    """Stands still until told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, lambda _low, _high: 1.0)


def fail(breaker: CircuitBreaker, times: int = FAILURES, reason: str = TIMEOUT) -> float:
    return [breaker.failed(KEY, reason) for _ in range(times)][-1]


def test_three_failures_in_a_row_leave_a_server_out(breaker: CircuitBreaker, clock: Clock) -> None:
    assert breaker.allows(KEY)
    assert [breaker.failed(KEY, TIMEOUT) for _ in range(3)] == [0.0, 0.0, FIRST_PAUSE]
    assert not breaker.allows(KEY)
    assert breaker.allows("192.0.2.2:22")
    assert breaker.left_out() == {KEY}
    clock.now += FIRST_PAUSE - 0.01
    assert not breaker.allows(KEY)


def test_a_success_between_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert not breaker.succeeded(KEY)
    assert fail(breaker, 2) == 0
    assert breaker.allows(KEY)


@pytest.mark.parametrize("reason", [NONSENSE, REFUSED])
def test_an_answer_that_is_a_failure_shows_that_the_server_is_there(breaker: CircuitBreaker, reason: str) -> None:
    assert fail(breaker, 20, reason) == 0
    assert breaker.allows(KEY)
    fail(breaker, 2)
    breaker.failed(KEY, reason)
    assert fail(breaker, 2) == 0


def test_being_left_out_is_no_failure_and_no_success(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.failed(KEY, LEFT_OUT)
    assert breaker.failed(KEY, TIMEOUT) == FIRST_PAUSE


@pytest.mark.parametrize("reason", [UNREACHABLE, TIMEOUT, HOST_KEY, LOGIN])
def test_each_trouble_of_a_server_counts(breaker: CircuitBreaker, reason: str) -> None:
    assert reason in SERVER_TROUBLE
    assert fail(breaker, reason=reason) == FIRST_PAUSE


def test_after_the_pause_there_is_one_trial(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += FIRST_PAUSE
    assert [breaker.allows(KEY) for _ in range(3)] == [True, False, False]


def test_a_good_trial_brings_the_server_back(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += FIRST_PAUSE
    assert breaker.allows(KEY)
    assert breaker.succeeded(KEY)
    assert breaker.allows(KEY)
    assert breaker.allows(KEY)
    assert not breaker.succeeded(KEY)
    assert fail(breaker) == FIRST_PAUSE, "the next time it starts with a short pause again"


def test_each_bad_trial_doubles_the_pause_up_to_a_limit(breaker: CircuitBreaker, clock: Clock) -> None:
    pauses = [fail(breaker)]
    for _ in range(7):
        clock.now += pauses[-1]
        assert breaker.allows(KEY)
        pauses.append(breaker.failed(KEY, UNREACHABLE))
    assert pauses == [10, 20, 40, *[LONGEST_PAUSE] * 5]


def test_failures_of_calls_that_began_before_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    assert fail(breaker, 50) == 0
    clock.now += FIRST_PAUSE
    assert breaker.allows(KEY)


def test_a_trial_of_which_nothing_is_heard_makes_room_for_another(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += FIRST_PAUSE
    assert breaker.allows(KEY)
    clock.now += TRIAL_SECONDS
    assert breaker.allows(KEY)


def test_pauses_are_jittered(clock: Clock) -> None:
    breaker = CircuitBreaker(clock)
    pauses = set()
    for number in range(50):
        for _ in range(FAILURES):
            pause = breaker.failed(str(number), TIMEOUT)
        pauses.add(pause)
    assert all(FIRST_PAUSE * (1 - JITTER) <= pause <= FIRST_PAUSE * (1 + JITTER) for pause in pauses)
    assert len(pauses) > 40


def test_many_threads_after_the_pause_make_one_trial(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += FIRST_PAUSE
    allowed: list[bool] = []
    threads = [threading.Thread(target=lambda: allowed.append(breaker.allows(KEY))) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(allowed) == 1
    assert len(allowed) == 32


@SOME
@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "ask", "wait"]), st.floats(0, 400)), max_size=60))
def test_a_server_is_never_left_out_for_longer_than_the_longest_pause(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for step, seconds in steps:
        if step == "ok":
            breaker.succeeded(KEY)
            assert breaker.allows(KEY)
        elif step == "fail":
            breaker.failed(KEY, TIMEOUT)
        elif step == "ask":
            breaker.allows(KEY)
        else:
            clock.now += seconds
    clock.now += LONGEST_PAUSE * (1 + JITTER) + TRIAL_SECONDS
    assert breaker.allows(KEY)
