"""The registry of a client's sessions: forms, states, HOOKs, masters, registration, listings per update."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import wait_until
from tests.support.x2go_clients import NotingClient, new_server, scripted_client, scripted_control
from tests.support.x2go_scripted import ScriptedControl, ScriptedServer
from x2gobroker.x2go.errors import X2GoControlSessionException, X2GoSessionRegistryException
from x2gobroker.x2go.registry import X2GoSessionRegistry
from x2gobroker.x2go.registry import events as registry_events
from x2gobroker.x2go.session import X2GoSession

PROFILES = {
    "one": {"name": "One", "host": "first", "user": "anna"},
    "two": {"name": "Two", "host": "second", "user": "bert"},
}


@pytest.fixture
def servers() -> tuple[ScriptedServer, ScriptedServer]:
    return new_server("first"), new_server("second", "bert")


@pytest.fixture
def client(tmp_path: Path, servers: Any) -> NotingClient:
    return scripted_client(tmp_path, session_profiles=PROFILES)


def added(client: NotingClient, profile: str = "one", **parameters: Any) -> X2GoSession:
    session: X2GoSession = client.register_session(profile_id=profile, return_object=True, **parameters)
    return session


def connected(client: NotingClient, profile: str = "one", **parameters: Any) -> X2GoSession:
    session = added(client, profile, **parameters)
    client.connect_session(session.get_uuid(), password="pw")
    return session


def test_an_empty_registry(client: NotingClient) -> None:
    registry = client.session_registry
    assert registry.keys() == registry.registered_sessions() == registry.connected_control_sessions == []
    assert registry.has_running_sessions is registry.has_suspended_sessions is False
    assert registry.control_session_of_profile_name("One") is None
    assert registry.get_master_session("One") is None
    assert registry.get_session_of_session_name("none") is None
    with pytest.raises(X2GoSessionRegistryException, match="no session of UUID"):
        registry("none")
    registry.forget("none")
    assert registry.session_summary("none")["uuid"] is None
    assert "0 sessions" in repr(registry)
    assert X2GoSessionRegistry(client, logger=None, loglevel=8).logger.loglevel == 8


def test_register_makes_sessions(client: NotingClient) -> None:
    registry = client.session_registry
    session_uuid = registry.register("first", "one", "One", control_backend=client.control_backend, username="eve")
    assert registry.keys() == [session_uuid]
    assert registry(session_uuid).control_params["username"] == "eve"
    assert registry.get_profile_id(session_uuid) == "one"
    assert registry.get_profile_name(session_uuid) == "One"
    # the first one is still unused: it is registered once more, then there is another one
    assert registry.register("first", "one", "One") == session_uuid
    other = registry.register("first", "one", "One", session_name="anna-50-1700000000_stRxterm_dp24")
    assert other != session_uuid
    assert registry(other).get_control_session() is registry(session_uuid).get_control_session()
    assert registry.register("first", "one", "One", session_name="anna-50-1700000000_stRxterm_dp24") == other
    assert registry.has_session_of_session_name("anna-50-1700000000_stRxterm_dp24") is True
    assert registry.has_session_of_session_name("anna-50-1700000000_stRxterm_dp24", "Two") is False
    assert registry.get_session_of_session_name("anna-50-1700000000_stRxterm_dp24") == other
    registry.forget(other)
    assert registry.keys() == [session_uuid]


def test_a_name_that_two_sessions_have(client: NotingClient) -> None:
    registry = client.session_registry
    first, second = added(client, "one"), added(client, "two")
    name = "anna-50-1700000000_stRxterm_dp24"
    first.set_session_name(name)
    second.set_session_name(name)
    with pytest.raises(X2GoSessionRegistryException, match="2 sessions"):
        registry.get_session_of_session_name(name)
    assert registry.get_session_of_session_name(name, True, match_profile_name="Two") is second


def test_lists_in_all_forms(client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    registry = client.session_registry
    running, suspended = connected(client), connected(client, "two")
    virgin = registry(registry.register("first", "one", "One", control_backend=client.control_backend, cmd="x"))
    virgin = registry(registry.register_sibling(running, "anna-98-1700000000_stRxterm_dp24"))
    running.start()
    suspended.start()
    suspended.suspend()
    every = [running, suspended, virgin]
    assert registry.registered_sessions() == every
    assert registry.registered_sessions(return_objects=False) == [each.get_uuid() for each in every]
    assert registry.registered_sessions(return_profile_names=True) == ["One", "Two"]
    assert registry.registered_sessions(return_profile_ids=True) == ["one", "two"]
    assert len(registry.registered_sessions(return_session_names=True)) == 3
    assert registry.running_sessions() == registry.associated_sessions() == [running]
    assert registry.running_sessions(return_session_names=True) == [running.get_session_name()]
    assert registry.suspended_sessions(return_profile_ids=True) == ["two"]
    assert registry.non_running_sessions() == [suspended, virgin]
    assert registry.non_running_sessions(return_profile_names=True) == ["Two"]
    assert registry.connected_sessions() == every or registry.connected_sessions() == [running, suspended]
    assert registry.terminated_sessions() == []
    assert registry.has_running_sessions is registry.has_suspended_sessions is True
    assert registry.has_connected_sessions is registry.has_associated_sessions is True
    new = added(client)
    assert new in registry.virgin_sessions()
    assert registry.virgin_sessions_of_profile_name("One", return_objects=False) == [new.get_uuid()]
    assert registry.registered_sessions_of_profile_name("Two") == [suspended]
    assert registry.running_sessions_of_profile_name("One", return_session_names=True) == [running.session_name]
    assert registry.suspended_sessions_of_profile_name("One") == []
    assert registry.associated_sessions_of_profile_name("One") == [running]
    assert suspended in registry.connected_sessions_of_profile_name("Two")
    assert registry.pubapp_sessions_of_profile_name("One") == []
    assert registry.connected_profiles() == ["one", "two"]
    assert registry.connected_profiles(return_profile_names=True) == ["One", "Two"]
    servers[1].alive = False
    assert registry.connected_profiles(use_paramiko=True) == ["one"]
    assert registry.connected_control_sessions == [registry.control_session_of_profile_name("One")]


def test_published_applications_are_found(client: NotingClient) -> None:
    session = connected(client, published_applications=True)
    session.start()
    assert client.session_registry.pubapp_sessions_of_profile_name("One", return_objects=False) == [session()]
    assert client.get_published_applications(profile_name="One", raw=True)["raw"] is True


def test_summaries_hold_no_secrets(client: NotingClient) -> None:
    session = connected(client, pkey=object(), key_filename="key")
    summary = client.session_registry.session_summary(session.get_uuid())
    assert (summary["uuid"], summary["profile_id"], summary["profile_name"]) == (session(), "one", "One")
    assert summary["control_session"] is session.get_control_session()
    assert "pkey" not in summary["control_params"]
    assert "'pw'" not in str(summary)
    assert summary["backends"]["control"] is client.control_backend
    status = client.session_registry.session_summary(session.get_uuid(), status_only=True)
    assert status == {"virgin": True, "connected": True, "running": False, "suspended": False, "terminated": None}
    assert set(status) < set(summary)


def test_one_listing_for_a_profile(client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    session = connected(client)
    for _ in range(50):
        servers[0].add("S")
    client.session_registry.register_available_server_sessions("One", newly_connected=True)
    assert len(client.session_registry.keys()) == 51
    before = servers[0].listings
    assert client.session_registry.update_status(profile_name="One", force_update=True) is True
    assert servers[0].listings == before + 1
    assert client.session_registry.update_status(profile_id="one") is False  # within the same second
    assert client.session_registry.update_status(session_uuid=session(), session_list=session.list_sessions()) is True
    assert client.session_registry.update_status(profile_id="two") is False  # not connected
    assert len(client.session_registry.suspended_sessions()) == 50


@pytest.mark.parametrize(
    "given", [{}, {"session_uuid": "x", "profile_name": "One"}, {"profile_name": "x", "profile_id": "y"}]
)
def test_update_status_wants_one_thing(client: NotingClient, given: dict[str, Any]) -> None:
    with pytest.raises(X2GoSessionRegistryException, match="only one"):
        client.session_registry.update_status(**given)


def update(client: NotingClient) -> list[str]:
    client.session_registry.update_status(profile_name="One", force_update=True)
    return client.happened()


def test_what_this_client_does_is_told(client: NotingClient) -> None:
    session = connected(client)
    client.happened()
    session.start()
    assert client.happened() == ["on_session_has_started_by_me"]
    assert update(client) == []
    session.suspend()
    assert client.happened() == ["on_session_has_been_suspended"]
    session.resume()
    assert client.happened() == ["on_session_has_resumed_by_me"]
    session.terminate()
    assert client.happened() == ["on_session_has_terminated"]
    assert update(client) == []
    assert client.session_registry.terminated_sessions() == [session]


def test_what_others_do_is_told(client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    server = servers[0]
    found = server.add("R")
    waiting = server.add("S")
    connected(client)
    client.session_registry.register_available_server_sessions("One", newly_connected=True)
    assert client.events == [("on_found_session_running_after_connect", found)]
    client.events.clear()
    server.change(waiting, "R")
    server.change(found, "S")
    update_events = client.session_registry.update_status(profile_name="One", force_update=True)
    assert update_events is True
    assert set(client.events) == {
        ("on_session_has_been_suspended", found),
        ("on_session_has_resumed_by_other", waiting),
    }
    client.events.clear()
    server.change(found, "")
    assert update(client) == ["on_session_has_terminated"]
    server.add("R")
    client.session_registry.register_available_server_sessions("One", re_register=True)
    assert client.happened() == ["on_session_has_started_by_other"]


def test_a_takeover_is_told(client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    session = connected(client)
    session.start()
    update(client)
    terminal: Any = session.get_terminal_session()
    terminal.shown = False
    servers[0].change(str(session.session_name), "R")
    assert update(client) == ["on_session_has_been_suspended", "on_session_has_resumed_by_other"]
    assert client.session_registry.get_master_session("One") is None
    session.resume()
    assert client.happened() == ["on_session_has_resumed_by_me"]
    assert client.session_registry.get_master_session("One") is session


def test_masters(client: NotingClient) -> None:
    registry = client.session_registry
    first = connected(client, cmd="xterm")
    first.start()
    assert registry.get_master_session("One") is first
    assert registry.get_master_session("One", return_object=False) == first()
    assert registry.get_master_session("One", return_session_name=True) == first.session_name
    second = registry(registry.register("first", "one", "One", cmd="xeyes", session_type="application"))
    second.start()
    assert registry.get_master_session("One") is first
    assert (first.is_master_session(), second.is_master_session()) == (True, False)
    desktop = registry(registry.register("first", "one", "One", cmd="KDE", session_type="desktop"))
    desktop.start()
    assert desktop.is_desktop_session() is True
    assert registry.get_master_session("One") is desktop
    assert first.is_master_session() is False
    desktop.terminate()
    assert registry.get_master_session("One") is None
    update(client)
    assert registry.get_master_session("One") is first
    first.disconnect()
    assert registry.get_master_session("One") is None


def test_folders_of_the_profile_go_to_the_master(tmp_path: Path, servers: Any) -> None:
    folders = {"export": "/a:1;/b:0;", "useexports": True, "restoreexports": True}
    client = scripted_client(tmp_path, session_profiles={"one": {**PROFILES["one"], **folders}})
    session = connected(client)
    session.start()
    wait_until(lambda: session.get_shared_folders() == ["/a"], "the profile's folder")
    session.share_local_folder("/c")
    assert client.get_profile_config("One", "export") == {"/a": True, "/b": False, "/c": True}
    session.unshare_all_local_folders()
    assert client.get_profile_config("One", "export") == {"/a": False, "/b": False, "/c": False}
    client.close()


def test_sessions_that_ended_are_forgotten_after_a_while(
    client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = client.session_registry
    session = connected(client)
    name = servers[0].add("R")
    registry.register_available_server_sessions("One", newly_connected=True)
    session.start()
    session.terminate()
    servers[0].change(name, "")
    update(client)
    assert len(registry.terminated_sessions()) == 2
    monkeypatch.setattr(registry_events, "TERMINATED_SECONDS", 0.0)
    update(client)
    assert len(registry.keys()) == 1  # the last one may be started anew
    left = registry.registered_sessions()[0]
    assert left.virgin is True
    assert left.session_name is None
    assert left.start() is True


def test_registration_of_what_servers_have(
    client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    registry, server = client.session_registry, servers[0]
    registry.register_available_server_sessions("One")
    session = connected(client)
    names = [server.add("S"), server.add("R", "RPUBLISHED")]
    registry.disable_session_auto_registration()
    registry.register_available_server_sessions("One", newly_connected=True)
    assert registry.registered_sessions() == [session]
    registry.enable_session_auto_registration()
    registry.register_available_server_sessions("One")  # two seconds have not passed
    assert registry.registered_sessions() == [session]
    registry.register_available_server_sessions("One", newly_connected=True, skip_pubapp_sessions=True)
    assert registry.registered_sessions(return_session_names=True) == names[:1]
    registry.register_available_server_sessions("One", session_list=session.list_sessions(), re_register=True)
    assert registry.registered_sessions(return_session_names=True) == names
    found = registry.get_session_of_session_name(names[1], return_object=True)
    assert found.published_applications is True
    assert found.virgin is False
    assert found.is_connected() is True


def test_a_session_is_not_registered_while_it_starts(
    client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = client.session_registry
    session = connected(client)
    control = scripted_control(session)
    resume = control.resume

    def slow(**parameters: Any) -> Any:
        terminal = resume(**parameters)
        registry.register_available_server_sessions("One", newly_connected=True)
        return terminal

    monkeypatch.setattr(control, "resume", slow)
    session.start()
    assert registry.registered_sessions() == [session]
    # should it have been registered all the same, both are one
    double = registry(registry.register("first", "one", "One", session_name="anna-97-1700000000_stRxterm_dp24"))
    session.suspend()
    double.session_name = session.session_name
    session.resume()
    assert registry.registered_sessions() == [session]


def test_a_lost_connection_is_told_once_for_a_profile(
    client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]
) -> None:
    session = connected(client)
    for _ in range(5):
        servers[0].add("R")
    client.session_registry.register_available_server_sessions("One", newly_connected=True)
    client.happened()
    servers[0].alive = False
    assert update(client) == ["on_control_session_death"]
    assert session.is_alive() is False
    assert client.session_registry.living_profiles() == []
    for other in client.session_registry.registered_sessions():
        assert other.is_connected() is False
        if other.has_control_session():
            other.is_alive()
    assert client.happened() == []


def test_a_connection_that_is_lost_during_the_listing(client: NotingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    session = connected(client)

    def lost(**_: Any) -> Any:
        for server in ScriptedControl.servers.values():
            server.alive = False
        raise X2GoControlSessionException("gone")

    monkeypatch.setattr(scripted_control(session), "list_sessions", lost)
    client.happened()
    with pytest.raises(X2GoControlSessionException):
        client.session_registry.update_status(profile_name="One", force_update=True)
    assert client.happened() == ["on_control_session_death"]


def test_threads_share_a_registry(client: NotingClient, servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    registry = client.session_registry
    connected(client)
    for _ in range(50):
        servers[0].add("S")
    faults: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                registry.register_available_server_sessions("One", newly_connected=True)
                registry.update_status(profile_name="One", force_update=True)
                registry.register("second", f"id-{number}", f"P{number}", control_backend=client.control_backend)
                registry.suspended_sessions(return_session_names=True)
        except Exception as error:  # noqa: BLE001 - any of them is a fault
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert faults == []
    assert len(registry.suspended_sessions(return_session_names=True)) == 50
    assert len(registry.registered_sessions_of_profile_name("One")) == 51
    assert time.monotonic() - began < 20
