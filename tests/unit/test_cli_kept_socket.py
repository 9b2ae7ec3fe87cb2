"""The port that systemd keeps for the daemon: which one is taken, and what is done with the others."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from x2gobroker.cli.daemon import kept_socket
from x2gobroker.cli.daemon.kept_socket import NAME, VARIABLES, keep, passed_listener

FIRST = 700
Pass = Callable[..., None]


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pass]:
    """Pass descriptors as systemd does, but from another number on; those that nobody has closed are, at the end."""
    monkeypatch.setattr(kept_socket, "FIRST_PASSED_DESCRIPTOR", FIRST)

    def begin(*named: tuple[str, socket.socket | int], pid: int = 0, names: bool = True) -> None:
        for at, (_, what) in enumerate(named):
            os.dup2(what if isinstance(what, int) else what.fileno(), FIRST + at)
        texts = (str(pid or os.getpid()), str(len(named)), ":".join(name for name, _ in named) if names else "")
        for variable, text in zip(VARIABLES, texts, strict=True):
            monkeypatch.setenv(variable, text)

    yield begin
    for number in range(FIRST, FIRST + 4):
        if is_open(number):
            os.close(number)


def is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def open_ones() -> list[int]:
    return [number for number in range(FIRST, FIRST + 4) if is_open(number)]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_the_kept_port_is_taken_and_nobody_else_is_told_of_it(passing: Pass, listener: socket.socket) -> None:
    passing((NAME, listener))
    found = passed_listener(listener.getsockname())
    assert found is not None
    with found, socket.create_connection(listener.getsockname()):
        assert found.accept()
        assert not found.get_inheritable()
    assert not set(VARIABLES) & os.environ.keys()


def test_after_the_address_was_changed_the_kept_port_is_closed(passing: Pass, listener: socket.socket) -> None:
    passing((NAME, listener))
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert passed_listener(other.getsockname()) is None
    assert open_ones() == []


def test_the_socket_of_a_unit_goes_before_the_kept_one_wherever_it_listens(
    passing: Pass, listener: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        passing((NAME, listener), ("x2gobroker-daemon.socket", other))
        found = passed_listener(listener.getsockname())
        assert found is not None
        with found:
            assert found.getsockname() == other.getsockname()
            assert open_ones() == [FIRST + 1]


def test_beside_the_socket_of_a_unit_systemd_keeps_no_port_where_clients_would_wait_for_ever(
    passing: Pass, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        passing((NAME, listener), ("x2gobroker-daemon.socket", other))
        found = passed_listener(listener.getsockname())
        assert found is not None
        found.close()
        assert systemd.recv(1000) == f"FDSTOREREMOVE=1\nFDNAME={NAME}".encode()


def test_what_is_no_listening_socket_is_closed(passing: Pass, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file, socket.socket() as idle:
        passing((NAME, idle), ("x", file.fileno()), ("y", idle))
        assert passed_listener(("127.0.0.1", 80)) is None
    assert open_ones() == []


def test_without_names_they_are_of_a_unit(passing: Pass, listener: socket.socket) -> None:
    passing(("", listener), names=False)
    found = passed_listener(("127.0.0.1", 1))
    assert found is not None
    found.close()


@pytest.mark.parametrize(("name", "text"), [("LISTEN_PID", "1"), ("LISTEN_PID", ""), ("LISTEN_FDS", "many")])
def test_what_is_meant_for_another_process_is_left_alone(
    passing: Pass, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    passing((NAME, listener))
    monkeypatch.setenv(name, text)
    assert passed_listener(listener.getsockname()) is None
    assert open_ones() == [FIRST]


def test_systemd_is_given_the_port_instead_of_what_it_kept_before(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        keep(listener)
        assert socket.recv_fds(systemd, 1000, 4)[:2] == (f"FDSTOREREMOVE=1\nFDNAME={NAME}".encode(), [])
        told, numbers, _, _ = socket.recv_fds(systemd, 1000, 4)
    assert told == f"FDSTORE=1\nFDNAME={NAME}\nFDPOLL=0".encode()
    (number,) = numbers
    with socket.socket(fileno=number) as kept:
        assert kept.getsockname() == listener.getsockname()


def test_without_systemd_nothing_is_said(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    keep(listener)
    assert passed_listener(listener.getsockname()) is None
