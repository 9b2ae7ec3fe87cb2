"""`UserSessions` on a real X2Go Server: what a portal does with a user's own login, where no agents are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import account_with_home
from tests.support.agents import DeadAgent
from tests.support.client_home import ClientHome
from tests.support.desktop import Desktop
from tests.support.leftovers import nothing_left
from tests.support.processes import wait_until
from tests.support.sshd import make_key, sshd
from tests.support.x2go_server import RunningSession, X2GoServer, cleaner_at_rest, x2go_server
from tests.unit.configured import Files
from x2gobroker.errors import SessionError
from x2gobroker.logs import broker_log
from x2gobroker.model.profile import SessionProfile, build_profile
from x2gobroker.settings import Settings
from x2gobroker.user_sessions import ClientWish, FoundSessions, UserLogin, UserSessions, WaitingSession

BACKEND = "inifile"
UNTOUCHED = "anna-50-1795167317_stRxterm_dp24"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server with two users."""
    with x2go_server(tmp_path_factory.mktemp("user-sessions"), users=2) as running:
        yield running


@dataclass
class Portal:
    """A broker's settings and its session profile, and somebody who has logged in."""

    settings: Settings
    folder: Path
    server: X2GoServer
    login: UserLogin

    def profile(self, *more_hosts: str, **options: str) -> SessionProfile:
        """A profile with the real server and others."""
        texts = {"host": ", ".join([f"{self.server.name} (127.0.0.1:{self.server.port})", *more_hosts]), **options}
        return build_profile("desk", texts, {}, lambda _option, _message: None)

    def find(self, *more_hosts: str, seconds: float = 20.0, proxy: str = "", policy: str = "") -> FoundSessions:
        """The user's sessions."""
        options = {"broker-agent-ssh-proxy": proxy, "broker-agent-hostkey-policy": policy}
        profile = self.profile(*more_hosts, **{name: value for name, value in options.items() if value})
        return UserSessions(BACKEND, list_seconds=seconds).find(self.settings, profile, self.login)

    def act(self, action: str, name: str, **more: object) -> WaitingSession | None:
        """Suspend, terminate or resume a session of the real server."""
        call: Callable[..., WaitingSession | None] = getattr(UserSessions(BACKEND), action)
        return call(self.settings, self.profile(), self.login, self.server.name, name, **more)

    def reason(self, action: str, name: str, **more: object) -> str:
        """Why that is not possible."""
        with pytest.raises(SessionError) as caught:
            self.act(action, name, **more)
        assert (self.login.password or self.login.private_key) not in str(caught.value)
        return caught.value.reason


