"""On which server a session is: on that which tells it under its own name, or where it was known under another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_farm import session_line
from tests.unit.scheduling_world import START, world
from tests.unit.test_scheduling_beforehand import Farm
from x2gobroker.agents.base import UNREACHABLE
from x2gobroker.agents.farm import Findings
from x2gobroker.inventory.happenings import Told
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.inventory import REPORT, WATCH
from x2gobroker.model.profile import build_profile
from x2gobroker.model.server_report import SeenSession
from x2gobroker.model.sessions import ServerSession, parse_session
from x2gobroker.scheduling.placing import Placing
from x2gobroker.store import ServerSessions

TS01, TS02 = Endpoint("ts01", "10.0.0.1"), Endpoint("ts02", "10.0.0.2")
BOTH = {server.key: server for server in (TS01, TS02)}
PROFILE = build_profile("desk", {"host": "ts01 (10.0.0.1), ts02 (10.0.0.2)"}, {}, lambda _option, _message: None)
TWINS = build_profile("twins", {"host": "ts01 (10.0.0.1), ts01 (10.0.0.2)"}, {}, lambda _option, _message: None)


def told(server: str, teller: Endpoint | None, answered: tuple[Endpoint, ...] = (TS01, TS02)) -> Findings:
    """One session, as it was told by an agent."""
    session = parse_session(session_line(server))
    tellers = {(session.name, session.server): teller} if teller is not None else {}
    return Findings([session], answered, {}, tellers)


def placing(findings: Findings, shared: bool = False, known: tuple[str, ...] = ()) -> Placing:
    """Where the session was `known` to be before, by key."""
    return Placing(findings, shared, {findings.sessions[0].name: known}, "broker")


def place(made: Placing) -> tuple[str, tuple[Endpoint, ...]]:
    """The session's server in the profile, and of which servers all is told then."""
    (session,) = made.findings.sessions
    key = made.key_of(session, PROFILE)
    return key, made.all_told(BOTH, [(key, session)])


def test_what_a_server_tells_of_itself_is_there() -> None:
    assert place(placing(told("ts01", TS01))) == (TS01.key, (TS01, TS02))


@pytest.mark.parametrize("teller", [TS01, TS02])
def test_of_two_servers_of_one_name_the_one_that_tells_it_has_it(teller: Endpoint) -> None:
    made = placing(told("ts01", teller))
    assert made.key_of(made.findings.sessions[0], TWINS) == teller.key


def test_what_a_server_tells_of_another_is_on_that_one_and_may_not_be_all_of_its_own() -> None:
    """There may be one session database that the broker does not know of; or the server bears the other one's name."""
    assert place(placing(told("ts01", TS02, (TS02,)))) == (TS01.key, ())


@pytest.mark.parametrize("shared", [False, True])
def test_what_was_known_before_is_where_it_was_though_its_server_has_another_name_now(shared: bool) -> None:
    assert place(placing(told("new", TS01), shared, (TS01.key,))) == (TS01.key, (TS01, TS02))


def test_what_nobody_can_place_has_not_ended_on_the_server_that_tells_it() -> None:
    assert place(placing(told("new", TS01))) == ("", (TS02,))
    assert place(placing(told("new", TS01), known=(TS02.key,))) == ("", (TS02,)), "another one speaks of its own"
    assert place(placing(told("new", TS01), known=("10.9.9.9:22",))) == ("", (TS02,))


def test_in_one_database_it_has_not_ended_wherever_it_was_known() -> None:
    assert place(placing(told("new", TS01), shared=True)) == ("", (TS01, TS02))
    assert place(placing(told("new", TS02), shared=True, known=(TS01.key, TS02.key))) == ("", ())
    assert place(placing(told("ts02", TS01), shared=True)) == (TS02.key, (TS01, TS02))
    assert place(placing(told("ts02", TS01, ()), shared=True)) == (TS02.key, ()), "nobody has answered"


def test_where_nobody_knows_who_has_told_it_its_name_counts() -> None:
    assert place(placing(told("ts02", None))) == (TS02.key, (TS01, TS02))


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """Three servers."""
    with world(tmp_path, 3) as made:
        yield Farm(made)


def seen_as(server: str, display: int = 50, state: str = "R") -> SeenSession:
    """The session of `session_line`, as a report of its server has it."""
    session: ServerSession = parse_session(session_line(server, state=state, display=display))
    return SeenSession(session.name, "anna", display, state, START, "192.0.2.9", server, (30001, 30002, 30003))


