"""The state store: where it is, who may read it, what is said when it fails."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.engine import URL

from tests.unit.properties import SOME
from x2gobroker.errors import StoreError
from x2gobroker.settings import Settings
from x2gobroker.store.database import FILE_NAME, Store, database_url
from x2gobroker.store.tables import METADATA

SECRET = "s3cret-0f-mine"
CHILD_DEADLINE = 20.0


def sqlite(path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(path)))


def url_of(database: str) -> URL:
    return database_url(Settings({("global", "database-url"): database}))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def row(digest: bytes) -> dict[str, object]:
    return {"digest": digest, "username": "u", "realm": "r", "address": "a", "login_time": 1.0, "expires": 2.0}


def add(store: Store, digest: bytes) -> None:
    with store.begin() as connection:
        connection.execute(insert(METADATA.tables["authids"]), row(digest))


def digests(store: Store) -> set[bytes]:
    with store.begin() as connection:
        return set(connection.execute(select(METADATA.tables["authids"].c.digest)).scalars())


def test_without_a_url_the_store_is_a_file_in_the_cookie_directory(tmp_path: Path) -> None:
    url = database_url(Settings({("global", "cookie-directory"): str(tmp_path)}))
    assert url.drivername == "sqlite"
    assert url.database == str(tmp_path / FILE_NAME)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgresql_gets_the_driver_that_is_packaged(scheme: str) -> None:
    assert url_of(f" {scheme}://u:p@h/d ").drivername == "postgresql+psycopg"


@SOME
@given(st.one_of(st.text(), st.text("postgreql:/@?&=[]0x%").map("postgresql://".__add__)))
@example("postgresql://u:p@h:port/d")
@example("nonsense")
@example("://")
@example("sqlite:///x?a")
def test_no_text_of_database_url_raises_anything_but_store_error(database: str) -> None:
    try:
        url_of(database)
    except StoreError as error:
        assert "database-url" in str(error)


@pytest.mark.parametrize(
    "database",
    [
        f"nonsense {SECRET}",
        f"postgresql:/u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@127.0.0.1:1/d",
        f"nosuch://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h:port/d",
    ],
)
def test_a_password_in_the_url_is_never_repeated(database: str) -> None:
    with pytest.raises(StoreError) as caught, Store(url_of(database)).begin():
        pass
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_database_that_nobody_answers_for_is_a_store_error_that_says_where() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/d"), Store(url_of("postgresql://u:p@127.0.0.1:1/d")).begin():
        pass


def test_a_dialect_without_a_driver_says_what_to_install() -> None:
    with pytest.raises(StoreError, match="pip install"), Store(url_of("nosuch://h/d")).begin():
        pass


def test_folder_and_files_are_the_brokers_own_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "new" / "state" / FILE_NAME
        store = sqlite(path)
        add(store, b"1")
        assert mode(path.parent) == 0o700
        found = {file.name: mode(file) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert found
    assert set(found.values()) == {0o600}


def test_writers_do_not_lock_out_readers(tmp_path: Path) -> None:
    store, other = sqlite(tmp_path / FILE_NAME), sqlite(tmp_path / FILE_NAME)
    add(store, b"1")
    with store.begin() as connection:
        connection.execute(insert(METADATA.tables["authids"]), row(b"2"))
        assert digests(other) == {b"1"}
    assert digests(other) == {b"1", b"2"}


def test_a_failure_inside_a_block_leaves_nothing_behind(tmp_path: Path) -> None:
    store = sqlite(tmp_path / FILE_NAME)
    with pytest.raises(KeyError), store.begin() as connection:
        connection.execute(insert(METADATA.tables["authids"]), row(b"1"))
        raise KeyError
    assert digests(store) == set()


def test_errors_of_the_driver_come_without_statements_and_values(tmp_path: Path) -> None:
    store = sqlite(tmp_path / FILE_NAME)
    add(store, b"1")
    with pytest.raises(StoreError) as caught:
        add(store, b"1")
    assert "INSERT" not in str(caught.value)
    assert str(tmp_path / FILE_NAME) in str(caught.value)


def test_what_was_written_is_there_after_closing(tmp_path: Path) -> None:
    store = sqlite(tmp_path / FILE_NAME)
    add(store, b"1")
    store.close()
    store.close()
    assert digests(store) == {b"1"}
    assert digests(sqlite(tmp_path / FILE_NAME)) == {b"1"}


def test_a_file_in_place_of_the_folder_is_a_store_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    with pytest.raises(StoreError, match="cookie-directory"), sqlite(tmp_path / "state" / FILE_NAME).begin():
        pass


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / FILE_NAME).symlink_to(elsewhere)
    with pytest.raises(StoreError), sqlite(tmp_path / FILE_NAME).begin():
        pass
    assert not elsewhere.exists()


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all, whatever its name" * 40)
    with pytest.raises(StoreError, match="not a database"), sqlite(tmp_path / FILE_NAME).begin():
        pass


def test_an_option_of_the_url_that_the_driver_does_not_know_is_a_store_error() -> None:
    with pytest.raises(StoreError), Store(url_of("postgresql://u:p@127.0.0.1:1/d?nonsense=1")).begin():
        pass


def test_a_forked_process_opens_its_own_connection(tmp_path: Path) -> None:
    store = sqlite(tmp_path / FILE_NAME)
    add(store, b"1")
    engine = store._opened()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            add(store, b"2")
            status = 0 if digests(store) == {b"1", b"2"} and store._opened() is not engine else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    add(store, b"3")
    assert digests(store) == {b"1", b"2", b"3"}
    assert store._opened() is engine


def test_many_threads_at_once_open_one_store_and_lose_nothing(tmp_path: Path) -> None:
    store = sqlite(tmp_path / FILE_NAME)
    wanted = {bytes([number]) for number in range(8)}
    threads = [threading.Thread(target=add, args=(store, digest)) for digest in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CHILD_DEADLINE)
    assert digests(store) == wanted


def _start(path: Path, number: int, barrier: threading.Barrier, errors: list[StoreError]) -> None:
    store = sqlite(path)
    barrier.wait(CHILD_DEADLINE)
    try:
        add(store, bytes([number]))
    except StoreError as error:
        errors.append(error)


def test_stores_of_several_processes_that_start_at_once_on_a_new_file_all_work(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / str(attempt) / FILE_NAME
        barrier = threading.Barrier(6)
        errors: list[StoreError] = []
        threads = [threading.Thread(target=_start, args=(path, number, barrier, errors)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CHILD_DEADLINE)
        assert errors == []
        assert len(digests(sqlite(path))) == 6


def test_the_place_is_shown_without_a_password(tmp_path: Path) -> None:
    assert sqlite(tmp_path / FILE_NAME).place == str(tmp_path / FILE_NAME)
    place = Store(url_of(f"postgresql://u:{SECRET}@h/d")).place
    assert "h/d" in place
    assert SECRET not in place
