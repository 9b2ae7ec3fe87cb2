"""Backups of the store: whole and of one moment, restored into any store, and no other file is taken for one."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, create_engine, insert, select, text
from sqlalchemy.engine import URL

from tests.support.released_stores import fill, rows
from x2gobroker.errors import StoreError
from x2gobroker.store import Drains, Enrolments, LoadCheckers, Store, UserLocks, schema
from x2gobroker.store import backup as module
from x2gobroker.store.backup import MADE_ANEW, SIGN_INS, backup, counts, restore
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.probe import probe
from x2gobroker.store.schema import Step
from x2gobroker.store.tables import AUTHIDS, METADATA


def opened(path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(path)))


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A store with a row in every table of 1.0.0a1, and a locked user."""
    path = tmp_path / "full" / FILE_NAME
    path.parent.mkdir(mode=0o700)
    engine = create_engine(URL.create("sqlite", database=str(path)))
    with engine.begin() as connection:
        fill(connection, "1.0.0a1")
    engine.dispose()
    store = opened(path)
    with store.begin() as connection:
        connection.execute(text("INSERT INTO user_locks VALUES ('anna', 'anna', 'root', 'left', 1, 1.5, NULL)"))
    return store


def contents(store: Store) -> dict[str, list[dict[str, object]]]:
    with store.begin() as connection:
        found = rows(connection)
    for row in found["remote_slots"]:
        row.pop("password", None)  # of 1.0.0a1
    return {name: sorted(found[name], key=repr) for name in found}


def test_what_is_restored_elsewhere_is_what_was_there(full: Store, tmp_path: Path) -> None:
    data = backup(full)
    other = opened(tmp_path / "other" / FILE_NAME)
    done = restore(other, data)
    assert contents(other) == contents(full)
    assert done == counts(full)
    assert sum(done.values()) >= 14
    probe(other)
    assert UserLocks(other).find("anna") is not None


def test_rows_that_come_later_have_numbers_of_their_own(full: Store, tmp_path: Path) -> None:
    other = opened(tmp_path / "other" / FILE_NAME)
    restore(other, backup(full))
    table = METADATA.tables["reservations"]
    with other.begin() as connection:
        row = dict(connection.execute(select(table)).mappings().one())
        row.pop("id")
        connection.execute(insert(table), [row, row])
        assert len(set(connection.execute(select(table.c.id)).scalars())) == 3


def test_a_store_in_use_is_not_forgotten_by_chance(full: Store, tmp_path: Path) -> None:
    data = backup(full)
    Drains(full).start("ts09", "root", "")
    before = contents(full)
    with pytest.raises(StoreError, match="--replace"):
        restore(full, data)
    assert contents(full) == before
    restore(full, data, replace=True)
    assert [drain.name for drain in Drains(full).all()] == ["old-name"]


def test_what_services_write_by_themselves_is_no_use(full: Store, tmp_path: Path) -> None:
    """Also where a load checker was killed, and its row stays."""
    other = opened(tmp_path / "other" / FILE_NAME)
    LoadCheckers(other).beat("host:1:ab", "digest", time.time())
    restore(other, backup(full))
    assert contents(other) == contents(full)


@pytest.mark.parametrize("name", sorted(set(METADATA.tables) - MADE_ANEW))
def test_a_row_of_any_table_is_use(full: Store, tmp_path: Path, name: str) -> None:
    table = METADATA.tables[name]
    other = opened(tmp_path / "other" / FILE_NAME)
    with full.begin() as connection:
        row = connection.execute(select(table)).mappings().first()
    values = dict(row) if row else {column.name: made_up(column) for column in table.columns}
    with other.begin() as connection:
        connection.execute(insert(table), values)
    with pytest.raises(StoreError, match="--replace"):
        restore(other, backup(full))


def made_up(column: Column[Any]) -> object:
    """A value for a column."""
    return {bytes: b"x", bool: True, float: 1.5, int: 1}.get(column.type.python_type, "x")


