"""What a client's event says of which session on which server, and what no client can say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.unit.inventory_values import NOW, name_of, seen
from x2gobroker.inventory.events import note_event, said_by
from x2gobroker.inventory.happenings import Happening, Placed, Told
from x2gobroker.inventory.record import Inventory
from x2gobroker.model.hosts import Endpoint
from x2gobroker.store import ClientEvent, ServerSessions, Store

TS01, TS02 = Endpoint("ts01.example.org", "10.0.0.1"), Endpoint("ts02.example.org", "10.0.0.2", 2222)
TWINS = (Endpoint("twin", "10.0.0.8"), Endpoint("twin", "10.0.0.9"))
FARM = (TS01, TS02, *TWINS, Endpoint("ts04", "fd00::4"))
ALIVE = ClientEvent(
    "anna", name_of("anna"), "ALIVE", "anna", "ts01.example.org", "pc7", "192.0.2.7", "XFCE", ":50", "", 7, "", "", NOW
)  # fmt: skip


@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    """That of an empty store."""
    store = Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    yield Inventory(store, lambda: NOW + 1)
    store.close()


def take(inventory: Inventory, event: ClientEvent, farm: Iterable[Endpoint] = FARM) -> None:
    with inventory.store.begin() as connection:
        note_event(inventory, connection, event, lambda: farm)


def happened(inventory: Inventory, server: Endpoint, happening: Happening) -> None:
    inventory.take([(server, happening)])


def known(inventory: Inventory) -> dict[str, dict[str, str]]:
    """The states of the sessions by server."""
    views = ServerSessions(inventory.store).all()
    return {key: {one.name: one.state for one in view.sessions.values()} for key, view in views.items()}


@pytest.mark.parametrize(
    ("event", "state"),
    [("CONNECTING", "R"), ("CONNECTED", "R"), ("ALIVE", "R"), ("SUSPENDING", "S"), ("TERMINATING", "T"),
     ("FINISHED", "L")],
)  # fmt: skip
def test_what_each_event_says(event: str, state: str) -> None:
    said = said_by(replace(ALIVE, event=event))
    assert said is not None
    assert (said.state, said.at, said.user, said.name, said.client, said.display, said.source) == (
        state, NOW, "anna", name_of("anna"), "192.0.2.7", 50, "event",
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"session": name_of("bert")},
        {"session": "annabel-50-1790000000_stDXFCE_dp24"},
        {"session": "anna-50"},
        {"session": "anna-50-1790000000_stDXFCE_dp24\n"},
        {"session": ""},
        {"username": ""},
        {"username": "", "session": "-50-1790000000"},
        {"event": "EXPLODING"},
    ],
)
def test_what_says_nothing_of_a_session_of_the_user(changes: dict[str, str]) -> None:
    assert said_by(replace(ALIVE, **changes)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("display", ["", "fifty", ":", "5" * 30, "-1", "٥"])
def test_a_display_that_is_none_is_not_known(display: str) -> None:
    said = said_by(replace(ALIVE, display=display, address="so und so"))
    assert said is not None
    assert (said.display, said.client) == (-1, "")


@pytest.mark.parametrize("server", ["ts01.example.org", "TS01", "10.0.0.1", "ts01.example.org."])
def test_the_server_as_the_profile_or_the_broker_calls_it(inventory: Inventory, server: str) -> None:
    take(inventory, replace(ALIVE, server=server))
    assert known(inventory) == {TS01.key: {name_of("anna"): "R"}}


@pytest.mark.parametrize("server", ["", "ts09", "twin", "10.0.0.77", "a b", "ts01.elsewhere.org"])
def test_a_server_that_could_be_none_or_several_is_not_guessed(inventory: Inventory, server: str) -> None:
    take(inventory, replace(ALIVE, server=server))
    assert known(inventory) == {}


def test_of_two_servers_of_one_name_the_one_that_the_user_was_sent_to_is_meant(inventory: Inventory) -> None:
    happened(inventory, TWINS[1], Placed(NOW, "anna", "inifile", "desk", NOW + 90))
    happened(inventory, TS01, Placed(NOW, "anna", "inifile", "lab", NOW + 90))
    take(inventory, replace(ALIVE, server="twin"))
    assert known(inventory)[TWINS[1].key] == {name_of("anna"): "R"}


def test_a_server_by_a_name_that_only_clients_know_is_the_one_that_the_user_was_sent_to(inventory: Inventory) -> None:
    happened(inventory, TS02, Placed(NOW, "anna", "inifile", "desk", NOW + 90))
    take(inventory, replace(ALIVE, server="alias"))
    assert known(inventory) == {TS02.key: {name_of("anna"): "R"}}


def test_nobody_is_expected_for_ever(inventory: Inventory) -> None:
    happened(inventory, TS02, Placed(NOW - 100, "anna", "inifile", "desk", NOW - 10))
    take(inventory, replace(ALIVE, server="alias"))
    assert name_of("anna") not in known(inventory)[TS02.key]


def test_a_session_that_is_known_is_found_whatever_the_client_calls_its_server(inventory: Inventory) -> None:
    happened(inventory, TS02, Told(NOW - 5, NOW - 4, (seen(state="S"),)))
    take(inventory, replace(ALIVE, server="ts01.example.org"), farm=())
    assert known(inventory) == {TS02.key: {name_of("anna"): "R"}}


def test_a_session_that_two_servers_have_is_where_the_client_says(inventory: Inventory) -> None:
    for server in (TS01, TS02):
        happened(inventory, server, Told(NOW - 5, NOW - 4, (seen(state="S"),)))
    take(inventory, replace(ALIVE, server="elsewhere"))
    assert known(inventory) == {TS01.key: {name_of("anna"): "S"}, TS02.key: {name_of("anna"): "S"}}
    take(inventory, replace(ALIVE, server="10.0.0.2"))
    assert known(inventory) == {TS01.key: {name_of("anna"): "S"}, TS02.key: {name_of("anna"): "R"}}


def test_a_server_with_an_ipv6_address_keeps_its_key(inventory: Inventory) -> None:
    for event in ("CONNECTED", "SUSPENDING"):
        take(inventory, replace(ALIVE, server="ts04", event=event), farm=FARM if event == "CONNECTED" else ())
    assert known(inventory) == {"[fd00::4]:22": {name_of("anna"): "S"}}


def test_a_client_says_nothing_of_sessions_of_others(inventory: Inventory) -> None:
    happened(inventory, TS01, Told(NOW - 5, NOW - 4, (seen("bert"),)))
    take(inventory, replace(ALIVE, session=name_of("bert"), event="TERMINATING"))
    assert known(inventory) == {TS01.key: {name_of("bert"): "R"}}
