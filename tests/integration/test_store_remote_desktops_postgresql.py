"""Places of desktops in PostgreSQL: two broker hosts give no user more of a type than there may be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import two_stores
from tests.support.several_desktops import rush
from x2gobroker.store import RemoteDesktops, Store


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
