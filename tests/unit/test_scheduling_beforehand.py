"""Choosing among servers that are watched: only the best one is tried, and if it has just died, all are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fake_farm import session_line
from tests.unit.inventory_values import name_of, seen
from tests.unit.scheduling_world import World, world
from x2gobroker.agents.base import LOGIN, REFUSED, TIMEOUT
from x2gobroker.agents.rules import SSH
from x2gobroker.inventory.happenings import Said, Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import SelectionNotes
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import REPORT, WATCH
from x2gobroker.model.sessions import RUNNING
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

    def hear(self, *names: str, how: str = WATCH, users: Collection[str] = ()) -> None:
        """These have just told that nobody but these users is there."""
        for name in names:
            server = self.endpoint(name)
            sessions = tuple(seen(user, since=self.world.now, server=name) for user in users)
            self.inventory.take([(server, Told(self.world.now, self.world.now, sessions, how))])

    def endpoint(self, name: str) -> Endpoint:
        """The server of this short name."""
        return Endpoint(f"{name}.example.org", "127.0.0.1", self.world.ports[self.world.names.index(name)])

    def close_ports(self) -> None:
        """Nobody reaches the servers' ports any more; but agents may be reached by a proxy."""
        self.ports.down = {self.world.key(name) for name in self.world.names}

    def select(self, rule: float = -1.0, user: str = "anna") -> Selection:
        """What a user gets by this rule."""
        return self.world.scheduler.choose(replace(self.world.wish(user), known_for=rule), self.world.stores)

    def asked(self) -> set[str]:
        """The servers that were asked for sessions."""
        asked = {key for key, task in self.world.agents.asked if task == "listsessions"}
        return {name for name in self.world.names if self.world.key(name) in asked}

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


@pytest.fixture
def gated(farm: Farm) -> Farm:
    """The servers are behind an SSH proxy: the broker reaches their agents, and none of their ports."""
    farm.world.set_rules(proxy="gate.example.org")
    farm.close_ports()
    return farm


@pytest.mark.parametrize(("how", "rule"), [(WATCH, -1.0), (REPORT, 600.0), (REPORT, 0.0)])
def test_servers_behind_a_proxy_get_sessions_whether_they_are_known_or_asked(
    gated: Farm, how: str, rule: float
) -> None:
    gated.hear(*gated.world.names, how=how)
    assert gated.name(gated.select(rule)) in gated.world.names
    assert gated.asked() == (set() if rule else set(gated.world.names))


def test_behind_a_proxy_servers_that_are_known_and_those_that_answer_all_get_sessions(gated: Farm) -> None:
    gated.hear("ts01", "ts02")
    gated.world.agents.counts = {gated.world.key("ts03"): {"ts03": 0}}
    found = {gated.name(gated.select(user=f"user{number}")) for number in range(6)}
    assert found == set(gated.world.names)


def test_behind_a_proxy_servers_that_do_not_answer_or_were_found_down_get_none(gated: Farm) -> None:
    gated.hear("ts01", "ts02", how=REPORT)
    gated.world.load("ts02", state="unreachable")
    gated.world.agents.broken[gated.world.key("ts03")] = TIMEOUT
    assert {gated.name(gated.select(600.0, f"user{number}")) for number in range(6)} == {"ts01"}


def test_where_the_best_one_has_just_died_one_whose_agent_answered_gets_the_user(farm: Farm) -> None:
    """Its own port is not reached by the broker: that of a host between them, say."""
    farm.hear("ts01", "ts02")
    farm.close_ports()
    assert {farm.name(farm.select(user=f"user{number}")) for number in range(6)} == {"ts03"}


@pytest.fixture
def shared(farm: Farm) -> Farm:
    """One session database for all; anna has a session on ts01."""
    farm.world.set_rules(shared_database=True)
    farm.hear("ts01", users=["anna"])
    farm.hear("ts02", "ts03")
    for name in farm.world.names:
        farm.world.agents.sessions[farm.world.key(name)] = [session_line("ts01")]
    return farm


def test_with_one_database_for_all_a_broken_agent_keeps_nobody_from_a_session(shared: Farm) -> None:
    shared.world.agents.broken[shared.world.key("ts01")] = REFUSED
    for _ in range(4):
        selection = shared.select()
        assert (shared.name(selection), len(selection.session_lines)) == ("ts01", 1)


