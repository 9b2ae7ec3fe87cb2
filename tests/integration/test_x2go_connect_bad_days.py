"""What goes wrong with the connection of a control session: each with its documented exception, and nothing left."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.accounts import Account, account_with_home
from tests.support.control import control, known
from tests.support.failing_servers import frozen
from tests.support.leftovers import nothing_left
from tests.support.processes import free_port, wait_until
from tests.support.silent import silent_port
from tests.support.ssh_port import ssh_port
from tests.support.sshd import Sshd, sshd
from x2gobroker.x2go.control import X2GoControlSession
from x2gobroker.x2go.control import session as control_commands
from x2gobroker.x2go.control import session as control_connection
from x2gobroker.x2go.errors import (
    X2GoControlSessionException,
    X2GoRemoteHomeException,
    X2GoSFTPClientException,
    X2GoTimeOutException,
)

PASSWORD = "Right-pw-1"


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account_with_home(PASSWORD, "/bin/sh") as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd"), kinds=("ed25519",)) as running:
        yield running


@pytest.fixture
def session(server: Sshd, tmp_path: Path) -> Iterator[X2GoControlSession]:
    with nothing_left():
        made = control(known(tmp_path, server), tmp_path)
        yield made
        made.disconnect()


@pytest.fixture
def connected(session: X2GoControlSession, server: Sshd, user: Account) -> X2GoControlSession:
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    return session


def in_thread(work: Callable[[], object]) -> Callable[[], BaseException | None]:
    """Do this in a thread; what is returned waits for it, and returns what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> BaseException | None:
        thread.join(30)
        assert not thread.is_alive()
        return raised[0] if raised else None

    return result


def test_a_wrong_password(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    with pytest.raises(paramiko.AuthenticationException, match="refuses the password") as refusal:
        session.connect("127.0.0.1", server.port, user.name, "wrong-pw-1")
    assert "wrong-pw-1" not in str(refusal.value)
    assert (session.is_connected(), session.has_session_died()) == (False, False)
    assert session.connect("127.0.0.1", server.port, user.name, PASSWORD)


def test_no_server_no_such_name(session: X2GoControlSession, user: Account) -> None:
    with pytest.raises(ConnectionRefusedError, match="is an SSH server running there"):
        session.connect("127.0.0.1", free_port(), user.name, PASSWORD)
    with pytest.raises(socket.gaierror, match="cannot be resolved"):
        session.connect("no-such-host.invalid", 22, user.name, PASSWORD)


def test_a_server_that_hangs_up_or_never_says_anything(
    session: X2GoControlSession, user: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_port() as port, pytest.raises(paramiko.SSHException, match="no SSH connection comes about"):
        session.connect("127.0.0.1", port.port, user.name, PASSWORD)
    monkeypatch.setattr(control_connection, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"not done within 0\.5 s"):
            session.connect("127.0.0.1", silent.getsockname()[1], user.name, PASSWORD)
        assert time.monotonic() - begun < 3


def test_the_time_limit_of_tcp(session: X2GoControlSession, user: Account) -> None:
    """A listener whose queue is full answers nobody."""
    with silent_port() as port:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"within 0\.5 s"):
            session.connect("127.0.0.1", port, user.name, PASSWORD, timeout=0.5)
        assert time.monotonic() - begun < 3


def test_low_latency_doubles_the_limits(session: X2GoControlSession, user: Account) -> None:
    session.low_latency = True
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_connection, "CONNECT_SECONDS", 0.3)
        with pytest.raises(TimeoutError, match=r"not done within 0\.6 s"):
            session.connect("127.0.0.1", silent.getsockname()[1], user.name, PASSWORD)


