"""Sessions on X2Go Servers in the store: read by server, by account, all; written where they differ; swept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import URL

from tests.unit.inventory_values import NOW, name_of
from x2gobroker.errors import StoreError
from x2gobroker.model.inventory import KnownServer, KnownSession, View
from x2gobroker.store import ServerSessions, Store
from x2gobroker.store.backup import backup, restore
from x2gobroker.store.server_sessions import ASKED_SECONDS, KEEP_SECONDS

TS01 = KnownServer("10.0.0.1:22", "ts01", "watch", NOW - 3, NOW - 1, NOW - 3)
TS02 = KnownServer("10.0.0.2:22", "ts02", "report", NOW - 400, NOW - 700, NOW - 702, NOW - 400, "timeout")


def session(user: str = "anna", display: int = 50, **more: object) -> KnownSession:
    whole = KnownSession(
        user, name_of(user, display), "R", "S", NOW - 60, "event", NOW - 70, NOW - 50, "192.0.2.7", display,
        "inifile", "desk", 0.0,
    )  # fmt: skip
    return replace(whole, **more)  # type: ignore[arg-type]


def view(server: KnownServer, *sessions: KnownSession) -> View:
    return View(server, {one.key: one for one in sessions})


FARM = {
    TS01.key: view(TS01, session(), session("bert", 51), session("bert", 52)),
    TS02.key: view(TS02, session("bert", 50)),
}


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[ServerSessions]:
    """An empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield ServerSessions(store)
    store.close()


def write(sessions: ServerSessions, after: dict[str, View]) -> int:
    """Write it all in one transaction, whatever is there."""
    with sessions.store.begin() as connection:
        sessions.take_turn(connection, {key: known.server.name for key, known in after.items()})
        before = sessions.read(connection, list(after))
        return sessions.write(connection, before, after)


def test_what_was_written_is_read_by_server_by_account_and_all(sessions: ServerSessions) -> None:
    write(sessions, FARM)
    assert sessions.all() == FARM
    assert sessions.all(user="bert") == {
        TS01.key: view(TS01, session("bert", 51), session("bert", 52)), TS02.key: FARM[TS02.key],
    }  # fmt: skip
    assert sessions.all([TS02.key, "gone:22"]) == {TS02.key: FARM[TS02.key]}
    assert sessions.all([]) == {}
    assert sessions.of_user("anna") == {TS01.key: view(TS01, session())}
    assert sessions.of_user("anna", [TS01.key, TS02.key]) == {TS01.key: view(TS01, session()), TS02.key: view(TS02)}
    assert sessions.of_user("carl") == {}
    assert sessions.servers() == {TS01.key: TS01, TS02.key: TS02}


def test_only_what_differs_is_written_and_what_is_gone_is_deleted(sessions: ServerSessions) -> None:
    assert write(sessions, FARM) == 6
    assert write(sessions, FARM) == 0
    changed = view(TS01, session(state="S"), session("bert", 51))
    assert write(sessions, {TS01.key: changed}) == 2
    assert sessions.all() == {TS01.key: changed, TS02.key: FARM[TS02.key]}


def test_what_is_in_question_is_what_others_say_otherwise_than_the_server(sessions: ServerSessions) -> None:
    settled, waited = session(told="R"), session("bert", 51, state="E", told="")
    write(sessions, {TS01.key: view(TS01, settled, waited, session("carl", 52))})
    with sessions.store.begin() as connection:
        found = sessions.read(connection, [TS01.key], unsettled=True)
    assert found == {TS01.key: view(TS01, session("carl", 52))}


def test_many_servers_are_read_in_several_statements(sessions: ServerSessions) -> None:
    farm = {f"ts{number}:22": view(replace(TS01, key=f"ts{number}:22"), session()) for number in range(1201)}
    write(sessions, farm)
    assert sessions.all(list(farm)) == farm


