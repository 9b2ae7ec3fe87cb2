"""Sign-ins at the portal in PostgreSQL: those of one broker host count at the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import make_url

from tests.support.postgresql import postgresql
from x2gobroker.store import PortalSessions, Store

IDLE = 600.0


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[PortalSessions, PortalSessions]]:
    """What two broker hosts have."""
    with postgresql() as found:
        url = make_url(found.replace("postgresql:", "postgresql+psycopg:"))
        made = PortalSessions(Store(url)), PortalSessions(Store(url))
        yield made
        for sessions in made:
            sessions.store.close()


def test_a_sign_in_counts_at_all_hosts_until_it_is_ended_at_one(two: tuple[PortalSessions, PortalSessions]) -> None:
    here, there = two
    token = here.open("anna", "inifile", "192.0.2.7", 3600, None, "a pässword")
    found = there.find(token, IDLE)
    assert found is not None
    assert found.password(token) == "a pässword"
    there.seen(found, 600, time.time() + 120)
    assert [session.username for session in here.all_of("anna", IDLE)] == ["anna"]
    assert there.close_block("anna", "192.0.2.8") == 0
    assert there.close_block("anna", "192.0.2.7") == 1
    assert here.find(token, IDLE) is None


def test_many_sign_ins_and_sweeps_at_once_lose_none(two: tuple[PortalSessions, PortalSessions]) -> None:
    def come(number: int) -> str:
        sessions = two[number % 2]
        sessions.open("bert", "inifile", "", -1, None)
        sessions.sweep(IDLE)
        return sessions.open("bert", "inifile", "", 3600, None)

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(come, range(32)))
    two[0].sweep(IDLE)
    assert all(two[1].find(token, IDLE) for token in tokens)
    assert two[1].close_all("bert") == 32


def test_one_of_many_hosts_asks_again(two: tuple[PortalSessions, PortalSessions]) -> None:
    found = two[0].find(two[0].open("carl", "inifile", "", 3600, None), IDLE)
    assert found is not None
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: two[number % 2].checked(found, found.checked + 700), range(8)))
    assert sorted(answers) == [False] * 7 + [True]
