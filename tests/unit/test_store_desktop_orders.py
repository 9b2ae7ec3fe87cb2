"""What administrators order for desktops in the browser: closed for new ones, places given back."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.store import Closing, DesktopOrders, DesktopsClosedError, RemoteDesktops, Slot, Store
from x2gobroker.store.backup import backup, restore
from x2gobroker.store.remote_desktops import BROKEN, FAILED, FAILED_SECONDS, RUNNING, STARTING, STOPPING

HOME = "192.0.2.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty store."""
    made = opened(path)
    yield made
    made.close()


def opened(path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(path)))


def reserved(store: Store, user: str = "anna", count: int = 3) -> Slot:
    slot = RemoteDesktops(store).reserve("KDE", count, user, {"size": "800x600"}, HOME)
    assert slot is not None
    return slot


def brought_to(store: Store, state: str, user: str = "anna") -> Slot:
    """A desktop in this state."""
    slot = reserved(store, user)
    RemoteDesktops(store).begin_start(slot.id, "here")
    RemoteDesktops(store).change(slot.id, state)
    return found(store, slot)


def found(store: Store, slot: Slot) -> Slot:
    now = RemoteDesktops(store).find(slot.id)
    assert now is not None
    return now


def test_nobody_gets_a_new_desktop_while_it_is_closed(store: Store) -> None:
    orders = DesktopOrders(store)
    assert orders.closing() is None
    assert orders.close("root", "new kernel", now=1.0) == 0
    assert orders.closing() == Closing("root", "new kernel", 1.0)
    with pytest.raises(DesktopsClosedError, match="closed by root: new kernel") as told:
        reserved(store)
    assert told.value.closing.reason == "new kernel"
    assert RemoteDesktops(store).everything() == []
    assert orders.close("anna", now=2.0) == 0
    assert orders.closing() == Closing("anna", "", 2.0)
    assert orders.open()
    assert not orders.open()
    assert reserved(store).state == "reserved"


def test_who_has_a_desktop_comes_back_to_it_and_unused_places_are_given_back(store: Store) -> None:
    desktops, orders = RemoteDesktops(store), DesktopOrders(store)
    mine, unused = brought_to(store, RUNNING), reserved(store, "bert")
    token = desktops.token(unused, "bert", HOME)
    own = desktops.token(mine, "anna", HOME)
    assert orders.close("root") == 1
    assert reserved(store).id == mine.id
    assert desktops.redeem(own, HOME) is not None
    assert desktops.redeem(token, HOME) is None
    assert not desktops.begin_start(unused.id, "here"), "no service may start it any more"
    with pytest.raises(DesktopsClosedError):
        reserved(store, "bert")


def test_a_desktop_of_another_type_is_a_new_one(store: Store) -> None:
    brought_to(store, RUNNING)
    DesktopOrders(store).close("root")
    with pytest.raises(DesktopsClosedError):
        RemoteDesktops(store).reserve("Xfce", 3, "anna", {}, HOME)


def test_no_place_is_given_after_the_closing_whoever_asks_at_the_same_moment(path: Path) -> None:
    """Those who were quicker have lost their places again; nobody gets one afterwards."""
    stores = [opened(path) for _ in range(4)]
    gate = threading.Barrier(4)

    def ask(number: int) -> None:
        gate.wait(10)
        if number == 0:
            DesktopOrders(stores[0]).close("root")
            return
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                RemoteDesktops(stores[number]).reserve("KDE", 100, f"user{number}-{secrets.token_hex(4)}", {}, HOME)
            except DesktopsClosedError:
                return
        pytest.fail("it was not closed")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert RemoteDesktops(stores[0]).everything() == []
    for store in stores:
        store.close()


def test_a_place_that_was_given_back_is_free_at_once_and_the_service_can_see_who_did_it(store: Store) -> None:
    desktops, orders = RemoteDesktops(store), DesktopOrders(store)
    slot = brought_to(store, BROKEN)
    desktops.change(slot.id, note="it cannot be stopped", connections=2)
    link = desktops.share(slot)
    slot = found(store, slot)
    assert desktops.free("KDE", 1) == 0
    assert orders.free(slot, "root", now=slot.since + 5)
    assert not orders.free(slot, "root"), "once"
    freed = found(store, slot)
    assert (freed.state, freed.wanted, freed.note, freed.connections) == (FAILED, "administrator root", "", 0)
    assert [one.id for one in desktops.everything("here")] == [slot.id]
    assert desktops.free("KDE", 1) == 1
    assert desktops.shared(link) is None
    assert desktops.shares([slot.id]) == {}
    desktops.sweep(freed.since + FAILED_SECONDS + 1)
    assert desktops.find(slot.id) is None


def test_the_next_one_has_the_place(store: Store) -> None:
    slot = brought_to(store, BROKEN)
    DesktopOrders(store).free(slot, "root")
    after = reserved(store, "bert")
    assert (after.number, after.id != slot.id) == (slot.number, True)


def test_what_has_changed_meanwhile_is_not_given_back(store: Store) -> None:
    slot = brought_to(store, BROKEN)
    RemoteDesktops(store).change(slot.id, STOPPING)
    assert not DesktopOrders(store).free(slot, "root")
    RemoteDesktops(store).change(slot.id, BROKEN, now=slot.since + 60)  # tried again, and in vain
    assert not DesktopOrders(store).free(slot, "root")
    assert found(store, slot).state == BROKEN


@pytest.mark.parametrize(
    ("state", "mine"), [(BROKEN, True), (STOPPING, True), (RUNNING, True), (STARTING, True), (FAILED, False)]
)
def test_a_service_stops_once_more_what_is_still_its_own(store: Store, state: str, mine: bool) -> None:
    """Whatever the row says: the store may have failed as the service wrote that it stops it."""
    slot = brought_to(store, state)
    assert DesktopOrders(store).stop_again(slot.id, now=slot.since + 60) is mine
    assert found(store, slot).state == (STOPPING if mine else state)


def test_of_a_place_that_was_given_back_nothing_is_stopped_any_more(store: Store) -> None:
    slot = brought_to(store, BROKEN)
    DesktopOrders(store).free(slot, "root")
    assert not DesktopOrders(store).stop_again(slot.id)
    reserved(store, "bert")
    assert not DesktopOrders(store).stop_again(slot.id)


def test_a_closing_is_in_a_backup(store: Store, tmp_path: Path) -> None:
    DesktopOrders(store).close("root", "moving house", now=1.0)
    other = opened(tmp_path / "other.sqlite")
    restore(other, backup(store))
    assert DesktopOrders(other).closing() == Closing("root", "moving house", 1.0)
    other.close()