def test_a_place_elsewhere_withdraws_what_is_waited_for(sessions: ServerSessions) -> None:
    waited = session(name="inifile/desk", state="E", told="", since=NOW - 5, until=NOW + 90)
    lab = replace(waited, name="inifile/lab")
    later = replace(waited, user="bert", since=NOW + 5)
    write(sessions, {TS01.key: view(TS01, waited, lab, session()), TS02.key: view(TS02, waited, later)})
    with sessions.store.begin() as connection:
        for user in ("anna", "bert"):
            sessions.withdraw(connection, user, "inifile/desk", NOW, TS01.key)
    assert sessions.all() == {TS01.key: view(TS01, waited, lab, session()), TS02.key: view(TS02, later)}


def test_what_is_past_is_swept_and_what_a_silent_server_has_is_not(sessions: ServerSessions) -> None:
    ancient = NOW - KEEP_SECONDS - 1
    told = session(told="R", last_seen=ancient)
    of_client = session("bert", 51, told="", last_seen=ancient)
    waited = session(name="inifile/desk", state="E", told="", until=NOW - 1)
    coming = session(name="inifile/lab", state="E", told="", until=NOW + 1)
    silent = replace(TS02, asked=NOW - 60, heard=NOW - 86400, known=NOW - 86400)
    lost = replace(TS02, key="lost:22", known=ancient, heard=ancient, asked=NOW - 60)
    gone = replace(TS02, key="gone:22", asked=NOW - ASKED_SECONDS - 1, heard=ancient, known=ancient)
    never = KnownServer("never:22", "never")
    write(
        sessions,
        {
            TS01.key: view(TS01, told, of_client, waited, coming),
            silent.key: view(silent, told, session(display=52)),
            lost.key: view(lost, told, session(display=52)),
            gone.key: view(gone, told),
            never.key: view(never, session()),
        },
    )
    assert sessions.sweep(NOW) == 5
    assert sessions.all() == {
        TS01.key: view(TS01, told, coming),
        silent.key: view(silent, told, session(display=52)),
        lost.key: view(lost, session(display=52)),
        never.key: view(never, session()),
    }
    assert sessions.sweep(NOW) == 0


def test_both_reads_have_an_index(sessions: ServerSessions) -> None:
    with sessions.store.begin() as connection:
        there = inspect(connection)
        (index,) = there.get_indexes("server_sessions")
        assert index["column_names"] == ["username"]
        assert there.get_pk_constraint("server_sessions")["constrained_columns"] == ["server", "username", "session"]


def test_a_store_that_fails_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = ServerSessions(Store(URL.create("sqlite", database=str(tmp_path / "file" / "store.sqlite"))))
    for use in (broken.all, lambda: broken.of_user("anna"), lambda: broken.sweep(NOW)):
        with pytest.raises(StoreError):
            use()


def test_a_backup_has_them_and_a_load_checker_that_writes_does_not_make_a_store_used(
    sessions: ServerSessions, tmp_path: Path
) -> None:
    write(sessions, FARM)
    other = ServerSessions(Store(URL.create("sqlite", database=str(tmp_path / "other.sqlite"))))
    write(other, {TS02.key: view(TS02, session("carl"))})
    done = restore(other.store, backup(sessions.store))
    assert (done["server_sessions"], done["servers_heard"]) == (4, 2)
    assert other.all() == FARM
    other.store.close()


def test_ten_thousand_sessions_are_written_and_read_quickly(sessions: ServerSessions) -> None:
    farm = {
        f"ts{server}:22": view(
            replace(TS01, key=f"ts{server}:22"), *(session(f"user{server}x{number}") for number in range(50))
        )
        for server in range(200)
    }
    began = time.process_time()
    assert write(sessions, farm) == 10_200
    assert sum(len(known.sessions) for known in sessions.all().values()) == 10_000
    assert time.process_time() - began < 10
    began = time.process_time()
    for number in range(100):
        assert len(sessions.of_user(f"user{number}x7")) == 1
    assert time.process_time() - began < 3
