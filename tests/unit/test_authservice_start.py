"""How the authentication service starts: modes, its socket, one that it is given, and what it tells the init system."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from x2gobroker.cli.sockets import account_ids, make_socket, mode_of, notify_init_system, passed_socket
from x2gobroker.errors import ConfigurationError

ME = os.geteuid(), os.getegid()


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("660", 0o660), ("0o660", 0o660), ("600", 0o600)])
def test_modes(text: str, mode: int) -> None:
    assert mode_of(text) == mode


@pytest.mark.parametrize("text", ["", "rw", "0680", "666", "0o661", "-660", "1660", "0x1b0", "6.0"])
def test_modes_that_are_none_or_let_everybody_ask(text: str) -> None:
    with pytest.raises(ConfigurationError):
        mode_of(text)


def test_accounts_that_do_not_exist_are_named() -> None:
    assert account_ids("root", "root") == (0, 0)
    for owner, group in (("x2gt-nobody", "root"), ("root", "x2gt-nobody")):
        with pytest.raises(ConfigurationError, match="x2gt-nobody"):
            account_ids(owner, group)


def test_the_socket_has_its_mode_and_takes_connections(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "s"
    before = os.umask(0o022)
    os.umask(before)
    with make_socket(path, *ME, 0o660), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert os.umask(before) == before


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    make_socket(path, *ME, 0o600).close()
    with make_socket(path, *ME, 0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_that_somebody_listens_on_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with make_socket(path, *ME, 0o600), pytest.raises(ConfigurationError, match=r"listens on .* already"):
        make_socket(path, *ME, 0o600)
    assert path.exists()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("/etc/hosts")])
def test_what_is_no_socket_stays(tmp_path: Path, make: object) -> None:
    path = tmp_path / "s"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigurationError, match="no socket"):
        make_socket(path, *ME, 0o600)
    assert path.is_symlink() or path.exists()


def test_a_path_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "s", tmp_path / ("x" * 200)):
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            make_socket(path, *ME, 0o600)


def test_a_socket_passed_by_an_init_system_is_used(tmp_path: Path) -> None:
    script = "import os; os.environ['LISTEN_PID'] = str(os.getpid()); os.dup2(int(os.environ['PASSED']), 3);"
    script += "from x2gobroker.cli.sockets import passed_socket; print(passed_socket().getsockname())"
    with make_socket(tmp_path / "s", *ME, 0o600) as listener:
        passed = os.dup(listener.fileno())
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "LISTEN_FDS": "1", "PASSED": str(passed)},
            pass_fds=[passed],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        os.close(passed)
    assert done.stdout.strip() == str(tmp_path / "s"), done.stderr


@pytest.mark.parametrize(
    "variables",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "2", "LISTEN_PID": "me"}],
)
def test_a_socket_passed_to_somebody_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("LISTEN_FDS", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "me" else value)
    assert passed_socket() is None


@pytest.mark.parametrize("prefix", ["", "@"])
def test_the_init_system_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    address = prefix + str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind("\0" + address[1:] if prefix else address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify_init_system("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "@x2gt-nobody-listens"])
def test_an_init_system_that_does_not_listen_is_no_trouble(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify_init_system("READY=1")
