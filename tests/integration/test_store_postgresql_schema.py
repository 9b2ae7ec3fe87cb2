"""The schema of a store on PostgreSQL, and backups that go from one database into the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.engine import URL, make_url

from tests.support.postgresql import PostgreSQL, postgresql_server
from tests.support.released_stores import fill, releases, rows
from x2gobroker.errors import StoreError
from x2gobroker.store import Enrolments, Store, schema
from x2gobroker.store.backup import backup, counts, restore
from x2gobroker.store.probe import probe
from x2gobroker.store.schema import STORE_SCHEMA, Step
from x2gobroker.store.tables import METADATA

NEXT = schema.newest() + 1
DEADLINE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A real PostgreSQL."""
    with postgresql_server() as made:
        yield made


@pytest.fixture
def url(server: PostgreSQL) -> Iterator[URL]:
    """Its database, with nothing in it."""
    made = make_url(server.url.replace("postgresql:", "postgresql+psycopg:"))
    engine = create_engine(made)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    yield made
    engine.dispose()


def of_release(url: URL, release: str) -> dict[str, list[dict[str, object]]]:
    engine = create_engine(url)
    with engine.begin() as connection:
        found = fill(connection, release)
    engine.dispose()
    return found


def number(store: Store) -> int:
    with store.begin() as connection:
        return int(connection.execute(select(STORE_SCHEMA.c.number)).scalar_one())


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE drains ADD COLUMN colour VARCHAR DEFAULT 'red'"))


@pytest.mark.parametrize("release", releases())
def test_the_store_of_a_release_is_brought_up_and_keeps_its_rows(url: URL, release: str) -> None:
    before = of_release(url, release)
    store = Store(url)
    probe(store)
    assert number(store) == schema.newest()
    with store.begin() as connection:
        after = rows(connection)
    (slot,) = before["remote_slots"]
    slot["password"] = None
    for name, found in before.items():
        for row in found:  # a step may have added columns
            assert any(row.items() <= now.items() for now in after[name]), (name, row)
    store.close()


def test_brokers_that_start_at_once_make_a_step_once(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    of_release(url, "1.0.0a1")
    made: list[int] = []
    failed: list[str] = []

    def once(connection: Connection) -> None:
        add_colour(connection)
        made.append(1)

    def start(store: Store) -> None:
        try:
            number(store)
        except StoreError as error:
            failed.append(str(error))

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, Step(NEXT, "colours", 1, once)))
    stores = [Store(url) for _ in range(8)]
    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    for store in stores:
        store.close()
    assert (made, failed) == ([1], [])


def test_a_step_that_breaks_off_leaves_everything_as_it_was(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Store(url)
    assert number(before) == NEXT - 1

    def break_off(connection: Connection) -> None:
        add_colour(connection)
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    with monkeypatch.context() as later:
        later.setattr(schema, "STEPS", (*schema.STEPS, Step(NEXT, "colours", 1, break_off)))
        other = Store(url)
        with pytest.raises(StoreError, match="nowhere"):
            number(other)
        other.close()
    assert number(before) == NEXT - 1
    with before.begin() as connection:
        columns = connection.execute(text("SELECT column_name FROM information_schema.columns"))
        assert "colour" not in set(columns.scalars())
    before.close()


def test_a_backup_goes_from_sqlite_to_postgresql_and_back(url: URL, tmp_path: Path) -> None:
    engine = create_engine(URL.create("sqlite", database=str(tmp_path / "one.sqlite")))
    with engine.begin() as connection:
        fill(connection, "1.0.0a1")
    engine.dispose()
    one = Store(URL.create("sqlite", database=str(tmp_path / "one.sqlite")))
    there = Store(url)
    restore(there, backup(one))
    assert counts(there) == counts(one)
    assert Enrolments(there).find("old-username") is not None
    table = METADATA.tables["reservations"]
    with there.begin() as connection:
        row = dict(connection.execute(select(table)).mappings().one())
        row.pop("id")
        connection.execute(insert(table), [row, row])
    back = Store(URL.create("sqlite", database=str(tmp_path / "back.sqlite")))
    restore(back, backup(there))
    with one.begin() as first, back.begin() as last:
        for name, table in METADATA.tables.items():
            if name not in ("reservations", "store_schema"):
                assert first.execute(select(table)).all() == last.execute(select(table)).all(), name
        assert last.execute(select(METADATA.tables["reservations"].c.id)).scalars().all() == [1, 2, 3]
    with pytest.raises(StoreError, match="--replace"):
        restore(there, backup(one))
    for store in (one, there, back):
        store.close()
