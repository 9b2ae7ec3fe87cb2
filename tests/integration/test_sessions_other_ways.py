"""Sessions for users who come to the broker in other ways: X2Go Client over SSH, and PyHoca."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client_home import client_account
from tests.support.client_scenario import configuration
from tests.support.desktop import Desktop
from tests.support.our_agent import BROKER_ACCOUNT, forced_key, our_agent
from tests.support.processes import wait_until
from tests.support.pyhoca import Pyhoca
from tests.support.session_scenario import SETTINGS, profiles, session_broker, ssh_folder
from tests.support.ssh_broker import ssh_broker
from tests.support.x2go_server import X2GoServer, cleaner_at_rest, x2go_server
from tests.support.x2goclient import x2goclient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here, with a user for each."""
    with x2go_server(tmp_path_factory.mktemp("x2go-server"), users=2) as running:
        yield running


def test_x2goclient_over_ssh(server: X2GoServer, screen: Desktop, pictures: Path) -> None:
    """The broker is a command on an SSH server; the client gets a session's line and a key from it, and resumes."""
    user = server.users[0]
    known = server.known_hosts("127.0.0.1")
    with our_agent() as agent, ssh_broker() as broker:
        keys = broker.folder / "ssh"
        server.sshd.authorize(BROKER_ACCOUNT, forced_key(agent, ssh_folder(keys, known)))
        for path in (keys, *keys.iterdir()):
            shutil.chown(path, broker.account, broker.account)
        with broker.defaults.open("a") as defaults:
            defaults.write(f"X2GOBROKER_SSH_FOLDER = {keys}\nX2GOBROKER_AGENT_CMD = {agent}\n")
        broker.write(configuration("{state}", broker.folder, SETTINGS, "none"), profiles(server, server.sshd))
        broker.admit(user.name)
        url = f"ssh://{user.name}@127.0.0.1:{server.port}{broker.program}"
        with client_account(known) as home:
            session = server.start_session(user, screen, home)
            session.drop_client()
            with x2goclient(screen, home, url, pictures) as client:
                client.log_in_again(user.password)
                client.wait_for_profiles(3)
                client.choose("Auto login")
                with cleaner_at_rest():
                    client.resume()
                    server.wait_for_state(user, session.name, "R")
                    client.wait_for_window(f"{user.name}@{server.name}")
                wait_until(lambda: "--event ALIVE" in server.commands(user)[-1], "the client reporting its session")
        assert list(server.states(user)) == [session.name]
        assert any("--task selectsession" in command for command in server.commands(user))
        server.end_sessions(user)


def test_pyhoca(server: X2GoServer, screen: Desktop, tmp_path: Path) -> None:
    """pyhoca-cli starts a session with the user's password and comes back to it; for autologin it sends its own key.

    With that it gets no further: the version in Debian 12 ends with a TypeError when its key is accepted.
    """
    user = server.users[1]
    with (
        our_agent() as agent,
        session_broker(tmp_path / "broker", server, agent) as place,
        client_account(place.known_hosts) as home,
    ):
        url = f"{place.broker.url}/json/inifile/".replace("://", f"://{user.name}@")
        pyhoca = Pyhoca(home, screen, url, user.password)
        with pyhoca.session("own", user.password, "--new"):
            wait_until(lambda: list(server.states(user).values()) == ["R"], "a session of PyHoca")
            name = next(iter(server.states(user)))
            wait_until(lambda: server.agent_state(user, name) == "RUNNING", "the session in use")
        server.wait_for_state(user, name, "S")
        with cleaner_at_rest(), pyhoca.session("own", user.password, "--resume", name):
            server.wait_for_state(user, name, "R")
            wait_until(lambda: server.agent_state(user, name) == "RUNNING", "the session in use")
        server.end_sessions(user)
        with pyhoca.session("auto", user.password, "--new"):
            wait_until(lambda: "AAAA" in place.keys_of(user), "the key that PyHoca sent put on the server")
        assert "BEGIN" not in place.broker.log()
