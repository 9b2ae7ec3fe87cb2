"""The library on a real X2Go Server, and what goes wrong there: a reason is given, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desktop import Desktop
from tests.support.processes import wait_until
from tests.support.shown_session import QUIET, client, resumed, started, window
from tests.support.x2go_server import X2GoServer, cleaner_at_rest, x2go_server
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.errors import X2GoControlSessionException
from x2gobroker.x2go.terminal import session as terminal_module

LIMITS = Path("/etc/x2go/x2goserver.conf")
START = "x2gostartagent 800x600 lan 16m-jpeg-9 unix-kde-depth_24 us auto 0 R xterm both"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """A real X2Go Server; the second user has never been there."""
    with x2go_server(tmp_path_factory.mktemp("x2go-bad-days"), users=2) as running:
        yield running


@pytest.fixture
def control(server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch) -> Iterator[X2GoControlSession]:
    """A control session of the first user, of which nothing may be left."""
    with client(server, server.users[0], screen, monkeypatch) as connected:
        yield connected
    server.end_sessions(server.users[0])


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("NXPROXY_BINARY", "/nonexistent/nxproxy", "nxproxy is not installed"),
        ("DISPLAY", "", "DISPLAY is not set"),
        ("DISPLAY", ":4567", "no X server"),
        ("XAUTHORITY", "/nonexistent/authority", "X server refuses"),
    ],
)
def test_a_client_that_cannot_show_sessions(
    server: X2GoServer,
    control: X2GoControlSession,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    reason: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert control.start(cmd="xterm", **QUIET) is None
    assert reason in control.last_failure
    server.wait_for_no_session(server.users[0])
    assert control.is_alive()


@contextlib.contextmanager
def limit(user: str, number: int) -> Iterator[None]:
    """A limit of sessions for one user of the machine."""
    before = LIMITS.read_text(encoding="utf-8")
    header = "[limit users]"
    assert header in before
    LIMITS.write_text(before.replace(header, f"{header}\n{user}={number}"), encoding="utf-8")
    try:
        yield
    finally:
        LIMITS.write_text(before, encoding="utf-8")


def test_the_limit_of_sessions(server: X2GoServer, control: X2GoControlSession) -> None:
    with limit(server.users[0].name, 1):
        first = started(control, cmd="xterm")
        assert control.start(cmd="xterm", **QUIET) is None
        assert "limit of sessions" in control.last_failure
        assert list(server.states(server.users[0])) == [first.get_session_name()]
        assert first.ok()


def test_the_server_is_gone_before_and_after_a_start(
    server: X2GoServer, screen: Desktop, control: X2GoControlSession
) -> None:
    terminal = started(control, cmd="xterm")
    window(screen, f"{server.users[0].name}@")
    server.sshd.end_connections()
    wait_until(lambda: not terminal.ok(), "the end of the proxy")
    assert control.has_session_died()
    with pytest.raises(X2GoControlSessionException):
        control.start(cmd="xterm", **QUIET)
    with pytest.raises(X2GoControlSessionException):
        terminal.suspend()
    with pytest.raises(X2GoControlSessionException):
        control.resume(terminal.get_session_name())
    server.wait_for_state(server.users[0], terminal.get_session_name(), "S")


def test_the_server_goes_away_during_a_start(server: X2GoServer, control: X2GoControlSession) -> None:
    user = server.users[0]
    outcome: list[BaseException | None] = []

    def start() -> None:
        try:
            control.start(cmd="xterm", **QUIET)
            outcome.append(None)
        except X2GoControlSessionException as error:
            outcome.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    wait_until(lambda: any("x2gostartagent" in line for line in server.commands(user)[-1:]), "the start")
    server.sshd.end_connections()
    thread.join(30)
    assert isinstance(outcome[0], X2GoControlSessionException)
    assert control.associated_terminals == {}


def test_a_session_that_nobody_connected_to_is_not_resumed(
    server: X2GoServer, control: X2GoControlSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_module, "STARTING_PATIENCE", 1)
    user = server.users[0]
    said = server.run(user, START).splitlines()
    agent, name = int(said[2]), said[3]
    assert control.resume(name, **QUIET) is None
    assert "no client has connected" in control.last_failure
    # what such an agent leaves when it gives up after 60 s: its state, and a row that says it was running
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{agent}").exists(), "the end of the agent")
    assert server.agent_state(user, name) == "STARTING"
    assert control.resume(name, session_list={name: _info(control, name)}, **QUIET) is None
    assert control.last_failure
    assert not control.suspend(name)
    assert control.is_alive()


def _info(control: X2GoControlSession, name: str) -> object:
    """What the server says of a session, or would have said a moment ago."""
    from x2gobroker.x2go.wire.listing import X2GoServerSessionInfo

    info = control.list_sessions(refresh=True).get(name)
    if info is None:
        info = X2GoServerSessionInfo()
        info.name, info.initialized = name, True
    return info


def test_the_agent_dies_under_its_session(server: X2GoServer, control: X2GoControlSession) -> None:
    terminal = started(control, cmd="xterm")
    os.kill(terminal.session_info.agent_pid, signal.SIGKILL)
    wait_until(lambda: not terminal.ok(), "the end of the proxy")
    assert not terminal.suspend()
    name = terminal.get_session_name()
    wait_until(lambda: name not in server.states(server.users[0]), "the session being forgotten")
    assert control.has_terminated(name)
    assert control.associated_terminals == {}


def test_the_proxy_is_killed(server: X2GoServer, screen: Desktop, control: X2GoControlSession) -> None:
    terminal = started(control, cmd="xterm")
    window(screen, f"{server.users[0].name}@")
    proxy = terminal.proxy
    assert proxy is not None
    assert proxy.proxy is not None
    proxy.proxy.kill()
    wait_until(lambda: not terminal.ok(), "the end of the proxy")
    name = terminal.get_session_name()
    server.wait_for_state(server.users[0], name, "S")
    again = resumed(control, name)
    assert again.ok()


def test_two_threads_resume_the_same_session(server: X2GoServer, screen: Desktop, control: X2GoControlSession) -> None:
    terminal = started(control, cmd="xterm")
    window(screen, f"{server.users[0].name}@")
    name = terminal.get_session_name()
    assert terminal.suspend()
    shown: list[object] = []
    threads = [threading.Thread(target=lambda: shown.append(control.resume(name, **QUIET))) for _ in range(2)]
    with cleaner_at_rest():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert len(shown) == 2
    assert all(shown), control.last_failure
    last = control.associated_terminals[name]
    assert last.ok()
    assert control.terminate(name)
    # somebody who listed sessions at that moment may have written the old state back; the server's cleaner mends that
    wait_until(lambda: server.states(server.users[0]) == {}, "the session being forgotten")


def test_a_home_folder_that_cannot_be_written(
    server: X2GoServer, screen: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = server.users[1]
    with client(server, user, screen, monkeypatch) as connected:
        user.home.chmod(0o555)
        try:
            assert connected.start(cmd="xterm", **QUIET) is None
            assert "home folder" in connected.last_failure
            assert connected.is_alive()
        finally:
            user.home.chmod(0o755)
        server.end_sessions(user)
