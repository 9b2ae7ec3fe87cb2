"""A client with two users and two profiles on a real X2Go Server: its registry, its HOOKs, what others do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from tests.support.x2go_server import X2GoServer, cleaner_at_rest, x2go_server
from tests.support.x2go_sessions import real_client, real_session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server with two users for all tests here."""
    with x2go_server(tmp_path_factory.mktemp("x2go-server"), users=2) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_stays(server: X2GoServer, screen: Desktop) -> Iterator[None]:
    with nothing_left():
        yield
    for user in server.users:
        server.end_sessions(user)


def test_two_users_and_two_profiles(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = server.users
    with real_client(server, screen, tmp_path, monkeypatch) as client:
        registry = client.session_registry
        sessions = client.register_all_session_profiles()
        for user in server.users:
            assert client.connect_session(sessions[user.name], password=user.password) is True
        assert registry.connected_profiles(return_profile_names=True) == [first.name, second.name]
        assert registry.connected_profiles(use_paramiko=True) == [f"id-{first.name}", f"id-{second.name}"]
        assert len(registry.connected_control_sessions) == 2
        assert len(registry.virgin_sessions()) == 2
        for user in server.users:
            assert client.start_session(sessions[user.name]) is True
        assert client.happened() == ["on_session_has_started_by_me"] * 2
        assert registry.has_running_sessions is True
        assert registry.virgin_sessions() == []
        assert registry.running_sessions(return_profile_names=True) == [first.name, second.name]
        names = registry.running_sessions_of_profile_name(first.name, return_session_names=True)
        assert list(server.states(first)) == names
        assert registry.get_master_session(first.name, return_session_name=True) == names[0]
        assert client.suspend_session(sessions[first.name]) is True
        assert client.terminate_session(sessions[second.name]) is True
        assert client.happened() == ["on_session_has_been_suspended", "on_session_has_terminated"]
        for user in server.users:
            assert registry.update_status(profile_name=user.name, force_update=True) is True
        assert registry.suspended_sessions(return_session_names=True) == names
        assert registry.has_suspended_sessions is True
        assert registry.terminated_sessions(return_profile_names=True) == [second.name]
        assert registry.non_running_sessions(return_profile_names=True) == [first.name, second.name]
        summary = registry.session_summary(sessions[first.name])
        assert (summary["session_name"], summary["suspended"]) == (names[0], True)
        assert first.password not in str(summary)
        assert client.happened() == []


def test_what_another_client_does(
    server: X2GoServer, screen: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[0]
    watching = {"auto_update_sessionregistry": True, "auto_register_sessions": True, "refresh_interval": 0.2}
    with (
        real_session(server, user, screen, tmp_path / "other", monkeypatch, cmd="xterm") as other,
        real_client(server, screen, tmp_path / "mine", monkeypatch, **watching) as client,
    ):
        assert other.start() is True
        name = str(other.get_session_name())
        mine = client.register_session(profile_name=user.name, return_object=True)
        client.connect_session(mine(), password=user.password)
        assert client.events == [("on_found_session_running_after_connect", name)]
        found = client.session_registry.get_session_of_session_name(name, return_object=True)
        assert found.get_control_session() is mine.get_control_session()
        client.events.clear()

        def happens(event: str) -> None:
            wait_until(lambda: (f"on_session_has_{event}", name) in client.events, event)
            client.events.clear()

        other.suspend()
        happens("been_suspended")
        assert client.session_registry.suspended_sessions() == [found]
        with cleaner_at_rest():
            other.resume()
        happens("resumed_by_other")
        with cleaner_at_rest():
            assert client.resume_session(session_name=name) is True  # taken over by this client
        happens("resumed_by_me")
        assert client.session_registry.associated_sessions() == [found]
        wait_until(lambda: not other.session_ok(), "the other client losing it")
        client.session_registry.update_status(profile_name=user.name, force_update=True)
        with cleaner_at_rest():
            assert other.resume() is True  # and by the other one
        wait_until(lambda: ("on_session_has_resumed_by_other", name) in client.events, "the takeover")
        assert found.has_terminal_session() is False
        assert found.is_running() is True
        client.events.clear()
        assert other.terminate() is True
        happens("terminated")
        assert client.session_registry.terminated_sessions() == [found]
        assert other.start() is True
        name = str(other.get_session_name())
        happens("started_by_other")
