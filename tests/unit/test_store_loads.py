"""Loads of servers in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.agents.base import SERVER_TROUBLE
from x2gobroker.model.inventory import AHEAD_SECONDS, CLOCK_SECONDS
from x2gobroker.model.load import LoadReport
from x2gobroker.store import Loads, ServerLoad, Store
from x2gobroker.store.loads import TROUBLE

NOW = 1_000_000.0
INTERVAL = 300.0
REPORT = LoadReport(394, 23545, 2, 2597, 3)
GOOD = ServerLoad("ts01:22", "ts01", "ok", REPORT, NOW, NOW, 0.25)


@pytest.fixture
def loads(tmp_path: Path) -> Iterator[Loads]:
    """The loads of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Loads(store)
    store.close()


def test_what_was_put_is_there(loads: Loads) -> None:
    other = ServerLoad("ts02:22", "ts02", "timeout", None, NOW, 0.0, 0.0)
    loads.put([GOOD, other])
    assert loads.all() == [GOOD, other]
    assert loads.of(["ts01:22", "ts09:22"]) == {"ts01:22": GOOD}
    assert loads.of([]) == {}


def test_a_report_without_a_number_of_sessions_stays_without(loads: Loads) -> None:
    loads.put([replace(GOOD, report=replace(REPORT, sessions=None))])
    assert loads.all()[0].report == replace(REPORT, sessions=None)


def test_a_failure_keeps_the_last_good_report_and_its_time(loads: Loads) -> None:
    loads.put([GOOD])
    loads.put([ServerLoad("ts01:22", "ts01", "timeout", None, NOW + 60, 0.0, 5.0)])
    assert loads.all() == [replace(GOOD, state="timeout", asked=NOW + 60, took=5.0)]


def test_a_new_report_takes_the_place_of_the_old_one(loads: Loads) -> None:
    newer = ServerLoad("ts01:22", "ts01", "ok", replace(REPORT, load=100, sessions=None), NOW + 60, NOW + 60, 0.1)
    loads.put([GOOD])
    loads.put([newer])
    assert loads.all() == [newer]


def test_what_was_asked_for_earlier_and_comes_later_is_dropped(loads: Loads) -> None:
    loads.put([GOOD])
    loads.put([ServerLoad("ts01:22", "ts01", "timeout", None, NOW - 5, 0.0, 5.0)])
    assert loads.all() == [GOOD]


@pytest.mark.parametrize(
    ("ahead", "state"), [(7200.0, "ok"), (CLOCK_SECONDS - 1, "ok"), (AHEAD_SECONDS - 1, "timeout")]
)
def test_what_was_found_while_a_clock_was_ahead_keeps_no_news_away(loads: Loads, ahead: float, state: str) -> None:
    """Who takes over from a host whose clock was ahead is believed at once, unless that was by next to nothing."""
    loads.put([ServerLoad("ts01:22", "ts01", "timeout", None, NOW + ahead, 0.0, 5.0)], NOW + ahead)
    loads.put([GOOD], NOW)
    assert [load.state for load in loads.all()] == [state]
    loads.put([replace(GOOD, state="timeout", asked=NOW - 5)], NOW)
    assert [load.state for load in loads.all()] == [state]


def test_many_keys_are_asked_for_in_several_statements(loads: Loads) -> None:
    rows = [replace(GOOD, key=f"ts{number}:22") for number in range(1201)]
    loads.put(rows)
    assert len(loads.of([row.key for row in rows])) == 1201
    assert loads.forget([row.key for row in rows[1:]]) == 1200
    assert [row.key for row in loads.all()] == ["ts0:22"]


def test_what_nobody_asks_any_more_is_forgotten(loads: Loads) -> None:
    loads.put([GOOD, replace(GOOD, key="old:22", asked=NOW - 5000)])
    assert loads.forget(asked_before=NOW - 1000) == 1
    assert loads.all() == [GOOD]
    assert loads.forget() == 0


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (899, True), (901, False), (-59, True), (-61, False)])
def test_a_report_is_fresh_for_three_intervals(age: float, fresh: bool) -> None:
    assert (GOOD.fresh_report(INTERVAL, NOW + age) is not None) == fresh


@pytest.mark.parametrize(
    ("state", "age", "dead"),
    [
        ("ok", 0, False),
        ("timeout", 10, True),
        ("login", 899, True),
        ("timeout", 901, False),
        ("refused", 0, False),
        ("timeout", -59, True),
        ("timeout", -61, False),
    ],
)
def test_dead_is_what_failed_of_late(loads: Loads, state: str, age: float, dead: bool) -> None:
    loads.put([replace(GOOD, state=state)])
    assert loads.known_dead(["ts01:22", "ts09:22"], INTERVAL, NOW + age) == ({"ts01:22"} if dead else set())


def test_dead_means_the_same_as_for_agents() -> None:
    assert set(TROUBLE) == set(SERVER_TROUBLE)
