"""Places of desktops in PostgreSQL: two broker hosts give no user more of a type than there may be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import two_stores
from tests.support.several_desktops import rush
from x2gobroker.store import DesktopEnds, RemoteDesktops, Store, Why


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have."""
    with two_stores() as made:
        yield made


@pytest.mark.parametrize("count", [20, 5])
def test_nobody_gets_more_than_there_may_be(two: tuple[Store, Store], count: int) -> None:
    found = rush(two, count, 3, "anna", "bert")
    owners = [slot.username for slot in found]
    assert len(found) == min(6, count)
    assert max(owners.count(user) for user in ("anna", "bert")) == 3
    for user in ("anna", "bert"):
        assert sorted(slot.ordinal for slot in found if slot.username == user) == list(range(1, owners.count(user) + 1))
    for slot in found:
        RemoteDesktops(two[1]).release(slot.id)


def test_how_a_desktop_has_ended_is_kept_in_nobodys_way(two: tuple[Store, Store]) -> None:
    """Twice: the second end takes the place of the first."""
    here, there = RemoteDesktops(two[0]), RemoteDesktops(two[1])
    for why, note in ((Why.IDLE, ""), (Why.MEMORY, "it used more memory than it may")):
        slot = here.reserve("Ends", 1, "Anna", {}, "")
        assert slot is not None
        there.begin_start(slot.id, "there")
        there.change(slot.id, "stopping", ends=None, ends_why=why.value)
        there.release(slot.id, note, why, 14400.0)
        assert here.free("Ends", 1) == 1
        (end,) = [one for one in DesktopEnds(two[0]).of_user("anna") if one.type == "Ends"]
        assert (end.id, end.why, end.seconds, end.note) == (slot.id, why, 14400.0, note)
