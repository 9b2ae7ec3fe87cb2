"""Penalties in PostgreSQL: rows are locked there, where SQLite locks the whole file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import make_url

from tests.support.postgresql import postgresql
from x2gobroker.model.penalty import PenaltyRules
from x2gobroker.store import Attempt, Penalties, Store
from x2gobroker.store.penalties import SWEEP_SECONDS

NOW = 1_000_000.0
RULES = PenaltyRules()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real PostgreSQL database."""
    with postgresql() as found:
        yield found.replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture
def two(url: str) -> Iterator[tuple[Penalties, Penalties]]:
    """What two broker hosts have, on one database in which nothing is counted."""
    made = Penalties(Store(make_url(url))), Penalties(Store(make_url(url)))
    made[0].lift()
    yield made
    for penalties in made:
        penalties.store.close()


def test_failures_on_crossing_accounts_and_blocks_all_count(two: tuple[Penalties, Penalties]) -> None:
    def guess(number: int) -> None:
        for turn in range(10):
            who = Attempt.of("realm", f"user{(number + turn) % 3}", f"192.0.2.{turn % 2}")
            # some of them sweep while others count
            two[number % 2].failed(who, f"{number} {turn}", RULES, NOW + turn * SWEEP_SECONDS / 4)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(guess, range(16)))
    rows = two[0].listed(RULES, NOW + 200)
    assert sum(row.failures for row in rows if not row.block) == 160
    assert sum(row.failures for row in rows if not row.account) == 160
    assert sum(row.failures for row in rows if row.block and row.account) == 160


def test_guesses_at_two_hosts_at_once_are_admitted_one_by_one(two: tuple[Penalties, Penalties]) -> None:
    who = Attempt.of("realm", "anna", "192.0.2.7")
    for number in range(3):
        two[0].failed(who, str(number), RULES, NOW)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: two[number % 2].admit(who, f"guess {number}", RULES, NOW + 2).retry_after, range(32)
            )
        )
    assert answers.count(0) == 1


def test_a_success_at_one_host_counts_at_the_other(two: tuple[Penalties, Penalties]) -> None:
    who = Attempt.of("realm", "anna", "192.0.2.7")
    for number in range(10):
        two[0].failed(who, str(number), RULES, NOW)
    assert two[1].admit(who, "x", RULES, NOW).banned
    two[1].succeeded(who)
    assert two[0].listed(RULES, NOW) == []
    assert two[0].admit(who, "x", RULES, NOW + 20).retry_after == 0


def test_what_is_over_is_swept(two: tuple[Penalties, Penalties]) -> None:
    for moment in (NOW, NOW + 2000):
        two[0].failed(Attempt.of("realm", f"user at {moment}", "192.0.2.7"), "x", RULES, moment)
    assert two[1].lift() == 3


def test_a_first_volley_over_two_hosts_is_looked_at_in_part_only(two: tuple[Penalties, Penalties]) -> None:
    who = Attempt.of("realm", "anna", "192.0.2.7")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: two[number % 2].admit(who, f"guess {number}", RULES, NOW), range(120)))
    # three places; one in two hundred volleys has a guess whose short mark is that of one which is looked at
    assert 1 <= sum(not answer.retry_after for answer in answers) <= 4


def test_one_password_sent_at_once_to_two_hosts_is_one_guess(two: tuple[Penalties, Penalties]) -> None:
    who = Attempt.of("realm", "anna", "192.0.2.7")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: two[number % 2].admit(who, "the right one", RULES, NOW), range(64)))
    assert not any(answer.retry_after for answer in answers)
