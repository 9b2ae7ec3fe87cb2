"""x2gobroker-agent on a real X2Go Server: sessions are really suspended and terminated when it says OK, and counted."""

from __future__ import annotations

import contextlib
import functools
import shlex
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account
from tests.support.client_home import ClientHome, client_home
from tests.support.desktop import Desktop
from tests.support.our_agent import BROKER_ACCOUNT, INSTALLED, forced_key, our_agent
from tests.support.processes import wait_until
from tests.support.sshd import make_key
from tests.support.x2go_server import DATABASE, RunningSession, X2GoServer, x2go_server
from x2gobroker.agents import server as agent_module
from x2gobroker.model.sessions import parse_session

Said = tuple[int, str, str]


class Host:
    """An X2Go Server with our agent, and a client's home to connect from."""

    def __init__(self, server: X2GoServer, folder: Path, desktop: Desktop, home: ClientHome) -> None:
        self.server = server
        self.folder = folder
        self.desktop = desktop
        self.home = home
        self.anna, self.bert = server.users

    def ask(self, user: Account, task: str, *words: str) -> Said:
        """Ask the agent by SSH: exit status and both streams."""
        options = [f"UserKnownHostsFile={self.server.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
        flags = [word for option in options for word in ("-o", option)]
        argv = ["ssh", "-F", "none", *flags, "-i", str(self.folder / "broker"), "-p", str(self.server.port)]
        command = shlex.join([INSTALLED, user.name, task, *words])
        done = subprocess.run(
            [*argv, f"{BROKER_ACCOUNT}@127.0.0.1", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, user: Account) -> RunningSession:
        """A running session."""
        return self.server.start_session(user, self.desktop, self.home)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, screen: Desktop) -> Iterator[Host]:
    """One server for all tests here."""
    folder = tmp_path_factory.mktemp("agent")
    with our_agent() as agent, client_home() as home:
        line = forced_key(agent, make_key(folder / "broker"))
        with x2go_server(tmp_path_factory.mktemp("server"), 2, {BROKER_ACCOUNT: line}) as server:
            yield Host(server, folder, screen, home)


def alive(session: RunningSession) -> bool:
    """Whether the process of the session's agent runs."""
    with contextlib.suppress(OSError):
        return session.name.encode() in Path(f"/proc/{session.agent}/cmdline").read_bytes()
    return False


def test_a_session_is_suspended_when_the_agent_says_so(host: Host) -> None:
    session = host.start(host.anna)
    stop = threading.Event()

    def lists() -> None:
        while not stop.is_set():
            host.server.list_sessions(host.anna)

    # a listing by anybody takes back what is only wished for, as with the reference's agent
    listing = threading.Thread(target=lists)
    listing.start()
    try:
        assert host.ask(host.anna, "suspendsession", session.name) == (0, "OK\n", "")
        assert host.server.agent_state(host.anna, session.name) == "SUSPENDED"
        assert host.ask(host.anna, "suspendsession", session.name) == (0, "OK\n", "")
    finally:
        stop.set()
        listing.join(20)
    assert session.state == "S"
    assert host.ask(host.anna, "terminatesession", session.name) == (0, "OK\n", "")
    assert session.state == ""
    assert not alive(session)


def test_sessions_are_listed_counted_and_ended_for_their_user_only(host: Host) -> None:
    session = host.start(host.anna)
    status, output, _ = host.ask(host.anna, "listsessions")
    first, line = output.splitlines()
    assert (status, first) == (0, "OK")
    assert parse_session(line, host.anna.name).name == session.name
    assert host.ask(host.bert, "listsessions") == (0, "OK\n", "")

    name = socket.gethostname()
    for user in (host.anna, host.bert):
        # others on this machine may start and end sessions at the same time
        wait_until(functools.partial(counted_alike, host, user, "getservers", f"{name} "), "the same count")
        assert any(line.endswith(f":{name}") for line in host.ask(user, "findbusyservers")[1].splitlines())
    wait_until(lambda: counted_alike(host, host.bert, "checkload", "numSessions:"), "the same number of sessions")

    for task in ("suspendsession", "terminatesession"):
        status, output, errors = host.ask(host.bert, task, session.name)
        assert (status, output) == (1, "")
        assert f"{host.bert.name} has no session" in errors
        assert host.ask(host.anna, task, session.name + "x")[0] == 1
    assert session.state == "R"
    assert host.ask(host.anna, "terminatesession", session.name) == (0, "OK\n", "")
    assert session.state == ""
    assert not alive(session)
    assert host.ask(host.anna, "terminatesession", session.name)[0] == 1


def counted_alike(host: Host, user: Account, task: str, label: str) -> bool:
    """Whether the agent counts as many sessions on this host as there are, at least one."""
    count = in_database()
    return count > 0 and f"{label}{count}" in host.ask(user, task)[1].splitlines()


def in_database() -> int:
    """How many sessions of this host the session database has."""
    with contextlib.closing(sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, timeout=10)) as database:
        query = "SELECT count(*) FROM sessions WHERE status != 'F' AND server = ?"
        (count,) = database.execute(query, (socket.gethostname(),)).fetchone()
    return int(count)


def test_a_session_on_another_host_is_left_alone(host: Host) -> None:
    name = f"{host.anna.name}-99-1795167317_stRxterm_dp24"
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        values = (name, 99, host.anna.name, "elsewhere", "R", 1)
        database.execute(
            "INSERT INTO sessions (session_id, display, uname, server, status, agent_pid) VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
    for task in ("suspendsession", "terminatesession"):
        status, output, errors = host.ask(host.anna, task, name)
        assert (status, output) == (1, "")
        assert "but on elsewhere" in errors
    assert host.server.states(host.anna)[name] == "R"
    assert "elsewhere 1" in host.ask(host.anna, "getservers")[1].splitlines()
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        database.execute("DELETE FROM sessions WHERE session_id = ?", (name,))


def test_a_session_that_no_client_came_to(
    host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is listed as running, and would not hear that it is to suspend itself. In this process, for its deadline."""
    words = "800x600 lan 16m-jpeg-9 unix-kde-depth_24 us auto 0 R xterm both"
    name = host.server.run(host.anna, f"x2gostartagent {words}").splitlines()[3]
    wait_until(lambda: host.server.agent_state(host.anna, name) == "STARTING", "the session's agent")
    monkeypatch.setattr(agent_module, "SESSION_SECONDS", 1.0)
    assert agent_module.main([host.anna.name, "suspendsession", name]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "has not started" in captured.err
    assert host.server.states(host.anna)[name] == "R"
    assert host.ask(host.anna, "terminatesession", name) == (0, "OK\n", "")
    assert name not in host.server.states(host.anna)


def test_an_agent_that_does_not_end_is_no_success(
    host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    session = host.start(host.anna)
    monkeypatch.setattr(agent_module, "SESSION_SECONDS", 2.5)
    subprocess.run(["kill", "-STOP", str(session.agent)], check=True, timeout=20)
    try:
        for task in ("suspendsession", "terminatesession"):
            assert agent_module.main([host.anna.name, task, session.name]) == 1
            captured = capfd.readouterr()
            assert captured.out == ""
            assert captured.err.startswith("x2gobroker-agent: ")
    finally:
        subprocess.run(["kill", "-CONT", str(session.agent)], check=True, timeout=20)
    host.ask(host.anna, "terminatesession", session.name)  # on a busy machine it was not told in time before
    wait_until(lambda: not alive(session), "the end of the session's agent")
