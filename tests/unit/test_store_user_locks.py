"""Who is locked out, in the store, and what a lock takes away."""

from __future__ import annotations

import pwd
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy.engine import URL

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

NOW = 1_800_000_000.0
HOME = "192.0.2.7"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(tmp_path / "state.sqlite")))


def stored(account: str, due: float) -> StoredKey:
    place = Endpoint("desk", "desk.example", 22)
    return StoredKey(place, account, "%h/.x2go/authorized_keys", KEY, "SSH", "reject", "", "", due, due + 1000)


def test_a_lock_is_found_by_any_form_of_the_name_until_it_ends(store: Store) -> None:
    locks, lockouts = UserLocks(store), Lockouts(store)
    assert locks.find("anna", NOW) is None
    lockouts.lock("Anna", "root", "left", until=NOW + 60, now=NOW)
    for name in ("anna", " ANNA", "ａｎｎａ"):
        found = locks.find(name, NOW)
        assert found is not None
        assert (found.username, found.by, found.reason, found.for_user) == ("Anna", "root", "left", "")
    assert locks.find("bert", NOW) is None
    assert locks.find("anna", NOW + 60) is None
    assert [lock.username for lock in locks.all(NOW)] == ["Anna"]
    assert locks.all(NOW + 60) == []


def test_no_directory_is_asked_for_names_because_of_a_lock_that_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lockouts(store).lock("bert", "root", until=NOW + 60, now=NOW)
    asked: list[str] = []

    def getpwnam(name: str) -> NoReturn:
        asked.append(name)
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    assert UserLocks(store).find("anna", NOW + 60) is None
    assert asked == []
    assert UserLocks(store).find("anna", NOW + 59) is None
    assert asked == ["anna"]


def test_a_second_lock_replaces_the_first(store: Store) -> None:
    lockouts = Lockouts(store)
    lockouts.lock("anna", "root", until=NOW + 60, now=NOW)
    lockouts.lock("ANNA", "carl", "for good", told=True, now=NOW)
    (only,) = UserLocks(store).all(NOW)
    assert (only.by, only.until, only.for_user) == ("carl", None, "for good")


def test_a_lock_ends_when_it_is_lifted_by_any_form_of_the_name(store: Store) -> None:
    lockouts = Lockouts(store)
    assert not lockouts.lift("anna")
    lockouts.lock("anna", "root")
    assert lockouts.lift("Anna ")
    assert UserLocks(store).find("anna") is None


def test_another_name_of_the_same_account_is_locked_as_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As directories have it: `anna@site.example` is the account anna."""
    known = pwd.getpwuid(0)

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name.partition("@")[0] != "anna":
            raise KeyError(name)
        return pwd.struct_passwd(("anna", *known[1:]))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    locks, lockouts = UserLocks(store), Lockouts(store)
    for named in ("anna", "anna@site.example"):
        lockouts.lock(named, "root")
        assert locks.find("anna")
        assert locks.find("anna@site.example")
        assert not locks.find("bert@site.example")
        assert lockouts.lift("anna")


def test_all_that_lets_a_user_in_goes_in_one_go_and_nothing_of_others(store: Store) -> None:
    authids, sessions = Authids(store), PortalSessions(store)
    desktops, keys = RemoteDesktops(store), AutologinKeys(store)
    now = time.time()
    kept: dict[str, tuple[str, str, str, str]] = {}
    for user in ("Anna", "anna", "bert"):
        authid = authids.issue(user, "realm", HOME, 3600)
        cookie = sessions.open(user, "inifile", HOME, 3600, Vouched("password"))
        slot = desktops.reserve(f"Terminal of {user}", 1, user, {}, HOME)
        assert slot is not None
        desktops.begin_start(slot.id, "here")
        kept[user] = authid, cookie, desktops.token(slot, user, HOME), desktops.share(slot)
    keys.record([stored("anna", now + 100), stored("bert", now + 100)])
    keys.record([stored("shared", now + 100)], "Anna")
    assert Lockouts(store).lock("anna", "root") == TakenAway(2, 2, 2, 2, 2, 2)
    assert {key.user for key in keys.all() if key.due <= time.time()} == {"anna", "shared"}
    for user, (authid, cookie, token, link) in kept.items():
        open_to = user == "bert"
        assert (authids.look_up(authid, user, "realm", HOME, now, 3600) is not None) is open_to
        assert (sessions.find(cookie, 600) is not None) is open_to
        assert (desktops.shared(link) is not None) is open_to
        assert (desktops.redeem(token, HOME) is not None) is open_to
    assert {slot.wanted for slot in desktops.of_user("anna") + desktops.of_user("Anna")} == {"cut"}
    assert {slot.wanted for slot in desktops.of_user("bert")} == {""}
    Lockouts(store).lock("anna", "root", stop=True)
    assert {slot.wanted for slot in desktops.of_user("anna")} == {"locked"}


def test_what_was_got_while_the_lock_came_counts_neither_during_it_nor_after(store: Store) -> None:
    sessions, desktops = PortalSessions(store), RemoteDesktops(store)
    lockouts = Lockouts(store)
    lockouts.lock("anna", "root")
    cookie = sessions.open("anna", "inifile", HOME, 3600, Vouched("password"))  # by a request that was under way
    slot = desktops.reserve("Terminal", 1, "anna", {}, HOME)
    assert slot is not None
    token, link = desktops.token(slot, "anna", HOME), desktops.share(slot)
    assert sessions.find(cookie, 600) is None
    assert desktops.shared(link) is None
    assert desktops.redeem(token, HOME) is None
    assert desktops.locked(["anna", "bert"]) == {"anna"}
    assert lockouts.lift("anna")
    assert sessions.find(cookie, 600) is None
    assert desktops.shared(link) is None


def test_an_owner_of_keys_is_forgotten_with_the_last_of_them(store: Store) -> None:
    keys = AutologinKeys(store)
    keys.record([stored("shared", 1.0)], "anna")
    (claimed,) = keys.claim_due(NOW, 10, 60)
    keys.done([replace(claimed, lease="of somebody else")])
    with store.begin() as connection:
        assert connection.exec_driver_sql("select count(*) from autologin_key_owners").scalar() == 1
    keys.done([claimed])
    with store.begin() as connection:
        assert connection.exec_driver_sql("select count(*) from autologin_key_owners").scalar() == 0


def test_locks_and_logins_at_the_same_time_leave_nothing_open(store: Store) -> None:
    sessions, lockouts = PortalSessions(store), Lockouts(store)
    cookies: list[str] = []
    stop = threading.Event()

    def sign_in() -> None:
        while not stop.is_set():
            cookies.append(sessions.open("anna", "inifile", HOME, 3600, None))

    threads = [threading.Thread(target=sign_in) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    lockouts.lock("anna", "root")
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert cookies
    assert all(sessions.find(cookie, 600) is None for cookie in cookies[:10] + cookies[-20:])
