"""Orders for desktops in PostgreSQL: whoever closes at one broker host, nobody gets a place at the other afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.postgresql import two_stores
from x2gobroker.store import DesktopOrders, DesktopsClosedError, RemoteDesktops, Store
from x2gobroker.store.remote_desktops import BROKEN


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have."""
    with two_stores() as made:
        yield made


def test_no_place_is_given_after_the_closing(two: tuple[Store, Store]) -> None:
    for turn in range(10):
        gate = threading.Barrier(5)

        def ask(number: int, turn: int = turn, gate: threading.Barrier = gate) -> None:
            gate.wait(10)
            if number == 0:
                DesktopOrders(two[0]).close("root", f"turn {turn}")
                return
            for name in range(30):
                try:
                    RemoteDesktops(two[number % 2]).reserve("KDE", 1000, f"user{number}-{name}", {}, "")
                except DesktopsClosedError as error:
                    assert error.closing.reason == f"turn {turn}"
                    return

        with ThreadPoolExecutor(5) as pool:
            list(pool.map(ask, range(5)))
        assert RemoteDesktops(two[1]).everything() == []
        assert DesktopOrders(two[1]).open()


def test_of_two_who_free_a_place_or_stop_its_desktop_once_more_one_is_right(two: tuple[Store, Store]) -> None:
    desktops = RemoteDesktops(two[0])
    for _turn in range(10):
        slot = desktops.reserve("KDE", 1, "anna", {}, "")
        assert slot is not None
        desktops.begin_start(slot.id, "here")
        desktops.change(slot.id, BROKEN)
        broken = desktops.find(slot.id)
        assert broken is not None
        acts = (
            lambda broken=broken: DesktopOrders(two[0]).free(broken, "root"),
            lambda broken=broken: DesktopOrders(two[1]).free(broken, "eva"),
            lambda broken=broken: DesktopOrders(two[1]).stop_again(broken.id),
        )
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda act: act(), acts))
        assert sum(answers) == 1, answers
        desktops.release(slot.id)