def test_without_sign_ins_nobody_is_signed_in_and_the_rest_is_there(full: Store, tmp_path: Path) -> None:
    other = opened(tmp_path / "other" / FILE_NAME)
    restore(other, backup(full), sign_ins=False)
    found = counts(other)
    assert all(found[name] == 0 for name in SIGN_INS)
    assert Enrolments(other).find("old-username") is not None
    assert {name for name, count in counts(full).items() if count} - {n for n, c in found.items() if c} <= SIGN_INS


def test_a_backup_is_of_one_moment_while_logins_go_on(tmp_path: Path) -> None:
    """Each login writes an authid and a drain in one transaction: a backup has both or none."""
    store = opened(tmp_path / FILE_NAME)
    over = threading.Event()
    written = 0

    def log_in() -> None:
        nonlocal written
        while not over.is_set():
            row = {"username": "u", "realm": "r", "address": "a", "login_time": 1.0, "expires": 2.0}
            with store.begin() as connection:
                connection.execute(insert(AUTHIDS), {"digest": str(written).encode(), **row})
                drain = {"name": f"ts{written}", "by": "root", "reason": "", "since": 1.0}
                connection.execute(insert(METADATA.tables["drains"]), drain)
            written += 1

    thread = threading.Thread(target=log_in)
    thread.start()
    try:
        seen: list[int] = []
        end = time.monotonic() + 60
        while len(seen) < 20 and time.monotonic() < end:
            with closing(sqlite3.connect(":memory:")) as copy:
                copy.deserialize(backup(store))
                found = [copy.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("authids", "drains")]  # noqa: S608
            assert found[0] == found[1]
            seen.append(found[0])
    finally:
        over.set()
        thread.join(30)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0], "logins went on meanwhile"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda data: b"", "no backup"),
        (lambda data: b"no database at all, but long enough for one" * 100, "no backup|damaged"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:100] + b"\xff" * 4000 + data[4100:], "damaged"),
    ],
)
def test_what_is_no_backup_changes_nothing(full: Store, make: object, words: str) -> None:
    before = contents(full)
    with pytest.raises(StoreError, match=words):
        restore(full, make(backup(full)), replace=True)  # type: ignore[operator]
    assert contents(full) == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON drains BEGIN DELETE FROM totp; END",
        "CREATE TABLE more (a)",
        "PRAGMA application_id = 1",
    ],
)
def test_a_database_that_is_not_made_by_backup_is_refused(full: Store, statement: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.deserialize(backup(full))
        memory.execute(statement)
        data = memory.serialize()
    with pytest.raises(StoreError, match=r"damaged|no backup"):
        restore(full, data, replace=True)


@settings(max_examples=60)
@given(st.integers(0, 40_000), st.binary(min_size=1, max_size=40))
def test_bytes_that_differ_never_raise_anything_but_store_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, new: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    store = opened(folder / FILE_NAME)
    data = backup(store)
    damaged = data[:at] + new + data[at + len(new) :]
    with contextlib.closing(store):
        with contextlib.suppress(StoreError):
            restore(store, damaged, replace=True)
        probe(store)


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE drains ADD COLUMN colour VARCHAR DEFAULT 'red'"))


def test_backups_of_before_are_brought_up_and_later_ones_refused(
    full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = schema.newest() + 1
    before = backup(full)
    with monkeypatch.context() as later:
        later.setattr(schema, "STEPS", (*schema.STEPS, Step(number, "colours", number, add_colour)))
        next_release = opened(tmp_path / "next" / FILE_NAME)
        restore(next_release, before)
        with next_release.begin() as connection:
            assert connection.execute(text("SELECT name FROM drains")).scalars().all() == ["old-name"]
        after = backup(next_release)
    with pytest.raises(StoreError, match=rf"schema {number}.*install that release"):
        restore(full, after, replace=True)
    with pytest.raises(StoreError, match="later release"):
        backup(opened(tmp_path / "next" / FILE_NAME))


def test_every_table_is_in_a_backup_or_said_to_be_left_out() -> None:
    assert METADATA.tables.keys() >= SIGN_INS
    assert module.APPLICATION_ID < 1 << 31
