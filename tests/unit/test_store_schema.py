"""The schema of the store: brought up from every release, refused when it is too new, and nothing of it lost."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL

from tests.support.released_stores import fill, releases, rows
from x2gobroker.errors import StoreError
from x2gobroker.store import Enrolments, Lockouts, Store, schema
from x2gobroker.store.database import FILE_NAME
from x2gobroker.store.probe import probe
from x2gobroker.store.schema import STORE_SCHEMA, Step
from x2gobroker.store.tables import METADATA

DEADLINE = 30.0
CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"


def opened(folder: Path) -> Store:
    return Store(URL.create("sqlite", database=str(folder / FILE_NAME)))


def made_by(folder: Path, release: str) -> dict[str, list[dict[str, object]]]:
    engine = create_engine(URL.create("sqlite", database=str(folder / FILE_NAME)))
    with engine.begin() as connection:
        found = fill(connection, release)
    engine.dispose()
    return found


def number(store: Store) -> tuple[int, int]:
    with store.begin() as connection:
        row = connection.execute(STORE_SCHEMA.select()).one()
    return row.number, row.works_from


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE drains ADD COLUMN colour VARCHAR DEFAULT 'red'"))


def break_off(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE drains ADD COLUMN colour VARCHAR"))
    connection.execute(text("INSERT INTO nowhere VALUES (1)"))


def with_next(monkeypatch: pytest.MonkeyPatch, step: Step) -> None:
    """A program of the next release."""
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, step))


NEXT = schema.newest() + 1
COMPATIBLE = Step(NEXT, "colours", 1, add_colour)
BREAKING = Step(NEXT, "colours", NEXT, add_colour)


def test_steps_are_numbered_one_by_one_and_none_needs_what_comes_later() -> None:
    assert [step.number for step in schema.STEPS] == list(range(1, len(schema.STEPS) + 1))
    assert all(1 <= step.works_from <= step.number for step in schema.STEPS)


def test_a_new_store_has_the_newest_number(tmp_path: Path) -> None:
    assert number(opened(tmp_path)) == (schema.newest(), schema.STEPS[-1].works_from)


@pytest.mark.parametrize("release", releases())
def test_the_store_of_a_release_is_brought_up_and_keeps_its_rows(tmp_path: Path, release: str) -> None:
    before = made_by(tmp_path, release)
    store = opened(tmp_path)
    probe(store)
    assert number(store)[0] == schema.newest()
    with store.begin() as connection:
        after = rows(connection)
        for table in METADATA.sorted_tables:
            assert {column["name"] for column in inspect(connection).get_columns(table.name)} >= set(table.c.keys())
    (slot,) = before["remote_slots"]
    slot["password"] = None
    for name, found in before.items():
        for row in found:  # a step may have added columns
            assert any(row.items() <= now.items() for now in after[name]), (name, row)
    assert Enrolments(store).find("old-username") is not None
    Lockouts(store).lock("anna", "root", "", False, None, False)
    store.close()
    assert number(opened(tmp_path))[0] == schema.newest()


def test_every_release_that_the_changelog_has_is_tried() -> None:
    headings = re.findall(r"^## (\d\S*)", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert releases() == sorted(headings) != []


def test_a_later_step_is_made_once_and_rows_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    with store.begin() as connection:
        connection.execute(text("INSERT INTO drains (name, by, reason, since) VALUES ('ts01', 'root', '', 1)"))
    store.close()
    with_next(monkeypatch, COMPATIBLE)
    for _ in range(2):
        store = opened(tmp_path)
        assert number(store) == (NEXT, 1)
        with store.begin() as connection:
            assert connection.execute(text("SELECT colour FROM drains")).scalars().all() == ["red"]
        store.close()


def test_a_program_of_before_goes_on_with_a_store_that_it_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(tmp_path)
    with before.begin():
        pass
    with monkeypatch.context() as later:
        with_next(later, COMPATIBLE)
        assert number(opened(tmp_path)) == (NEXT, 1)
    for store in (before, opened(tmp_path)):
        Lockouts(store).lock("anna", "root", "", False, None, False)
        probe(store)
    assert number(before) == (NEXT, 1), "and takes nothing back"


def test_a_store_that_is_too_new_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        with_next(later, BREAKING)
        opened(tmp_path).begin().__enter__()
    for _ in range(2):
        with pytest.raises(StoreError, match=rf"schema {NEXT}.*schema {NEXT - 1}.*install that release"):
            opened(tmp_path).begin().__enter__()


def test_a_step_that_breaks_off_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened(tmp_path)
    assert number(before)[0] == NEXT - 1
    with monkeypatch.context() as later:
        with_next(later, Step(NEXT, "colours", 1, break_off))
        with pytest.raises(StoreError, match="nowhere"):
            opened(tmp_path).begin().__enter__()
    assert number(before)[0] == NEXT - 1
    with before.begin() as connection:
        assert "colour" not in {column["name"] for column in inspect(connection).get_columns("drains")}


def test_brokers_that_start_at_once_make_a_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def once(connection: Connection) -> None:
        add_colour(connection)
        made.append(1)

    for attempt in range(10):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        made_by(folder, "1.0.0a1")
        with monkeypatch.context() as later:
            with_next(later, Step(NEXT, "colours", 1, once))
            stores = [opened(folder) for _ in range(6)]
            threads = [threading.Thread(target=number, args=(store,)) for store in stores]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
        for store in stores:
            store.close()
    assert len(made) == 10


def test_a_store_that_was_left_half_made_is_finished(tmp_path: Path) -> None:
    made_by(tmp_path, "1.0.0a1")
    engine = create_engine(URL.create("sqlite", database=str(tmp_path / FILE_NAME)))
    with engine.begin() as connection:
        STORE_SCHEMA.create(connection)  # the process ended here
        connection.execute(text("DROP TABLE drains"))
    engine.dispose()
    store = opened(tmp_path)
    probe(store)
    assert number(store)[0] == schema.newest()
