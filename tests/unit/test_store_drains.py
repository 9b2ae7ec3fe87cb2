"""Drained servers in the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from x2gobroker.store import Drains, Store


@pytest.fixture
def drains(tmp_path: Path) -> Iterator[Drains]:
    """The drained servers of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Drains(store)
    store.close()


def test_a_server_is_drained_until_that_ends(drains: Drains) -> None:
    drains.start("ts01", "root", "new kernel")
    drains.start("ts00", "root")
    first, second = drains.all()
    assert (first.name, first.reason) == ("ts00", "")
    assert (second.name, second.by, second.reason) == ("ts01", "root", "new kernel")
    assert abs(second.since - time.time()) < 60
    assert drains.end("ts01")
    assert [drain.name for drain in drains.all()] == ["ts00"]
    assert not drains.end("ts01")


def test_draining_again_changes_the_reason(drains: Drains) -> None:
    drains.start("TS01 ", "root", "new kernel")
    drains.start("ts01", "anna", "new disk")
    assert [(drain.name, drain.by, drain.reason) for drain in drains.all()] == [("ts01", "anna", "new disk")]
    assert drains.end(" Ts01")


def test_many_at_once_do_no_harm(drains: Drains) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: drains.start("ts01", "root", str(number)), range(40)))
    assert [drain.name for drain in drains.all()] == ["ts01"]
