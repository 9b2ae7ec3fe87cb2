"""PostgreSQL that is frozen, gone, locked or asked by two at once: nobody waits long, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.support.our_broker import OurBroker
from tests.support.postgresql import PASSWORD, PostgreSQL, postgresql_server
from tests.unit.test_store_events import event
from x2gobroker.errors import StoreError
from x2gobroker.store import ClientEvents, Drains, Enrolments, Store
from x2gobroker.store.tables import METADATA

CONFIG = "[global]\ndefault-auth-mech = none\ncookie-directory = {state}\ndatabase-url = "
LOGIN = {"user": "anna", "password": "x", "task": "listsessions"}
LONGEST = 12.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A real PostgreSQL."""
    with postgresql_server() as made:
        yield made


def open_store(server: PostgreSQL) -> Store:
    """What one broker host has."""
    return Store(make_url(server.url.replace("postgresql:", "postgresql+psycopg:")))


@pytest.fixture
def two(server: PostgreSQL) -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have."""
    made = open_store(server), open_store(server)
    yield made
    for store in made:
        store.close()


@pytest.fixture
def broker(server: PostgreSQL) -> Iterator[OurBroker]:
    """A broker with one worker process, whose store this is, and one login behind it."""
    with OurBroker(CONFIG + server.url + "\n", "[desk]\nhost = desk.example\n") as running:
        assert log_in(running) == 200
        yield running


def log_in(broker: OurBroker) -> int:
    """The status of one login."""
    return requests.post(f"{broker.url}/json/", data=LOGIN, timeout=60).status_code


def timed(broker: OurBroker) -> tuple[int, float]:
    """Status and seconds of one login."""
    began = time.monotonic()
    return log_in(broker), time.monotonic() - began


def comes_back(broker: OurBroker) -> bool:
    """Whether logins are granted again, within a few seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if log_in(broker) == 200:
            return True
        time.sleep(0.3)
    return False


def test_a_frozen_database_costs_a_login_a_few_seconds_and_the_next_ones_nothing(
    server: PostgreSQL, broker: OurBroker
) -> None:
    with server.frozen():
        with ThreadPoolExecutor(60) as pool:
            found = list(pool.map(lambda _: timed(broker), range(60)))
        assert {status for status, _ in found} == {503}
        assert max(seconds for _, seconds in found) < LONGEST
        time.sleep(3)
        # of those that come later, one asks; nobody else waits for it
        with ThreadPoolExecutor(20) as pool:
            later = sorted(seconds for _, seconds in pool.map(lambda _: timed(broker), range(20)))
        assert later[17] < 1.5
        began = time.monotonic()
        assert requests.get(f"{broker.url}/health", timeout=10).status_code == 200
        assert time.monotonic() - began < 1.0
    assert comes_back(broker)
    assert PASSWORD not in broker.log()


def test_a_database_that_freezes_while_connections_are_idle(server: PostgreSQL, broker: OurBroker) -> None:
    time.sleep(1.5)
    with server.frozen():
        status, seconds = timed(broker)
        assert status == 503
        assert seconds < LONGEST
    assert comes_back(broker)


def test_a_database_that_is_gone_is_a_503_at_once(server: PostgreSQL, broker: OurBroker) -> None:
    with server.stopped():
        for _ in range(5):
            status, seconds = timed(broker)
            assert (status, seconds < 1.5) == (503, True)
    assert comes_back(broker)
    assert PASSWORD not in broker.log()


def test_a_host_that_hangs_with_a_lock_holds_up_nobody_for_long(two: tuple[Store, Store]) -> None:
    """As a broker whose host stops in the midst of a transaction: the server ends it."""
    hanging, other = two
    Drains(other).start("ts01", "root")
    entered, done = threading.Event(), threading.Event()

    def hang() -> None:
        with pytest.raises(StoreError), hanging.begin() as connection:
            connection.execute(text("update drains set reason = 'x' where name = 'ts01'"))
            entered.set()
            done.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    entered.wait(10)
    began = time.monotonic()
    while True:
        try:
            Drains(other).start("ts01", "root", "again")
            break
        except StoreError as error:
            assert time.monotonic() - began < 15, error
            time.sleep(0.2)
    done.set()
    thread.join(20)
    assert [drain.reason for drain in Drains(other).all()] == ["again"]


