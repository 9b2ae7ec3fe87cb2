"""Choosing among servers that are watched: only the best one is tried, and if it has just died, all are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduling_world import World, world
from x2gobroker.agents.rules import SSH
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import REPORT, WATCH
from x2gobroker.scheduling.choice import Selection


class Ports:
    """Ports that answer but for those that are `down`, and which of them were tried."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.tried: list[list[str]] = []

    def reachable(self, targets: Iterable[Endpoint], hopeless: Collection[Endpoint] = ()) -> set[Endpoint]:
        """As PortProbe.reachable."""
        found = set(targets)
        self.tried.append(sorted(target.name.partition(".")[0] for target in found))
        return {target for target in found if target.key not in self.down}

    def known_down(self, _targets: Iterable[Endpoint]) -> set[Endpoint]:
        """As PortProbe.known_down."""
        return set()


class Farm:
    """Three servers, as the inventory knows them."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.ports = Ports()
        made.scheduler._probe = self.ports  # type: ignore[assignment]
        self.inventory = Inventory(made.store, lambda: made.now)
        made.stores = replace(made.stores, notes=SelectionNotes(self.inventory))
        made.set_rules(mode=SSH)

    def hear(self, *names: str, how: str = WATCH) -> None:
        """These have just told that nobody is there."""
        for name in names:
            port = self.world.ports[self.world.names.index(name)]
            server = Endpoint(f"{name}.example.org", "127.0.0.1", port)
            self.inventory.take([(server, Told(self.world.now, self.world.now, (), how))])

    def select(self) -> Selection:
        """What a user gets who has no session."""
        return self.world.scheduler.choose(replace(self.world.wish(), known_for=-1.0), self.world.stores)

    def name(self, selection: Selection) -> str:
        """The server's short name, or what is said in its place."""
        return selection.host.name.partition(".")[0] if selection.host else selection.server


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """None of the servers is known yet."""
    with world(tmp_path, 3) as made:
        yield Farm(made)


def test_only_the_best_server_is_tried_where_all_are_watched(farm: Farm) -> None:
    farm.hear(*farm.world.names)
    name = farm.name(farm.select())
    assert farm.ports.tried[-1:] == [[name]]
    assert {tuple(names) for names in farm.ports.tried} <= {(), (name,)}
    assert farm.world.agents.asked == [], "nor is any agent asked"


def test_where_the_best_one_has_just_died_another_one_gets_the_user_and_the_reservation(farm: Farm) -> None:
    farm.hear(*farm.world.names)
    first = farm.name(farm.select())
    farm.world.now += 1
    with farm.world.stores.loads.store.begin() as connection:
        connection.exec_driver_sql("DELETE FROM reservations")
        connection.exec_driver_sql("DELETE FROM server_sessions")
    farm.ports.down = {farm.world.key(first)}
    farm.ports.tried.clear()
    for _ in range(20):
        second = farm.name(farm.select())
        assert second in farm.world.names
        assert second != first
        assert [one.server for one in farm.world.reserved()] == [farm.world.key(second)]
    assert farm.world.names in farm.ports.tried, "some choices fell on the dead one, and all were tried"


def test_where_all_have_died_there_is_none(farm: Farm) -> None:
    farm.hear(*farm.world.names)
    farm.ports.down = {farm.world.key(name) for name in farm.world.names}
    assert farm.name(farm.select()) == "no-X2Go-Server-available"


def test_servers_that_are_not_watched_are_tried_with_each_choice(farm: Farm) -> None:
    farm.hear("ts01")
    farm.hear("ts02", how=REPORT)
    farm.select()
    assert farm.ports.tried[0] == ["ts02", "ts03"]


def test_servers_that_the_load_checker_found_down_are_not_tried_where_others_are_watched(farm: Farm) -> None:
    farm.hear("ts01", "ts02")
    farm.world.load("ts03", state="unreachable")
    for _ in range(5):
        assert farm.name(farm.select()) in ("ts01", "ts02")
    assert "ts03" not in {name for names in farm.ports.tried for name in names}