def test_a_server_that_goes_away_right_after_the_login(user: Account, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd", config="ForceCommand kill -9 $PPID", kinds=("ed25519",)) as dying, nothing_left():
        session = control(known(tmp_path, dying), tmp_path)
        with pytest.raises(X2GoControlSessionException):
            session.connect("127.0.0.1", dying.port, user.name, PASSWORD)
        assert not session.is_connected()


def test_the_server_goes_away_in_the_middle_of_a_command(connected: X2GoControlSession, server: Sshd) -> None:
    result = in_thread(lambda: connected.command("touch begun; sleep 60", 60))
    wait_until(lambda: connected.command("test -e begun").status == 0, "the command being begun")
    server.end_connections()
    assert isinstance(result(), X2GoControlSessionException)
    assert connected.has_session_died()
    assert not connected.is_connected()
    assert not connected.is_alive()
    with pytest.raises(X2GoControlSessionException, match="lost; connect again"):
        connected.command("true")
    with pytest.raises(X2GoControlSessionException):
        connected.home_exists()
    assert connected.disconnect() is False


def test_the_server_goes_away_between_commands_and_comes_back(
    connected: X2GoControlSession, server: Sshd, user: Account
) -> None:
    server.end_connections()
    wait_until(connected.has_session_died, "the loss being noticed")
    with pytest.raises(X2GoControlSessionException):
        connected.remote_username()
    with pytest.raises(X2GoControlSessionException):
        connected.remote_peername()
    assert connected.connect("127.0.0.1", server.port, user.name, PASSWORD)
    assert not connected.has_session_died()
    assert connected.remote_username() == user.name


def test_a_command_that_takes_too_long_does_not_end_the_session(connected: X2GoControlSession) -> None:
    begun = time.monotonic()
    with pytest.raises(X2GoTimeOutException, match=r"within 0\.5 s"):
        connected.command("sleep 30", 0.5)
    assert time.monotonic() - begun < 3
    assert not connected.has_session_died()
    assert connected.is_alive()


def test_a_server_that_hangs(connected: X2GoControlSession, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_commands, "ALIVE_SECONDS", 0.5)
    with frozen(server):
        assert connected.is_alive() is False
        with pytest.raises(X2GoTimeOutException):
            connected.command("true", 0.5)
        with pytest.raises(X2GoSFTPClientException), connected.sftp(0.5):
            pass
    wait_until(connected.is_alive, "the server answering again")


def test_disconnecting_while_another_thread_runs_a_command(connected: X2GoControlSession, user: Account) -> None:
    result = in_thread(lambda: connected.command("touch begun-2; sleep 60", 60))
    wait_until((user.home / "begun-2").exists, "the command being begun")
    assert connected.disconnect() is True
    assert isinstance(result(), X2GoControlSessionException)
    assert not connected.has_session_died(), "it was ended, not lost"


def test_two_threads_connect_one_session(session: X2GoControlSession, server: Sshd, user: Account) -> None:
    results = [in_thread(lambda: session.connect("127.0.0.1", server.port, user.name, PASSWORD)) for _ in range(3)]
    assert [result() for result in results] == [None, None, None]
    assert session.is_alive()
    wait_until(lambda: len(server.connections()) == 1, "one connection being left")


def test_a_server_that_allows_one_command_at_a_time(user: Account, tmp_path: Path) -> None:
    with sshd(tmp_path / "sshd", config="MaxSessions 1", kinds=("ed25519",)) as narrow, nothing_left():
        session = control(known(tmp_path, narrow), tmp_path)
        session.connect("127.0.0.1", narrow.port, user.name, PASSWORD)
        results = [in_thread(lambda: session.command("sleep 0.2")) for _ in range(4)]
        assert [result() for result in results] == [None] * 4
        long = in_thread(lambda: session.command("touch begun-3; sleep 2"))
        wait_until((user.home / "begun-3").exists, "the long command being begun")
        with pytest.raises(X2GoControlSessionException, match="as it allows"):
            session.command("true", 0.5)
        assert long() is None
        assert not session.has_session_died()
        session.disconnect()


@pytest.mark.parametrize("how", ["missing", "unreadable"])
def test_no_home_folder(session: X2GoControlSession, server: Sshd, user: Account, how: str) -> None:
    elsewhere = user.home.with_name("elsewhere")
    if how == "missing":
        user.home.rename(elsewhere)
    else:
        user.home.chmod(0)
    try:
        with pytest.raises(X2GoRemoteHomeException, match=re.escape(str(user.home))):
            session.connect("127.0.0.1", server.port, user.name, PASSWORD)
        assert not session.is_connected()
    finally:
        if how == "missing":
            elsewhere.rename(user.home)
        else:
            user.home.chmod(0o700)
    session.connect("127.0.0.1", server.port, user.name, PASSWORD)
    user.home.chmod(0)
    try:
        assert session.home_exists() is False
    finally:
        user.home.chmod(0o700)
    assert session.home_exists() is True


def test_an_account_that_may_not_run_anything(session: X2GoControlSession, server: Sshd) -> None:
    with (
        account_with_home(PASSWORD, "/usr/sbin/nologin") as shut,
        pytest.raises(X2GoControlSessionException, match="This account is currently not available"),
    ):
        session.connect("127.0.0.1", server.port, shut.name, PASSWORD)


def test_a_server_without_file_transfers(connected: X2GoControlSession) -> None:
    with pytest.raises(X2GoSFTPClientException, match="Subsystem sftp"):
        connected.test_sftpclient()
    assert connected.is_alive()


def test_more_than_one_failure_leaves_nothing(server: Sshd, user: Account, tmp_path: Path) -> None:
    with nothing_left():
        session = control(known(tmp_path, server), tmp_path)
        for _ in range(3):
            with pytest.raises(paramiko.AuthenticationException):
                session.connect("127.0.0.1", server.port, user.name)
            with pytest.raises(OSError, match="refused"):
                session.connect("127.0.0.1", free_port(), user.name, PASSWORD)