def test_a_broker_that_starts_waits_for_nobody_who_writes(server: PostgreSQL, two: tuple[Store, Store]) -> None:
    """The tables are there: to look for what is missing takes no locks, which writers may hold or wait for."""
    writing, _ = two
    Drains(writing).start("ts02", "root")
    fresh = open_store(server)
    with writing.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(text(f"lock table {table.name} in row exclusive mode"))
        began = time.monotonic()
        assert "ts02" in {drain.name for drain in Drains(fresh).all()}
        assert time.monotonic() - began < 2.5
    fresh.close()


@pytest.mark.parametrize("number", range(3))
def test_brokers_that_start_at_once_with_an_empty_database_all_work(server: PostgreSQL, number: int) -> None:
    """As many worker processes do on the first day: of two who make one table at once, PostgreSQL fails one."""
    url = make_url(server.url.replace("postgresql:", "postgresql+psycopg:"))
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database empty{number}"))
    engine.dispose()
    stores = [Store(url.set(database=f"empty{number}")) for _ in range(12)]
    together = threading.Barrier(len(stores))

    def begin(store: Store) -> int:
        together.wait(30)
        return len(Drains(store).all())

    with ThreadPoolExecutor(len(stores)) as pool:
        assert list(pool.map(begin, stores)) == [0] * len(stores)
    for store in stores:
        store.close()


def in_pairs(count: int, one: object, other: object) -> list[BaseException]:
    """Call both at the same moment, again and again; what they raised."""
    barrier = threading.Barrier(2)
    raised: list[BaseException] = []

    def run(call: object) -> None:
        for number in range(count):
            barrier.wait(30)
            try:
                call(number)  # type: ignore[operator]
            except Exception as error:  # noqa: BLE001 - counted
                raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return raised


def test_reports_of_one_session_that_overlap_are_all_taken_and_the_last_one_stays(two: tuple[Store, Store]) -> None:
    first, second = (ClientEvents(store) for store in two)
    moment = time.time()

    def report(events: ClientEvents, what: str, shift: float) -> object:
        made = replace(event("pairs", what=what), reported=moment + shift)
        return lambda number: events.record(replace(made, session=f"s{number % 100}", reported=moment + number + shift))

    raised = in_pairs(400, report(first, "SUSPENDING", 0.002), report(second, "FINISHED", 0.0))
    assert raised == []
    assert {found.event for found in first.of_user("pairs")} == {"FINISHED"}
    assert len(first.of_user("pairs")) == 100


def test_rows_that_two_write_at_once_are_written(two: tuple[Store, Store]) -> None:
    drains = [Drains(store) for store in two]
    factors = [Enrolments(store) for store in two]
    assert not in_pairs(50, lambda n: drains[0].start(f"h{n}", "a"), lambda n: drains[1].start(f"h{n}", "b"))
    added: list[bool] = []
    assert not in_pairs(
        50,
        lambda n: added.append(factors[0].add(f"u{n}", "AAAA", replace=False)),
        lambda n: added.append(factors[1].add(f"u{n}", "BBBB", replace=False)),
    )
    assert added.count(True) == 50
    assert not in_pairs(
        50, lambda n: factors[0].add(f"u{n}", "AAAA", replace=True), lambda n: factors[1].remove(f"u{n}")
    )


@pytest.mark.parametrize(
    "query",
    [
        "?user=broker&password={secret}",
        "?user=broker&passfile=/tmp/{secret}",
        "?user=broker&sslpassword={secret}&password=wrong",
        "?user=broker&options=-c%20search_path%3D{secret}&password=wrong",
        "?service={secret}",
        "?user=broker&nosuchoption={secret}",
    ],
)
def test_no_secret_of_the_url_is_shown_or_logged(server: PostgreSQL, query: str, tmp_path: Path) -> None:
    secret = "Zq7DbPw"
    port = server.url.rpartition(":")[2].partition("/")[0]
    url = f"postgresql://127.0.0.1:{port}/x{query.format(secret=secret)}"
    with OurBroker(CONFIG + url + "\n", "[desk]\nhost = desk.example\n") as running:
        assert log_in(running) == 503
        log = running.log()
    assert f"127.0.0.1:{port}/x" in log
    assert secret not in log
    assert "wrong" not in log.replace("wrong password", "")
    assert not list(tmp_path.iterdir())
