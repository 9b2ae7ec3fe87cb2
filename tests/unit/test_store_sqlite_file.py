"""The file of SQLite: brokers that begin with it at once, and commits that are there for everybody."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.engine import URL

import x2gobroker.store
from x2gobroker.errors import StoreError
from x2gobroker.store import sqlite_file
from x2gobroker.store.database import FILE_NAME, Store
from x2gobroker.store.probe import probe
from x2gobroker.store.tables import AUTHIDS

DEADLINE = 30.0
LISTING = """import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("select digest from authids").fetchall())
"""


def opened(path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(path)))


def add(store: Store, digest: bytes) -> None:
    row = {"digest": digest, "username": "u", "realm": "r", "address": "a", "login_time": 1.0, "expires": 2.0}
    with store.begin() as connection:
        connection.execute(insert(AUTHIDS), row)


def seen_by_another_process(path: Path) -> str:
    """What a command of the administrator sees: it opens the file, and closes it again."""
    run = subprocess.run([sys.executable, "-c", LISTING, path], capture_output=True, text=True, timeout=DEADLINE)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_brokers_that_start_at_once_on_an_empty_folder_all_work(tmp_path: Path) -> None:
    failed: list[str] = []

    def start(store: Store, number: int, together: threading.Barrier) -> None:
        together.wait(DEADLINE)
        try:
            add(store, bytes([number]))
        except StoreError as error:
            failed.append(str(error))

    for attempt in range(60):  # of these, two or three failed
        stores = [opened(tmp_path / f"{attempt}.sqlite") for _ in range(8)]
        together = threading.Barrier(len(stores))
        threads = [threading.Thread(target=start, args=(s, n, together)) for n, s in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        for store in stores:
            store.close()
    assert failed == []


def test_a_store_opened_twice_in_one_process_loses_no_commit(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    first, second = opened(path), opened(path)
    add(first, b"1")
    add(second, b"2")
    assert seen_by_another_process(path) == "[(b'1',), (b'2',)]"
    add(first, b"3")
    assert seen_by_another_process(path) == "[(b'1',), (b'2',), (b'3',)]"


def test_a_broker_that_was_asked_for_its_health_loses_no_commit(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    store = opened(path)
    add(store, b"1")
    probe(store)
    assert seen_by_another_process(path) == "[(b'1',)]"
    add(store, b"2")
    assert seen_by_another_process(path) == "[(b'1',), (b'2',)]"


def test_a_file_that_is_there_is_never_opened_by_the_broker_itself() -> None:
    """To close it ends SQLite's locks. Only what makes the file new may open it: with O_EXCL."""
    openers = []
    for source in Path(x2gobroker.store.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.open", "open", "io.open"):
                openers.append((source.name, "O_EXCL" in ast.unparse(node) or "O_DIRECTORY" in ast.unparse(node)))
    assert openers == [("sqlite_file.py", True)] * 2


def test_a_process_that_makes_the_file_for_too_long_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.2)
    store = opened(tmp_path / FILE_NAME)
    with sqlite_file.turn(tmp_path / FILE_NAME), pytest.raises(StoreError, match="another process"):
        add(store, b"1")
    add(store, b"1")
    with store.begin() as connection:
        assert connection.execute(select(AUTHIDS.c.digest)).scalars().all() == [b"1"]