@pytest.fixture
def portal(server: X2GoServer, tmp_path: Path) -> Iterator[Portal]:
    """A portal where the server's first user is logged in, with a password; agents are asked of nobody (NONE)."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    (folder / "known_hosts").write_text(server.known_hosts(server.name))  # not by its address: the name is enough
    files = Files(tmp_path, ({"X2GOBROKER_SSH_FOLDER": str(folder)},))
    files.write_defaults("")
    settings = files.write("[global]\ndefault-agent-query-mode = NONE\n")
    user = server.users[0]
    with nothing_left():
        yield Portal(settings, folder, server, UserLogin(user.name, user.password))
    server.end_sessions(user)


@pytest.fixture
def running(
    portal: Portal, screen: Desktop, home: ClientHome, tmp_path: Path
) -> Iterator[tuple[RunningSession, Desktop, ClientHome]]:
    """A session of the user that a client shows."""
    session = portal.server.start_session(portal.server.users[0], screen, home)
    yield session, screen, home
    session.proxy.stop()


def test_a_session_is_found_suspended_and_terminated(
    portal: Portal,
    running: tuple[RunningSession, Desktop, ClientHome],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, _, _ = running
    monkeypatch.setattr(broker_log, "propagate", True)
    with caplog.at_level("INFO", broker_log.name):
        (found,) = portal.find().sessions
        assert (found.name, found.state, found.kind) == (session.name, "R", "R")
        assert (found.host.name, found.is_suspended, found.is_view) == (portal.server.name, False, False)
        portal.act("suspend", session.name)
        assert session.state == "S"
        assert portal.find().sessions[0].is_suspended
        portal.act("terminate", session.name)
    wait_until(lambda: session.state == "", "the end of the session")
    assert portal.find() == FoundSessions((), {})
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "suspended over SSH",
        "terminated over SSH",
    ]
    assert portal.login.password not in caplog.text
    assert portal.reason("suspend", session.name) == "gone"
    assert portal.reason("terminate", session.name) == "gone"
    assert portal.reason("resume", session.name) == "gone"


def test_a_resumed_session_waits_for_its_client(
    portal: Portal, running: tuple[RunningSession, Desktop, ClientHome]
) -> None:
    session, screen, home = running
    user = portal.server.users[0]
    assert portal.reason("resume", session.name) == "shown"
    assert session.state == "R"  # and is left alone
    portal.act("suspend", session.name)
    session.proxy.stop()
    with cleaner_at_rest():
        waiting = portal.act("resume", session.name, wish=ClientWish(geometry="900x700"))
        assert waiting is not None
        assert (waiting.name, waiting.server.port) == (session.name, portal.server.port)
        assert re.fullmatch("[0-9a-f]{32}", waiting.cookie)
        assert waiting.cookie not in repr(waiting)
        assert portal.server.agent_state(user, session.name) == "RESUMING"
        assert portal.reason("resume", session.name) == "shown"
        options = f"cookie={waiting.cookie},port={waiting.graphics_port}"
        session.proxy = portal.server._proxy(screen, home, options, str(waiting.display))
        wait_until(lambda: portal.server.agent_state(user, session.name) == "RUNNING", "the client's connection")

        taken = portal.act("resume", session.name, take_over=True)
    assert taken is not None
    assert session.proxy.process.wait(20) is not None  # the client that showed it was let go
    portal.act("terminate", session.name)  # also while it waits for a client
    wait_until(lambda: session.state == "", "the end of the session")


def test_a_session_of_somebody_else_cannot_be_touched(
    portal: Portal, running: tuple[RunningSession, Desktop, ClientHome]
) -> None:
    session, _, _ = running
    other = portal.server.users[1]
    portal.login = UserLogin(other.name, other.password)
    assert portal.find().sessions == ()
    for action in ("suspend", "terminate", "resume"):
        assert portal.reason(action, session.name) == "gone"
    assert session.state == "R"


def test_a_key_instead_of_a_password(portal: Portal) -> None:
    text = (portal.server.folder / "key").read_text()
    portal.login = UserLogin(portal.login.account, private_key=text)
    assert portal.find() == FoundSessions((), {})
    assert text not in repr(portal.login)


def test_servers_that_do_not_answer_hold_up_nobody(portal: Portal) -> None:
    with DeadAgent("refusing") as refusing, DeadAgent("silent") as silent:
        begun = time.monotonic()
        found = portal.find(
            *(f"{name} (127.0.0.1:{dead.port})" for name, dead in (("gone", refusing), ("mute", silent))), seconds=4.0
        )
        assert time.monotonic() - begun < 7.0
    reasons = {host.name: error.reason for host, error in found.failed.items()}
    assert reasons == {"gone": "unreachable", "mute": "timeout"}


def test_wrong_login_and_unknown_host_key(portal: Portal, tmp_path: Path) -> None:
    user = portal.login.account
    portal.login = UserLogin(user, "Falsches-w0rt")
    (error,) = portal.find().failed.values()
    assert (error.reason, str(error).rpartition(": ")[2]) == ("login", "the server refuses the password")
    assert portal.reason("terminate", UNTOUCHED) == "login"
    portal.login = UserLogin(user, private_key="no key")
    assert portal.reason("suspend", UNTOUCHED) == "login"
    portal.login = UserLogin(user, portal.server.users[0].password)
    (portal.folder / "known_hosts").write_text("")
    (error,) = portal.find().failed.values()
    assert error.reason == "host-key"
    assert "SHA256:" in str(error)
    assert "x2gobroker-testagent" in str(error)
    other = make_key(tmp_path / "other").split()
    (portal.folder / "known_hosts").write_text(f"[127.0.0.1]:{portal.server.port} {other[0]} {other[1]}\n")
    assert [error.reason for error in portal.find(policy="AutoAddPolicy").failed.values()] == ["host-key"]
    (portal.folder / "known_hosts").write_text("")
    assert portal.find(policy="AutoAddPolicy").failed == {}
    assert f"[127.0.0.1]:{portal.server.port}" in (portal.folder / "known_hosts").read_text()


def test_only_servers_of_the_profile_and_names_of_sessions(portal: Portal) -> None:
    with pytest.raises(SessionError) as caught:
        UserSessions(BACKEND).suspend(portal.settings, portal.profile(), portal.login, "elsewhere", UNTOUCHED)
    assert caught.value.reason == "unknown-server"
    assert portal.reason("terminate", "$(reboot)") == "gone"
    view = f"{portal.login.account}-50-1795167317_stS0XSHADannaXSHADPP50_dp24"
    assert portal.reason("suspend", view) == "refused"
    assert portal.reason("resume", view) == "refused"


def test_through_the_proxy_of_the_agents(portal: Portal, tmp_path: Path) -> None:
    line = make_key(portal.folder / "id_ed25519")
    with account_with_home("Proxy-w0rt+4") as jump, sshd(tmp_path / "proxy", authorized={jump.name: line}) as proxy:
        with (portal.folder / "known_hosts").open("a") as file:
            file.write(proxy.host_key_lines("127.0.0.1"))
        found = portal.find(proxy=f"{jump.name}@127.0.0.1:{proxy.port}")
        assert found == FoundSessions((), {})
        assert f"Accepted publickey for {jump.name}" in proxy.log_text()
        assert "password" not in "".join(line for line in proxy.log_text().splitlines() if "Accepted" in line)
        with pytest.raises(SessionError, match="SSH proxy"):
            portal.find(proxy="@nowhere")
