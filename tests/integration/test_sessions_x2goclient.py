"""Sessions as users of the real X2Go Client have them: with a real X2Go Server, and agents that tell of sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import client_account
from tests.support.desktop import Desktop, desktop
from tests.support.our_agent import INSTALLED, our_agent
from tests.support.processes import wait_until
from tests.support.session_scenario import KEY_SECONDS, PROXY_KEYS, SessionBroker, session_broker
from tests.support.x2go_server import X2GoServer, cleaner_at_rest, x2go_server
from tests.support.x2goclient import X2GoClient, x2goclient

PROFILES = 3
SIGN_INS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here, with a user for each."""
    with x2go_server(tmp_path_factory.mktemp("x2go-server"), users=2) as running:
        yield running


@contextlib.contextmanager
def broker_with(agent: Path, server: X2GoServer, folder: Path) -> Iterator[SessionBroker]:
    """A broker that asks this agent. Its log holds no secrets; all sessions are ended afterwards."""
    with session_broker(folder / "broker", server, agent) as place:
        yield place
        assert "PRIVATE KEY" not in place.broker.log()
        for user in server.users:
            server.end_sessions(user)


@contextlib.contextmanager
def logged_in(place: SessionBroker, user: Account, screen: Desktop, pictures: Path) -> Iterator[X2GoClient]:
    """A client of an account of its own, in front of the list of profiles."""
    with (
        client_account(place.known_hosts) as home,
        x2goclient(screen, home, place.url, pictures) as client,
    ):
        client.log_in(user.name, user.password)
        client.wait_for_profiles(PROFILES)
        yield client


@contextlib.contextmanager
def logged_in_again(
    place: SessionBroker, user: Account, screen: Desktop, pictures: Path, state: str
) -> Iterator[X2GoClient]:
    """The same, with a list that tells of the user's session.

    A list waits two seconds for agents. Where a busy machine takes longer, users sign in once more.
    """
    for attempt in range(SIGN_INS):
        with logged_in(place, user, screen, pictures / str(attempt)) as client:
            if f"status={state}\n" in client.answers[-1]:
                yield client
                return
    raise AssertionError(f"no list of {SIGN_INS} tells of a session in state {state}")


@contextlib.contextmanager
def second_screen(folder: Path) -> Iterator[Desktop]:
    """A screen for another client."""
    (folder / "screen").mkdir()
    with desktop(folder / "screen") as running:
        yield running


def only_session(server: X2GoServer, user: Account, state: str) -> str:
    """The name of the user's one session, once it is in this state."""
    wait_until(lambda: list(server.states(user).values()) == [state], f"one session in state {state}")
    return next(iter(server.states(user)))


def test_a_session_is_found_again_and_taken_over(
    server: X2GoServer, screen: Desktop, pictures: Path, tmp_path: Path
) -> None:
    """Autologin; close the client and come back to the same session; take it over on another screen."""
    user = server.users[0]
    title = f"{user.name}@{server.name}"
    with our_agent() as agent, broker_with(agent, server, tmp_path) as place:
        with logged_in(place, user, screen, pictures / "first") as client:
            client.choose("Auto login")
            name = only_session(server, user, "R")
            first_key = key_blobs(place.keys_of(user))
            client.wait_for_window(title)
            assert client.offered == []
            client.quit()
        only_session(server, user, "S")
        with logged_in_again(place, user, screen, pictures / "again", "S") as client:
            client.choose("Auto login")
            with cleaner_at_rest():
                client.resume()
                assert only_session(server, user, "R") == name
                client.wait_for_window(title)
            with (
                second_screen(tmp_path) as elsewhere,
                logged_in_again(place, user, elsewhere, pictures / "elsewhere", "R") as other,
            ):
                other.choose("Auto login")
                with cleaner_at_rest():
                    other.resume()
                    other.wait_for_window(title)
                cookie = other.offered[0][6]
                assert cookie not in place.broker.log()
                # the answer to its last report may come behind the list
                wait_until(
                    lambda: sum("START_USER_SESSIONS" in answer for answer in client.answers) == 2,
                    "the first client listing its profiles",
                )
                assert client.dialogs() == {}, "the session has left the first screen"
                reported = [event for event in client.events if event != "ALIVE"]
                assert reported == ["CONNECTING", "CONNECTED", "FINISHED"]
                assert client.failures == other.failures == []
                assert only_session(server, user, "R") == name
        assert_taken_away(place, user, first_key)


@pytest.mark.reference
def test_debian_agent_and_ssh_proxy(server: X2GoServer, screen: Desktop, pictures: Path, tmp_path: Path) -> None:
    """The same with Debian's agent and through an SSH proxy host: the key is put on the proxy host, too."""
    user = server.users[1]
    title = f"{user.name}@{server.name}"
    with broker_with(Path(INSTALLED), server, tmp_path) as place:
        with logged_in(place, user, screen, pictures / "first") as client:
            client.choose("Proxied")
            name = only_session(server, user, "R")
            keys = key_blobs(place.keys_of(user, PROXY_KEYS))
            assert keys == key_blobs(place.keys_of(user))
            client.wait_for_window(title)
            assert f"Accepted publickey for {user.name} " in place.proxy.log_text()
            client.quit()
        only_session(server, user, "S")
        with logged_in(place, user, screen, pictures / "again") as client:
            client.choose("Proxied")
            with cleaner_at_rest():
                client.resume()
                assert only_session(server, user, "R") == name
                client.wait_for_window(title)
        assert_taken_away(place, user, keys)
        assert_taken_away(place, user, keys, PROXY_KEYS)


def key_blobs(lines: str) -> set[str]:
    """The keys in the text of an authorized_keys file; there has to be one."""
    found = {word for line in lines.splitlines() for word in line.split() if word.startswith("AAAA")}
    assert found, "no key was put here"
    return found


def assert_taken_away(place: SessionBroker, user: Account, keys: set[str], file: str = ".x2go/authorized_keys") -> None:
    """The broker takes these keys away; they are due already, or soon."""
    wait_until(
        lambda: not any(key in place.keys_of(user, file) for key in keys),
        "the first autologin keys taken away",
        KEY_SECONDS + 30,
    )
