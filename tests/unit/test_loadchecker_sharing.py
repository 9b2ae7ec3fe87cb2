"""Load checkers that share a store: each its part, one that dies is taken over, and hosts' clocks do not matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.errors import StoreError
from x2gobroker.loadchecker.sharing import BEAT_SECONDS, STALE_SECONDS, Sharing, owner_of
from x2gobroker.store import LoadCheckers, Store

FARM = frozenset(f"10.0.0.{number}:22" for number in range(200))


class Hosts:
    """Load checkers on several hosts, one clock that only grows, and a clock of its own for each host."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(URL.create("sqlite", database=str(folder / "state" / "store.sqlite")))
        self.now = 1000.0
        self.broken = False

    def checker(self, name: str, off: float = 0.0) -> Sharing:
        return Sharing(self.keep, name, lambda: self.now, lambda: self.now + off)

    def keep(self) -> LoadCheckers:
        if self.broken:
            raise StoreError("it is full")
        return LoadCheckers(self.store)

    def go_on(self, *checkers: Sharing, seconds: float = STALE_SECONDS + 2 * BEAT_SECONDS) -> list[frozenset[str]]:
        """Time goes by, in steps of a second; the shares at the end."""
        shares: list[frozenset[str]] = []
        for _ in range(int(seconds)):
            self.now += 1
            shares = [checker.share(FARM) for checker in checkers]
        return shares


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    made.store.close()


def test_one_alone_watches_all_at_once(hosts: Hosts) -> None:
    assert hosts.checker("a").share(FARM) == FARM
    assert hosts.checker("b").share([]) == frozenset()


@pytest.mark.parametrize("off", [0.0, 3600.0, -3600.0])
def test_several_have_a_share_each_whatever_their_clocks_say(hosts: Hosts, off: float) -> None:
    checkers = [hosts.checker("a"), hosts.checker("b", off), hosts.checker("c", -off)]
    shares = hosts.go_on(*checkers)
    assert frozenset().union(*shares) == FARM
    assert sum(map(len, shares)) == len(FARM), "each server is watched by one"
    assert min(map(len, shares)) > 40, "each has its part"


def test_one_that_dies_is_taken_over_and_no_other_server_changes_hands(hosts: Hosts) -> None:
    checkers = [hosts.checker("a"), hosts.checker("b"), hosts.checker("c")]
    before = hosts.go_on(*checkers)
    after = hosts.go_on(*checkers[:2])
    assert after[0] | after[1] == FARM
    assert all(then > now for then, now in zip(after, before[:2], strict=True))


def test_one_that_ends_is_taken_over_with_the_next_sign(hosts: Hosts) -> None:
    checkers = [hosts.checker("a"), hosts.checker("b")]
    hosts.go_on(*checkers)
    checkers[1].leave()
    assert hosts.go_on(checkers[0], seconds=BEAT_SECONDS + 1) == [FARM]


def test_one_that_looks_after_other_servers_has_no_part(hosts: Hosts) -> None:
    first, second = hosts.checker("a"), hosts.checker("b")
    for _ in range(20):
        hosts.now += 1
        shares = first.share(FARM), second.share(["10.0.0.1:22"])
    assert shares == (FARM, frozenset({"10.0.0.1:22"}))


def test_while_the_store_fails_all_stays_as_it_was(hosts: Hosts) -> None:
    checkers = [hosts.checker("a"), hosts.checker("b")]
    before = hosts.go_on(*checkers)
    hosts.broken = True
    assert hosts.go_on(*checkers, seconds=60) == before
    checkers[0].leave()  # says nothing, and does not fail
    hosts.broken = False
    assert hosts.go_on(*checkers) == before


def test_one_that_nobody_hears_of_any_more_leaves_the_store(hosts: Hosts) -> None:
    hosts.checker("gone").share(FARM)
    hosts.now += 2 * 86400
    hosts.checker("a").share(FARM)
    assert [peer.name for peer in hosts.keep().beat("a", "", hosts.now)] == ["a"]


def test_who_owns_a_server_does_not_depend_on_the_order() -> None:
    assert owner_of("ts:22", ["a", "b", "c"]) == owner_of("ts:22", ["c", "a", "b"])


def test_each_has_a_name_of_its_own(hosts: Hosts) -> None:
    assert Sharing(hosts.keep).name != Sharing(hosts.keep).name