def test_with_one_database_for_all_a_session_that_has_ended_is_not_waited_for(shared: Farm) -> None:
    shared.world.agents.broken[shared.world.key("ts01")] = REFUSED
    shared.world.agents.sessions.clear()
    selection = shared.select()
    assert (shared.name(selection) in shared.world.names, selection.told) == (True, "")


def test_with_one_database_for_all_users_are_kept_from_a_second_session_where_all_agents_are_broken(
    shared: Farm,
) -> None:
    shared.world.agents.broken = {shared.world.key(name): REFUSED for name in shared.world.names}
    selection = shared.select()
    assert selection.host is None
    assert "You have a session on ts01.example.org" in selection.told


def test_with_one_database_for_all_nobody_is_asked_of_who_has_no_session(shared: Farm) -> None:
    shared.select(user="bert")
    assert shared.asked() == set()


def test_with_one_database_for_all_a_session_on_a_server_that_has_just_died_is_not_offered(shared: Farm) -> None:
    """Others' agents still list it."""
    shared.ports.down = {shared.world.key("ts01")}
    shared.world.agents.broken[shared.world.key("ts01")] = TIMEOUT
    for _ in range(4):
        selection = shared.select()
        assert (shared.name(selection) in ("ts02", "ts03"), selection.session_lines) == (True, ())


@pytest.mark.parametrize(("how", "rule"), [(WATCH, -1.0), (REPORT, 600.0), (REPORT, -1.0)])
def test_behind_a_proxy_a_session_is_offered_whichever_agent_tells_it(shared: Farm, how: str, rule: float) -> None:
    shared.world.set_rules(proxy="gate.example.org")
    shared.close_ports()
    shared.world.now += 60
    shared.hear("ts01", how=how, users=["anna"])
    shared.hear("ts02", "ts03")
    for _ in range(8):
        assert len(shared.select(rule).session_lines) == 1


@pytest.fixture(params=["timeout", "login", "host-key", "unreachable"])
def found_down(farm: Farm, request: pytest.FixtureRequest) -> Farm:
    """Anna has a session on ts01, which the load checker found down: its agent does not work. The others are watched.

    So it was before; whether its port answers is for the test to say.
    """
    farm.hear("ts01", users=["anna"])
    farm.hear("ts02", "ts03")
    farm.world.load("ts01", state=request.param)
    farm.world.agents.broken[farm.world.key("ts01")] = LOGIN
    return farm


@pytest.mark.parametrize("probe", [True, False])
def test_a_broken_agent_that_the_load_checker_has_noticed_is_said_to_the_user_as_before(
    found_down: Farm, probe: bool, said: pytest.LogCaptureFixture
) -> None:
    found_down.world.probe = probe
    selection = found_down.select()
    assert (selection.host, found_down.asked()) == (None, {"ts01"})
    assert "You have a session on ts01.example.org" in selection.told
    assert "which cannot be resumed: login: " in said.text
    assert found_down.world.reserved() == []
    assert found_down.name(found_down.select(user="bert")) in ("ts02", "ts03")


@pytest.mark.parametrize("probe", [True, False])
def test_an_agent_that_works_again_is_asked_though_the_load_checker_does_not_know(
    found_down: Farm, probe: bool
) -> None:
    found_down.world.probe = probe
    found_down.world.agents.broken.clear()
    found_down.world.agents.sessions[found_down.world.key("ts01")] = [session_line("ts01")]
    selection = found_down.select()
    assert (found_down.name(selection), len(selection.session_lines)) == ("ts01", 1)


@pytest.mark.parametrize("probe", [True, False])
def test_where_the_server_itself_is_down_its_user_gets_another_one_and_nobody_is_asked(
    found_down: Farm, probe: bool
) -> None:
    found_down.world.probe = probe
    found_down.ports.down = {found_down.world.key("ts01")}
    selection = found_down.select()
    assert (found_down.name(selection) in ("ts02", "ts03"), selection.told, found_down.asked()) == (True, "", set())
    assert ["ts01"] in found_down.ports.tried


def test_who_has_no_session_there_waits_for_no_port_that_was_found_closed(found_down: Farm) -> None:
    found_down.select(user="bert")
    assert ["ts01"] not in found_down.ports.tried


