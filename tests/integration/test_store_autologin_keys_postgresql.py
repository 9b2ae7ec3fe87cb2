"""Autologin keys in PostgreSQL: sweepers of several broker hosts claim rows at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy.engine import make_url

from tests.support.postgresql import postgresql
from x2gobroker.model.hosts import Endpoint
from x2gobroker.ssh.keys import generate_key
from x2gobroker.store import AutologinKeys, Store, StoredKey

NOW = 1_000_000.0
LINE = generate_key("ed25519").public.line('expiry-time="20991231"', "x2gobroker-1")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A real PostgreSQL database."""
    with postgresql() as found:
        yield found.replace("postgresql:", "postgresql+psycopg:")


@pytest.fixture
def two(url: str) -> Iterator[tuple[AutologinKeys, AutologinKeys]]:
    """What two broker hosts have, on one database in which no key is stored."""
    made = AutologinKeys(Store(make_url(url))), AutologinKeys(Store(make_url(url)))
    made[0].done(made[0].all())
    yield made
    for keys in made:
        keys.store.close()


def a_key(server: str, user: str, due: float = NOW) -> StoredKey:
    """A key of one user on one server."""
    return StoredKey(Endpoint(server, server), user, "%h/k", LINE, "SSH", "RejectPolicy", "", "", due, due + 1000)


def test_many_sweepers_share_the_rows_while_more_are_recorded(two: tuple[AutologinKeys, AutologinKeys]) -> None:
    two[0].record([a_key(f"h{number % 20}", f"user{number}") for number in range(300)])

    def sweep(number: int) -> list[str]:
        keys, found = two[number % 2], []
        for turn in range(60):
            if number < 2:
                keys.record([a_key(f"h{turn % 20}", f"late{number}-{turn}")])
            claimed = keys.claim_due(NOW, 9, 60, per_place=4)
            found += [key.id for key in claimed]
            keys.done(claimed)
        return found

    with ThreadPoolExecutor(8) as pool:
        everything = [each for share in pool.map(sweep, range(8)) for each in share]
    while claimed := two[0].claim_due(NOW, 100, 60):
        everything += [key.id for key in claimed]
        two[1].done(claimed)
    assert len(everything) == len(set(everything)) == 300 + 2 * 60
    assert two[0].all() == []


def test_a_lease_counts_at_the_other_host(two: tuple[AutologinKeys, AutologinKeys]) -> None:
    key = a_key("a", "anna")
    two[0].record([key])
    (claimed,) = two[0].claim_due(NOW, 10, 60)
    assert two[1].claim_due(NOW + 59, 10, 60) == []
    (taken_over,) = two[1].claim_due(NOW + 60, 10, 60)
    two[0].done([claimed])
    assert two[0].all() == [taken_over]
    two[1].postpone([taken_over], NOW + 100)
    assert two[0].all() == [replace(key, due=NOW + 100, tries=1)]


def test_a_dead_server_is_moved_out_of_the_way(two: tuple[AutologinKeys, AutologinKeys]) -> None:
    two[0].record([a_key("dead", f"user{number}", NOW - 9) for number in range(50)] + [a_key("alive", "anna")])
    claimed = two[1].claim_due(NOW, 10, 60, per_place=3)
    assert sorted(key.server.name for key in claimed) == ["alive", "dead", "dead", "dead"]
    assert two[0].postpone_place("dead:22", NOW + 30, NOW) == 47
    assert two[0].claim_due(NOW, 100, 60) == []


def test_the_same_key_recorded_at_both_hosts_at_once_is_one_row(two: tuple[AutologinKeys, AutologinKeys]) -> None:
    many = [a_key(f"h{number}", "anna") for number in range(20)]

    def record(number: int) -> None:
        two[number % 2].record([replace(key, due=NOW + number) for key in many[:: 1 if number % 3 else -1]])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(24)))
    assert [key.due for key in two[0].all()] == [NOW + 23] * 20
