"""What waits for the store: what a question has found, and what a watch has told, of the same server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.unit.fake_watch import KEY, REPORT, TS01
from x2gobroker.agents.reports import WatchStream
from x2gobroker.errors import StoreError
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.loadchecker.outbox import Outbox
from x2gobroker.loadchecker.picture import Picture
from x2gobroker.model.load import LoadReport
from x2gobroker.store import Store
from x2gobroker.store.loads import Loads, ServerLoad

NOW = time.time()
DEAD = ServerLoad(KEY, "ts01", "timeout", None, NOW, 0.0, 5.0)
GOOD = ServerLoad(KEY, "ts01", "ok", LoadReport(777, 16000, 4, 2500, 3), NOW, NOW, 0.1)


class Post:
    """An outbox, and a store that may fail."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(URL.create("sqlite", database=str(folder / "state" / "store.sqlite")))
        self.broken = False
        self.astray: frozenset[str] = frozenset()
        self.inventory = Inventory(self.store)
        self.outbox = Outbox(self.keep, self.note)

    def keep(self) -> Loads:
        if self.broken:
            raise StoreError("it is full")
        return Loads(self.store)

    def note(self, news: list[News]) -> frozenset[str]:
        return self.inventory.take(news) | self.astray

    def written(self) -> ServerLoad:
        self.outbox.write()
        return Loads(self.store).of([KEY])[KEY]


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """An outbox with nothing in it."""
    monkeypatch.setattr("x2gobroker.loadchecker.outbox.RETRY_SECONDS", 0.0)
    made = Post(tmp_path)
    yield made
    made.store.close()


def picture(now: float) -> Picture:
    """A watch that has told a whole report."""
    made = Picture(TS01.endpoint, now)
    tell(made, now)
    return made


def tell(told: Picture, now: float) -> None:
    for event in WatchStream().feed(REPORT, now):
        told.take(event, (TS01.endpoint,), now)


@pytest.mark.parametrize("later", [-30.0, 0.1])
def test_a_failure_is_not_hidden_by_what_a_watch_had_told(post: Post, later: float) -> None:
    """Nor by what it tells before the batch is written: who takes no connections is down whatever the watch says."""
    post.outbox.stir(picture(NOW + later), 0.1)
    post.outbox.put(DEAD, None)
    assert post.written().state == "timeout"


def test_a_server_that_dies_while_the_store_fails_is_down_when_it_works_again(post: Post) -> None:
    post.broken = True
    post.outbox.stir(picture(NOW - 30), 0.1)
    post.outbox.write()
    post.outbox.put(DEAD, None)
    post.outbox.write()
    post.broken = False
    assert post.written() == DEAD
    assert not post.outbox


def test_a_picture_that_is_told_anew_does_not_hide_a_failure(post: Post) -> None:
    told = picture(NOW - 30)
    post.astray = frozenset([KEY])
    post.outbox.stir(told, 0.1)
    post.outbox.put(DEAD, None)
    assert post.written().state == "timeout"
    tell(told, NOW + 1)
    assert post.written().state == "timeout"


@pytest.mark.parametrize(("later", "load"), [(-1.0, 777), (1.0, 100)])
def test_of_two_loads_the_later_one_counts(post: Post, later: float, load: int) -> None:
    post.outbox.put(GOOD, None)
    post.outbox.stir(picture(NOW + later), 0.1)
    report = post.written().report
    assert report is not None
    assert report.load == load


def test_a_server_that_is_back_is_up_whatever_was_found_before(post: Post) -> None:
    post.broken = True
    post.outbox.put(DEAD, None)
    post.outbox.write()
    post.broken = False
    post.outbox.put(replace(GOOD, asked=NOW + 1, answered=NOW + 1), None)
    post.outbox.stir(picture(NOW + 2), 0.1)
    assert post.written().state == "ok"
