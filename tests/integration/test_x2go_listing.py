"""Lists of sessions of a real X2Go Server: quick, and right at once whatever happens to the sessions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import ClientHome, client_home
from tests.support.desktop import Desktop
from tests.support.processes import wait_until
from tests.support.x2go_control import asks_in_full, change_database, control_session, settle
from tests.support.x2go_server import RunningSession, X2GoServer, cleaner_at_rest, x2go_server
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.wire.listing import X2GoServerSessionList
from x2gobroker.x2go.wire.session_probe import FRESH_SECONDS

# Python X2Go in a process of its own: it replaces parts of the standard library
REFERENCE = """\
import json, os, sys
import gevent.monkey
from x2go.session import X2GoSession
port, user, password, known_hosts = sys.argv[1:]
session = X2GoSession(server="127.0.0.1", port=int(port), add_to_known_hosts=True, known_hosts=known_hosts)
session.connect(user, password)
print("RESULT " + json.dumps(sorted(session.control_session.list_sessions())), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[X2GoServer]:
    """One X2Go Server for all tests here."""
    with x2go_server(tmp_path_factory.mktemp("x2go-server")) as running:
        yield running


@pytest.fixture
def user(server: X2GoServer) -> Account:
    """Its user."""
    return server.users[0]


@pytest.fixture
def control(server: X2GoServer, user: Account) -> Iterator[X2GoControlSession]:
    """A control session that has listed once."""
    with control_session(server.sshd, user) as connected:
        connected.list_sessions()
        yield connected


@pytest.fixture(scope="module")
def session(server: X2GoServer, screen: Desktop) -> Iterator[RunningSession]:
    """A session that another client has started."""
    with client_home() as home:
        running = server.start_session(server.users[0], screen, home)
        yield running
        server.end_sessions(server.users[0])


def same_as_server(server: X2GoServer, user: Account, control: X2GoControlSession) -> X2GoServerSessionList:
    """List sessions, and compare with what the server lists after that, age aside."""
    ours = control.list_sessions()
    theirs = X2GoServerSessionList("\n".join(server.list_sessions(user)))
    assert sorted(ours) == sorted(theirs)
    for name, info in ours.items():
        known = {key: value for key, value in vars(info).items() if key not in ("age", "session_type_cached")}
        told = vars(theirs[name])
        assert known == {key: told[key] for key in known}
        assert abs(info.age - told["age"]) <= 2
    return ours


def test_what_other_clients_do_is_seen_at_once(
    server: X2GoServer, user: Account, control: X2GoControlSession, screen: Desktop, home: ClientHome
) -> None:
    settle(control)
    assert not control.list_sessions()
    assert not asks_in_full(control)
    session = server.start_session(user, screen, home)
    assert control.is_running(session.name) is True
    settle(control)
    first = same_as_server(server, user, control)[session.name]
    assert (first.agent_pid, first.username, first.hostname) == (session.agent, user.name, server.name)
    assert not asks_in_full(control)

    server.run(user, f"x2gosuspend-session {session.name}")
    assert control.is_suspended(session.name) is True
    settle(control)
    assert same_as_server(server, user, control)[session.name].is_suspended()

    server.resume_session(session, screen, home)
    assert control.is_running(session.name) is True
    settle(control)
    assert same_as_server(server, user, control)[session.name].is_running()

    assert control.has_terminated(session.name) is False
    server.run(user, f"x2goterminate-session {session.name}")
    assert control.has_terminated(session.name) is True
    assert control.is_running(session.name) is None
    assert control.is_suspended(session.name) is None
    assert control.has_terminated("nobody-50-1795167317_stRxterm_dp24") is None
    wait_until(lambda: not server.states(user), "the end of the session")


def test_the_wish_of_an_agent_is_seen_when_it_is_fulfilled_and_not_undone(
    server: X2GoServer, user: Account, control: X2GoControlSession, session: RunningSession
) -> None:
    settle(control)
    # as Debian's broker agent does: the cleaner suspends the session some seconds later, unless somebody lists before
    change_database("UPDATE sessions SET status = 'S' WHERE session_id = ?", session.name)

    def suspended() -> bool:
        is_suspended = control.is_suspended(session.name)
        return bool(is_suspended) and server.agent_state(user, session.name) == "SUSPENDED"

    wait_until(suspended, "the wish being fulfilled and seen", FRESH_SECONDS - 2)
    assert server.states(user) == {session.name: "S"}


def test_threads_list_at_the_same_time(
    server: X2GoServer,
    user: Account,
    control: X2GoControlSession,
    session: RunningSession,
    screen: Desktop,
    home: ClientHome,
) -> None:
    failures: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                if list(control.list_sessions()) != [session.name]:
                    failures.append("another list")
            except Exception as error:  # noqa: BLE001 - whatever happens in the thread fails the test
                failures.append(repr(error))

    threads = [threading.Thread(target=look, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.resume_session(session, screen, home)
    assert control.is_running(session.name) is True
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert control.is_running(session.name) is True


def test_a_lost_client_is_seen_at_once(
    server: X2GoServer, user: Account, control: X2GoControlSession, session: RunningSession
) -> None:
    settle(control)
    assert control.is_running(session.name) is True
    session.proxy.stop(signal.SIGKILL)
    wait_until(lambda: server.agent_state(user, session.name) == "SUSPENDED", "the agent noticing that")
    assert control.is_suspended(session.name) is True


def test_a_session_that_others_take_away_is_let_go(
    server: X2GoServer,
    user: Account,
    control: X2GoControlSession,
    session: RunningSession,
    screen: Desktop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", screen.display)
    monkeypatch.setenv("XAUTHORITY", str(screen.authority))
    with cleaner_at_rest():
        terminal = control.resume(session.name)
    assert terminal is not None
    assert control.is_running(session.name) is True
    assert control.associated_terminals == {session.name: terminal}
    server.run(user, f"x2gosuspend-session {session.name}")
    assert control.is_suspended(session.name) is True
    assert control.associated_terminals == {}
    assert terminal.is_suspended()
    assert not terminal.ok()


def test_lines_that_are_no_sessions_are_left_out(
    server: X2GoServer,
    user: Account,
    control: X2GoControlSession,
    session: RunningSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settle(control)
    start = f"{user.name}-"
    columns = "session_id, display, uname, server, status, cookie, agent_pid, client, gr_port, sound_port, fs_port"
    new, odd, view = (
        f"{start}7001-1795167317",
        f"{start}7002-1795167317|x",
        f"{start}7003-1795167317_stS1XSHADaXSHADPP9_dp24",
    )
    insert = f"INSERT INTO sessions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - no values in it
    secret = "c0ffee" * 5 + "00"
    try:
        change_database(insert, new, 7001, user.name, server.name, "R", None, None, None, None, None, None)
        change_database(insert, odd, 7002, user.name, server.name, "R", secret, 1, "a", "zero", 0, 0)
        change_database(insert, view, 7003, user.name, server.name, "R", secret, 1, "127.0.0.1", 1, 2, 3)
        control.logger.loglevel = 255
        with caplog.at_level("DEBUG", logger="x2go.control"):
            found = control.list_sessions(refresh=True)
        assert sorted(found) == sorted([session.name, view])
        assert found[view].get_share_mode() == "1"
        assert found.unclear == {new, f"{start}7002-1795167317"}
        assert "left out" in caplog.text
        assert secret not in caplog.text
        assert asks_in_full(control), "a list that is not understood is not one to be trusted"
        assert control.is_running(new) is None
        assert control.has_terminated(new) is None or control.has_terminated(new) is False
        assert secret in control.list_sessions(raw=True)
    finally:
        change_database("DELETE FROM sessions WHERE display IN (7001, 7002, 7003)")
    settle(control)
    assert list(control.list_sessions()) == [session.name]


def test_lists_are_the_callers_own(control: X2GoControlSession, session: RunningSession) -> None:
    settle(control)
    control.list_sessions()[session.name].status = "R"
    control.list_sessions().sessions.clear()
    assert not asks_in_full(control)
    assert control.list_sessions()[session.name].status == "S"


def test_python_x2go_lists_the_same(
    server: X2GoServer, user: Account, session: RunningSession, control: X2GoControlSession, tmp_path: Path
) -> None:
    argv = ["/usr/bin/python3", "-c", REFERENCE, str(server.port), user.name, user.password, str(tmp_path / "known")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    told = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    assert json.loads(told.removeprefix("RESULT ")) == sorted(control.list_sessions()) == [session.name]


def test_an_agent_that_was_killed_is_listed_as_long_as_the_server_does(
    server: X2GoServer, user: Account, control: X2GoControlSession, session: RunningSession
) -> None:
    settle(control)
    # the cleaner spares sessions in their first half minute
    change_database(
        "UPDATE sessions SET init_time = datetime(init_time, '-60 seconds') WHERE session_id = ?", session.name
    )
    with cleaner_at_rest():  # else it may end the session in between
        os.kill(session.agent, signal.SIGKILL)
        assert asks_in_full(control)
        assert asks_in_full(control), "a list with a dead agent is not one to be trusted"

    def gone() -> bool:
        told = bool(server.list_sessions(user))
        ours = control.list_sessions()
        return not told and not ours

    wait_until(gone, "the end of a session without an agent")
    assert control.has_terminated(session.name) is True
