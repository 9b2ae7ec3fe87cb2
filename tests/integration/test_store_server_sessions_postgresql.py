"""Sessions on X2Go Servers in PostgreSQL: load checkers and brokers of several hosts write at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.postgresql import two_stores
from tests.unit.inventory_values import name_of, seen
from x2gobroker.inventory.happenings import Changed, Placed, Said, Told
from x2gobroker.inventory.record import Inventory, News
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import WATCH
from x2gobroker.store import ServerSessions, Store

FARM = [Endpoint(f"ts{number:03}", f"10.1.0.{number}") for number in range(30)]


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Store, Store]]:
    """What two broker hosts have."""
    with two_stores() as made:
        yield made


@pytest.fixture
def inventories(two: tuple[Store, Store]) -> tuple[Inventory, Inventory]:
    """An empty inventory, at two hosts."""
    with two[0].begin() as connection:
        for table in ("server_sessions", "servers_heard"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
    return Inventory(two[0]), Inventory(two[1])


def states(inventory: Inventory, key: str) -> dict[str, str]:
    view = ServerSessions(inventory.store).all([key])[key]
    return {one.name: one.state for one in view.sessions.values()}


def test_what_one_host_writes_the_other_reads(inventories: tuple[Inventory, Inventory]) -> None:
    here, there = inventories
    now = time.time()
    here.take([(FARM[0], Told(now - 5, now, (seen(since=now), seen("bert", since=now)), WATCH))])
    there.take([(FARM[0], Said(now, "anna", name_of("anna"), "S", client="192.0.2.7"))])
    here.take([(FARM[1], Placed(now, "carl", "inifile", "desk", now + 90))])
    there.take([(FARM[0], Placed(now + 1, "carl", "inifile", "desk", now + 91))])
    assert ServerSessions(here.store).all() == ServerSessions(there.store).all()
    assert states(here, FARM[0].key) == {name_of("anna"): "S", name_of("bert"): "R", "inifile/desk": "E"}
    assert states(here, FARM[1].key) == {}
    found = ServerSessions(there.store).of_user("anna")[FARM[0].key]
    assert found.server.known == now - 5, "to the last bit: a watch goes on from there"
    gone = frozenset({("bert", name_of("bert"))})
    assert there.take([(FARM[0], Changed(now - 5, now - 4, now, (), gone))]) == frozenset()
    assert name_of("bert") not in states(here, FARM[0].key)
    assert there.take([(FARM[0], Changed(now - 5, now - 3, now))]) == {FARM[0].key}


def test_load_checkers_that_write_the_same_servers_in_any_order_do_not_block_each_other(
    inventories: tuple[Inventory, Inventory],
) -> None:
    began = time.time()

    def round_of(number: int) -> None:
        servers = FARM[:]
        random.Random(number).shuffle(servers)
        news: list[News] = [
            (server, Told(began + number / 100, began + 1, tuple(seen("anna", one) for one in range(number + 1))))
            for server in servers
        ]
        inventories[number % 2].take(news)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(round_of, range(24)))
    for server in FARM:
        assert len(states(inventories[0], server.key)) == 24, "the last one counts, whenever it came"


def test_what_clients_said_last_is_there_whatever_reports_come_in_between(
    inventories: tuple[Inventory, Inventory],
) -> None:
    now = time.time()
    names = [name_of("anna", number) for number in range(20)]
    inventories[0].take([(FARM[0], Told(now - 50, now - 49, tuple(seen("anna", one) for one in range(20))))])

    def client(name: str) -> None:
        for state in "RS":
            inventories[len(name) % 2].take([(FARM[0], Said(now, "anna", name, state))])

    def report(number: int) -> None:
        dice = random.Random(number)
        sessions = tuple(seen("anna", one, dice.choice("RST")) for one in range(20))
        inventories[number % 2].take([(FARM[0], Told(now - 40 + number, now, sessions))])

    with ThreadPoolExecutor(10) as threads:
        work = [threads.submit(client, name) for name in names]
        work += [threads.submit(report, number) for number in range(20)]
        for one in work:
            one.result(60)
    assert states(inventories[1], FARM[0].key) == dict.fromkeys(names, "S")


def test_sweeping_while_others_write(inventories: tuple[Inventory, Inventory]) -> None:
    now = time.time()
    inventories[0].take([(server, Placed(now - 200, "anna", "inifile", "desk", now - 100)) for server in FARM])

    def write(number: int) -> None:
        inventories[number % 2].take([(server, Told(now - 10 + number / 10, now, (seen(),))) for server in FARM])

    def sweep(_number: int) -> None:
        ServerSessions(inventories[1].store).sweep(now)

    with ThreadPoolExecutor(6) as threads:
        work = [threads.submit(what, number) for number in range(12) for what in (write, sweep)]
        for one in work:
            one.result(60)
    assert all(states(inventories[0], server.key) == {name_of("anna"): "R"} for server in FARM)


def test_ten_thousand_sessions(inventories: tuple[Inventory, Inventory]) -> None:
    now = time.time()
    farm = [Endpoint(f"ts{number}", f"10.2.{number // 250}.{number % 250}") for number in range(200)]
    news: list[News] = [
        (server, Told(now - 1, now, tuple(seen(f"user{place}", one) for one in range(50))))
        for place, server in enumerate(farm)
    ]
    inventories[0].take(news)
    assert sum(len(view.sessions) for view in ServerSessions(inventories[1].store).all().values()) == 10_000
    began = time.monotonic()
    for number in range(50):
        assert len(ServerSessions(inventories[1].store).of_user(f"user{number}")) == 1
    assert time.monotonic() - began < 30
