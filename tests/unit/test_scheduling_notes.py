"""A choice tells the inventory what agents said, and where it sent the user, in the transaction that reserves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.unit.fake_farm import session_line
from tests.unit.scheduling_world import START, World, world
from x2gobroker.agents.base import UNREACHABLE
from x2gobroker.agents.rules import NONE, SSH
from x2gobroker.inventory.happenings import Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.inventory.selections import MOMENT_SECONDS, SelectionNotes
from x2gobroker.model.hosts import Endpoint
from x2gobroker.model.sessions import Listing, parse_session
from x2gobroker.store import ServerSessions


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[World]:
    """Three servers, agents on all of them, and an inventory."""
    with world(tmp_path, 3) as made:
        inventory = Inventory(made.store, lambda: made.now)
        made.stores = replace(made.stores, notes=SelectionNotes(inventory))
        made.set_rules(mode=SSH)
        yield made


def known(farm: World, user: str = "anna") -> dict[str, list[str]]:
    """Display or profile, and state, of what is known of a user, by server."""
    found = ServerSessions(farm.store).all(user=user)
    names = {farm.key(name): name for name in farm.names}
    return {
        names[key]: sorted(
            f"{one.display if one.display >= 0 else one.profile} {one.state}" for one in view.sessions.values()
        )
        for key, view in found.items()
        if view.sessions
    }


def test_who_is_sent_somewhere_is_expected_there(farm: World) -> None:
    server = farm.server()
    assert known(farm) == {server: ["desk E"]}
    (one,) = (one for view in ServerSessions(farm.store).all().values() for one in view.sessions.values())
    assert (one.until, one.source, one.backend) == (START + 90, "broker", "inifile")
    farm.now += 10
    farm.count(**{server: 50})
    other = farm.server()
    assert other != server
    assert known(farm) == {other: ["desk E"]}, "and no more at the first one"


@pytest.mark.parametrize(("seconds", "until"), [(0.0, 90), (300.0, 300)])
def test_with_and_without_reservations(farm: World, seconds: float, until: float) -> None:
    farm.seconds = seconds
    server = farm.server()
    (one,) = ServerSessions(farm.store).all()[farm.key(server)].sessions.values()
    assert (one.state, one.until) == ("E", START + until)


def test_where_nobody_can_be_asked_it_is_noted_all_the_same(farm: World) -> None:
    farm.set_rules(mode=NONE)
    server = farm.server()
    assert known(farm) == {server: ["desk E"]}


def test_an_account_that_is_shared_is_the_one_that_counts(farm: World) -> None:
    farm.account = "everybody"
    server = farm.server("anna")
    assert known(farm, "everybody") == {server: ["desk E"]}
    assert known(farm, "anna") == {}


def test_sessions_that_agents_tell_are_known(farm: World) -> None:
    farm.agents.sessions[farm.key("ts02")] = [
        session_line("ts02", state="S"), session_line("ts02", state="R", display=51),
    ]  # fmt: skip
    assert farm.server() == "ts02"
    assert known(farm) == {"ts02": ["50 S", "51 R"]}
    view = ServerSessions(farm.store).all()[farm.key("ts02")]
    one = next(one for one in view.sessions.values() if one.display == 50)
    assert (one.source, one.client, one.since, one.last_seen) == ("listsessions", "192.0.2.9", START - 600, START)
    assert view.server.known == 0, "of others, nothing is known"


def test_sessions_that_are_no_more_are_known_as_well(farm: World) -> None:
    farm.agents.sessions[farm.key("ts02")] = [session_line("ts02")]
    farm.server()
    farm.now += 60
    farm.agents.sessions.clear()
    farm.count(ts02=9)
    server = farm.server()
    assert known(farm) == {"ts02": ["50 F"], server: ["desk E"]}


def test_what_a_server_that_does_not_answer_had_stays(farm: World) -> None:
    farm.agents.sessions[farm.key("ts02")] = [session_line("ts02")]
    farm.server()
    farm.now += 60
    farm.agents.broken[farm.key("ts02")] = UNREACHABLE
    farm.server()
    assert known(farm)["ts02"][0] == "50 S"


def test_with_one_database_for_all_any_agent_knows_that_a_session_has_ended(farm: World) -> None:
    farm.set_rules(shared_database=True)
    for name in farm.names:
        farm.agents.sessions[farm.key(name)] = [session_line("ts02")]
    assert farm.server() == "ts02"
    farm.now += 60
    farm.agents.sessions.clear()
    farm.server()
    assert known(farm)["ts02"][0] == "50 F"


def test_what_was_known_a_moment_ago_is_not_written_again(farm: World) -> None:
    farm.agents.sessions[farm.key("ts02")] = [session_line("ts02")]
    farm.server()
    before = ServerSessions(farm.store).all()
    farm.now += MOMENT_SECONDS / 2
    farm.server()
    assert ServerSessions(farm.store).all() == before
    farm.now += MOMENT_SECONDS
    farm.server()
    assert ServerSessions(farm.store).all() != before


def test_a_choice_that_is_not_stored_is_not_noted(farm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are one transaction: the inventory fails, and there is no reservation either; the user gets a server."""

    def fail(*_arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(ServerSessions, "take_turn", fail)
    with pytest.raises(sqlite3.OperationalError):
        farm.server()
    monkeypatch.undo()
    assert (known(farm), farm.reserved()) == ({}, [])


def test_a_store_that_fails_keeps_nobody_out(farm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: Connection, *_more: object) -> None:
        connection.exec_driver_sql("SELECT * FROM nowhere")

    monkeypatch.setattr(ServerSessions, "take_turn", fail)
    assert farm.server() in farm.names
    farm.agents.sessions[farm.key("ts02")] = [session_line("ts02")]
    assert farm.server() == "ts02"
    monkeypatch.undo()
    assert (known(farm), farm.reserved()) == ({}, [])


def test_a_listing_of_nobody_and_of_nothing_writes_nothing(farm: World) -> None:
    notes = SelectionNotes(Inventory(farm.store, lambda: farm.now))
    server = Endpoint("ts01", "10.0.0.1")
    session = parse_session(session_line("ts01"))
    notes.listed("", Listing((server,), ((server, session),), START))
    notes.listed("anna", Listing((server,), (), START))
    assert ServerSessions(farm.store).all() == {}
    notes.listed("anna", Listing((), ((server, session),), START))
    assert len(ServerSessions(farm.store).all()[server.key].sessions) == 1


def test_a_report_that_was_asked_for_before_the_choice_does_not_hide_who_is_on_the_way(farm: World) -> None:
    server = farm.server()
    inventory = Inventory(farm.store, lambda: farm.now + 1)
    inventory.take([(Endpoint(server, "127.0.0.1", farm.ports[farm.names.index(server)]), Told(START - 1, START + 1))])
    assert known(farm) == {server: ["desk E"]}
