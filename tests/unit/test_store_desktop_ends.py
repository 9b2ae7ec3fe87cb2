"""How desktops have ended: kept for a day, in nobody's way, and found by their users in every spelling of a name."""

from __future__ import annotations

import pwd
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from tests.support.remote_folders import store_in
from x2gobroker.store import DesktopEnds, DesktopOrders, RemoteDesktops, Slot, Store, Why
from x2gobroker.store.desktop_ends import ENDS_SECONDS
from x2gobroker.store.remote_desktops import BROKEN, FAILED, RUNNING, STOPPING
from x2gobroker.store.remote_tables import REMOTE_ENDS
from x2gobroker.store.spellings import same_account

HOME = "192.0.2.1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with store_in(tmp_path) as made:
        yield made


def running(store: Store, user: str = "anna", per_user: int = 1, count: int = 1) -> Slot:
    """A desktop that runs."""
    desktops = RemoteDesktops(store)
    slot = desktops.reserve("KDE", count, user, {}, HOME, per_user=per_user)
    assert slot is not None
    desktops.begin_start(slot.id, "here")
    desktops.change(slot.id, RUNNING, started=slot.reserved)
    return slot


def test_an_end_is_kept_with_why_and_when_and_takes_no_place(store: Store) -> None:
    desktops, ends, slot, now = RemoteDesktops(store), DesktopEnds(store), running(store), time.time()
    assert ends.find(slot.id) is None
    desktops.release(slot.id, why=Why.IDLE, seconds=14400.0, now=now)
    assert (desktops.find(slot.id), desktops.free("KDE", 1), desktops.of_user("anna")) == (None, 1, [])
    (end,) = ends.of_user("anna")
    assert end == ends.find(slot.id)
    assert (end.id, end.type, end.ordinal, end.username, end.started) == (slot.id, "KDE", 1, "anna", slot.reserved)
    assert (end.why, end.ended, end.seconds, end.note) == (Why.IDLE, now, 14400.0, "")
    running(store, "bert")  # in the only place that there is
    assert ends.of_user("anna") == [end]
    assert ends.of_user("bert") == []
    desktops.sweep(now + ENDS_SECONDS - 1)
    assert ends.of_user("anna", now + ENDS_SECONDS - 1) == [end]
    assert ends.of_user("anna", now + ENDS_SECONDS + 1) == []
    desktops.sweep(now + ENDS_SECONDS + 1)
    assert ends.find(slot.id) is None


def test_each_desktop_of_a_user_has_one_end_and_the_last_one_counts(store: Store) -> None:
    desktops, ends = RemoteDesktops(store), DesktopEnds(store)
    first, second = (running(store, per_user=2, count=2) for _ in range(2))
    desktops.release(first.id, why=Why.STOP, now=100.0)
    desktops.release(second.id, why=Why.GRACE, now=200.0)
    found = ends.of_user("anna", 200.0)
    assert [(end.ordinal, end.why) for end in found] == [(2, Why.GRACE), (1, Why.STOP)]
    third = running(store, per_user=2, count=2)
    desktops.release(third.id, why=Why.SESSION, now=300.0)
    found = ends.of_user("anna", 300.0)
    assert [(end.id, end.ordinal, end.why) for end in found] == [
        (third.id, 1, Why.SESSION),
        (second.id, 2, Why.GRACE),
    ]


def test_what_could_not_be_started_never_ran(store: Store) -> None:
    desktops, ends = RemoteDesktops(store), DesktopEnds(store)
    slot = desktops.reserve("KDE", 1, "anna", {}, HOME)
    assert slot is not None
    desktops.begin_start(slot.id, "here")
    desktops.release(slot.id, "it did not come up " + "x" * 500, Why.FAILED)
    end = ends.find(slot.id)
    assert end is not None
    assert (end.never_ran, len(end.note)) == (True, 200)
    found = desktops.find(slot.id)
    assert found is not None
    assert found.state == FAILED
    desktops.release(slot.id, why=Why.STOP)  # its row is gone for good, and was no desktop any more
    assert ends.find(slot.id) == end
    ran = running(store)
    desktops.release(ran.id, "it used more memory than it may", Why.MEMORY)
    end = ends.find(ran.id)
    assert end is not None
    assert not end.never_ran


def test_a_place_that_an_administrator_frees_has_an_end_too(store: Store) -> None:
    desktops, slot = RemoteDesktops(store), running(store)
    desktops.change(slot.id, BROKEN, ends=None, ends_why="")
    found = desktops.find(slot.id)
    assert found is not None
    assert DesktopOrders(store).free(found, "root")
    assert [end.why for end in DesktopEnds(store).of_user("anna")] == [Why.ADMINISTRATOR]


def test_a_row_says_why_its_desktop_is_being_stopped(store: Store) -> None:
    desktops, slot = RemoteDesktops(store), running(store)

    def why() -> Why | None:
        found = desktops.find(slot.id)
        assert found is not None
        return found.stopped_why

    desktops.change(slot.id, ends=time.time() + 60, ends_why="grace")
    assert why() is None
    desktops.change(slot.id, STOPPING)  # by a service of before, which leaves there what would have been
    assert why() is None
    desktops.change(slot.id, STOPPING, ends=None, ends_why="idle")
    assert why() is Why.IDLE
    desktops.change(slot.id, BROKEN)
    assert why() is Why.IDLE


def test_a_word_of_another_release_is_none_of_ours(store: Store) -> None:
    row = {"id": "x", "type": "KDE", "ordinal": 1, "username": "anna", "ended": time.time(), "why": "moon", "note": ""}
    with store.begin() as connection:
        connection.execute(insert(REMOTE_ENDS), row)
    assert [end.why for end in DesktopEnds(store).of_user("anna")] == [Why.UNKNOWN]


def test_an_end_is_its_users_in_every_spelling(store: Store) -> None:
    RemoteDesktops(store).release(running(store, "anna").id, why=Why.IDLE)
    ends = DesktopEnds(store)
    assert len(ends.of_user("Anna")) == len(ends.of_user("ＡＮＮＡ")) == 1
    assert ends.of_user("anna2") == []
    assert ends.of_user("Anna")[0].is_of(" ANNA ")


def test_two_accounts_of_this_system_are_two_however_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"anna": 1000, "Anna": 1001, "bert": 1002, "Bert": 1002, "carl": 1003}

    def look_up(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=numbers[name])

    monkeypatch.setattr(pwd, "getpwnam", look_up)
    assert not same_account("anna", "Anna")
    assert same_account("anna", "anna")
    assert same_account("bert", "Bert")
    assert same_account("carl", "CARL"), "a directory knows it by both, and this system by one"
    assert same_account("dora", "Dora")
    assert not same_account("anna", "bert")