def test_where_all_agents_are_broken_and_noticed_nobody_gets_a_second_session(found_down: Farm) -> None:
    """Nothing is known of the others; without a look at ports, all count as down."""
    found_down.world.now += 60
    found_down.world.probe = False
    for name in found_down.world.names:
        found_down.world.load(name, state="login")
        found_down.world.agents.broken[found_down.world.key(name)] = LOGIN
    assert "You have a session on ts01.example.org" in found_down.select().told


def test_behind_a_proxy_a_server_that_let_the_load_checker_connect_is_not_down(found_down: Farm) -> None:
    """Nobody can try its port: of one that did not answer in time, nobody knows."""
    found_down.world.set_rules(proxy="gate.example.org")
    found_down.close_ports()
    state = found_down.world.stores.loads.of([found_down.world.key("ts01")])[found_down.world.key("ts01")].state
    selection = found_down.select()
    if state in ("login", "host-key"):
        assert (selection.host, found_down.asked()) == (None, {"ts01"})
        assert "You have a session on ts01.example.org" in selection.told
    else:
        assert (found_down.name(selection) in ("ts02", "ts03"), found_down.asked()) == (True, set())
    assert [names for names in found_down.ports.tried if "ts01" in names] == []


@pytest.mark.parametrize("is_up", [True, False])
def test_with_one_database_for_all_a_session_is_offered_where_only_the_agent_is_broken(
    shared: Farm, is_up: bool
) -> None:
    shared.world.load("ts01", state="login")
    shared.world.agents.broken[shared.world.key("ts01")] = LOGIN
    if not is_up:
        shared.ports.down = {shared.world.key("ts01")}
    for _ in range(3):
        selection = shared.select()
        assert ((shared.name(selection) == "ts01"), len(selection.session_lines)) == (is_up, int(is_up))
        assert selection.told == ""
        with shared.world.store.begin() as connection:  # so that nobody is expected elsewhere
            connection.exec_driver_sql("DELETE FROM server_sessions WHERE state = 'E'")


def test_with_one_database_for_all_where_all_agents_are_broken_and_noticed(shared: Farm) -> None:
    for name in shared.world.names:
        shared.world.load(name, state="login")
        shared.world.agents.broken[shared.world.key(name)] = LOGIN
    assert "You have a session on ts01.example.org" in shared.select().told


@pytest.fixture
def reported(farm: Farm) -> Farm:
    """ts01 has reported that it is idle, the others that eight users are there."""
    farm.hear("ts01", how=REPORT)
    farm.hear("ts02", "ts03", how=REPORT, users=[f"old{number}" for number in range(8)])
    for name in farm.world.names:
        farm.world.load(name, ago=0)
    return farm


def test_sessions_that_began_since_a_report_count_until_the_next_one(reported: Farm) -> None:
    """Nobody hears of them, and their reservations expire in the meantime."""
    chosen = []
    for wave in range(3):
        reported.world.now += 100
        chosen += [reported.name(reported.select(600.0, f"user{wave}{number}")) for number in range(4)]
    assert chosen[:8] == ["ts01"] * 8
    assert max(chosen[8:].count(name) for name in reported.world.names) <= 2


def test_after_the_next_report_what_was_reserved_before_does_not_count(reported: Farm) -> None:
    reported.world.now += 5
    for number in range(8):
        assert reported.name(reported.select(600.0, f"user{number}")) == "ts01"
    reported.world.now += 100
    reported.hear("ts01", how=REPORT)
    assert [reported.name(reported.select(600.0, f"new{number}")) for number in range(8)] == ["ts01"] * 8


def test_a_session_that_its_client_has_reported_since_counts_once(reported: Farm) -> None:
    for number in range(4):
        reported.world.now += 1
        user = f"user{number}"
        assert reported.name(reported.select(600.0, user)) == "ts01"
        reported.world.now += 5
        server = reported.endpoint("ts01")
        assert reported.world.stores.reservations.reported(user, server.name, name_of(user), reported.world.now)
        reported.inventory.take([(server, Said(reported.world.now, user, name_of(user), RUNNING))])
    reported.world.now += 100
    assert [reported.name(reported.select(600.0, f"new{number}")) for number in range(4)] == ["ts01"] * 4