def known(farm: Farm) -> dict[str, dict[str, str]]:
    """The states of anna's sessions by display, by the port of the server; those that are expected are left out."""
    found = ServerSessions(farm.world.store).all(user="anna")
    return {
        key: states
        for key, view in found.items()
        if (states := {str(one.display): one.state for one in view.sessions.values() if one.display >= 0})
    }


@pytest.mark.parametrize("how", [WATCH, REPORT])
@pytest.mark.parametrize("shared", [False, True])
def test_a_session_on_a_server_that_was_renamed_is_resumed_and_goes_on(farm: Farm, how: str, shared: bool) -> None:
    """The load checker believes the server about itself, and so lists show the session."""
    key = farm.world.key("ts01")
    farm.world.set_rules(shared_database=shared)
    farm.inventory.take([(farm.endpoint("ts01"), Told(START, START, (seen_as("new"),), how))])
    farm.hear("ts02", "ts03")
    for name in farm.world.names if shared else ["ts01"]:
        farm.world.agents.sessions[farm.world.key(name)] = [session_line("new", state="R")]
    for _ in range(3):
        farm.world.now += 5
        selection = farm.select()
        assert (farm.name(selection), len(selection.session_lines)) == ("ts01", 1)
        assert selection.session_lines[0].split("|")[3] == "127.0.0.1"
        assert known(farm) == {key: {"50": "R"}}


def test_what_cannot_be_placed_is_said_and_ends_nothing(farm: Farm, said: pytest.LogCaptureFixture) -> None:
    key = farm.world.key("ts01")
    farm.inventory.take([(farm.endpoint("ts01"), Told(START, START, (seen_as("ts01"),), REPORT))])
    farm.hear("ts02", "ts03")
    farm.world.now += 60
    farm.world.agents.sessions[key] = [session_line("new", display=51)]
    farm.select()
    assert known(farm) == {key: {"50": "R"}}
    assert "of user=anna is not offered: it is not clear which server of [desk] calls itself new" in said.text


@pytest.mark.parametrize("names", [("ts01", "ts01"), ("ts01.a.org", "ts01.b.org")])
def test_of_two_servers_of_one_name_each_has_its_own_sessions(farm: Farm, names: tuple[str, str]) -> None:
    one, other, _ = farm.world.ports
    farm.world.hosts = f"{names[0]} (127.0.0.1:{one}), {names[1]} (127.0.0.1:{other})"
    farm.world.agents.sessions[f"127.0.0.1:{other}"] = [session_line("ts01")]
    for _ in range(3):
        farm.world.now += 60
        selection = farm.select()
        assert (selection.port, len(selection.session_lines)) == (other, 1)
        assert known(farm) == {f"127.0.0.1:{other}": {"50": "S"}}


def test_of_two_servers_of_one_name_each_has_its_own_number_of_sessions(farm: Farm) -> None:
    one, other, _ = farm.world.ports
    farm.world.hosts = f"ts01 (127.0.0.1:{one}), ts01 (127.0.0.1:{other})"
    farm.world.agents.counts = {f"127.0.0.1:{one}": {"ts01": 1}, f"127.0.0.1:{other}": {"ts01": 7}}
    assert {farm.select(user=f"user{number}").port for number in range(4)} == {one}


def test_a_session_on_a_server_of_another_profile_is_not_offered_where_one_database_tells_it(farm: Farm) -> None:
    """The broker was not told that there is one. The inventory knows the session where it is."""
    there = Endpoint("lab01", "10.9.9.9")
    farm.inventory.take([(there, Told(START, START, (seen_as("lab01"),), WATCH))])
    for name in farm.world.names:
        farm.world.agents.sessions[farm.world.key(name)] = [session_line("lab01", state="R")]
    selection = farm.select()
    assert (farm.name(selection) in farm.world.names, selection.session_lines) == (True, ())
    assert known(farm) == {there.key: {"50": "R"}}


def test_with_one_database_that_the_broker_does_not_know_of_a_broken_agent_hides_no_session(farm: Farm) -> None:
    farm.world.agents.broken[farm.world.key("ts01")] = UNREACHABLE
    for name in farm.world.names:
        farm.world.agents.sessions[farm.world.key(name)] = [session_line("ts01")]
    assert farm.name(farm.select()) == "ts01"
