"""Users who are locked out, in PostgreSQL: a lock of one broker host counts at the other, at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.postgresql import two_stores
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.vouched import Vouched
from x2gobroker.store import (
    Authids,
    AutologinKeys,
    Lockouts,
    PortalSessions,
    RemoteDesktops,
    Store,
    StoredKey,
    TakenAway,
    UserLocks,
)

HOME = "192.0.2.7"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have."""
    with two_stores() as made:
        yield made


def test_a_lock_at_one_host_takes_everything_away_at_all(two: tuple[Store, Store]) -> None:
    here, there = two
    authid = Authids(here).issue("Anna", "realm", HOME, 3600)
    cookie = PortalSessions(here).open("anna", "inifile", HOME, 3600, Vouched("password"))
    slot = RemoteDesktops(here).reserve("Terminal", 1, "anna", {}, HOME)
    assert slot is not None
    RemoteDesktops(here).begin_start(slot.id, "here")
    token, link = RemoteDesktops(here).token(slot, "anna", HOME), RemoteDesktops(here).share(slot)
    due = time.time() + 100
    place = Endpoint("desk", "desk.example", 22)
    key = StoredKey(place, "shared", "%h/keys", KEY, "SSH", "reject", "", "", due, due + 1000)
    AutologinKeys(here).record([key], "anna")
    assert Lockouts(there).lock("ANNA", "root", "left", told=True) == TakenAway(1, 1, 1, 1, 1, 1)
    found = UserLocks(here).find("anna")
    assert found is not None
    assert found.for_user == "left"
    assert Authids(here).look_up(authid, "Anna", "realm", HOME, time.time(), 3600) is None
    assert PortalSessions(here).find(cookie, 600) is None
    assert RemoteDesktops(here).shared(link) is None
    assert RemoteDesktops(here).redeem(token, HOME) is None
    (claimed,) = AutologinKeys(here).claim_due(time.time(), 10, 60)
    AutologinKeys(here).done([claimed])
    assert Lockouts(here).lift("anna")
    assert UserLocks(there).all() == []


def test_locks_from_two_hosts_at_once_get_into_nobodys_way(two: tuple[Store, Store]) -> None:
    def lock(number: int) -> None:
        store = two[number % 2]
        Authids(store).issue(f"user{number % 5}", "realm", HOME, 3600)
        Lockouts(store).lock(f"user{number % 5}", "root")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lock, range(40)))
    assert len(UserLocks(two[0]).all()) == 5
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda number: Lockouts(two[number % 2]).lift(f"user{number % 5}"), range(20))) == 5
