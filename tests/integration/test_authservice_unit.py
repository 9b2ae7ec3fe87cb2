"""The authentication service as its systemd unit runs it: without root's powers, on a socket that is passed to it."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import account
from tests.support.processes import Program, running, wait_until
from x2gobroker.authservice.client import AuthServiceClient

UNIT = Path(__file__).resolve().parents[2] / "etc/systemd/x2gobroker-authservice.service"
SERVICE = "x2gobroker"


def setting(name: str) -> str:
    """The value of a setting of the unit."""
    found = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def confined() -> list[str]:
    """The command that gives up what the unit gives up."""
    capabilities = [name.removeprefix("CAP_").lower() for name in setting("CapabilityBoundingSet").split()]
    allowed = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    assert setting("NoNewPrivileges") == "yes"
    return ["setpriv", "--no-new-privs", f"--bounding-set={allowed}"]


def command() -> list[str]:
    """The program of the unit, with its options but for the socket."""
    words = setting("ExecStart").split()
    assert words[1] == "-s"
    return [str(Path(sys.executable).parent / Path(words[0]).name), *words[3:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is short enough for sockets."""
    return tmp_path


@pytest.fixture
def notified(folder: Path) -> Iterator[socket.socket]:
    """Where systemd would be told how far the service is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(folder / "notify"))
        receiver.settimeout(20)
        yield receiver


@pytest.fixture
def started(folder: Path, notified: socket.socket) -> Iterator[Program]:
    """The service, confined, with a socket of its own; it has said that it is ready."""
    name, _, value = setting("Environment").partition("=")
    environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), name: value}
    with running([*confined(), *command(), "-s", str(folder / "socket")], folder / "log", env=environment) as program:
        assert notified.recv(100) == b"READY=1", program.output()
        yield program


def test_logins_and_a_change_of_password_work_within_the_units_limits(started: Program, folder: Path) -> None:
    client = AuthServiceClient(folder / "socket")
    with account("Right-pw-1x") as user:
        assert client.authenticate(SERVICE, user.name, "Right-pw-1x").granted, started.output()
        assert not client.authenticate(SERVICE, user.name, "wrong").granted
        assert client.change_password(SERVICE, user.name, "Right-pw-1x", "Other-pw-2y").granted, started.output()
        assert client.authenticate(SERVICE, user.name, "Other-pw-2y").granted


def test_the_service_really_is_confined(started: Program) -> None:
    """Else the test above shows nothing."""
    status = Path(f"/proc/{started.pid}/status").read_text(encoding="utf-8")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    bounds = int(re.findall(r"^CapBnd:\t([0-9a-f]+)$", status, re.MULTILINE)[0], 16)
    assert bounds.bit_count() == len(setting("CapabilityBoundingSet").split())


def test_it_says_when_it_stops_and_its_log_goes_to_the_journal(started: Program, notified: socket.socket) -> None:
    assert started.stop() == 0
    assert notified.recv(100) == b"STOPPING=1"
    assert "is ready" in started.output()


def test_a_socket_that_is_passed_is_served_and_stays(folder: Path) -> None:
    """The socket belongs to systemd: requests that come during a restart wait there."""
    path = folder / "passed"
    activate = ["systemd-socket-activate", f"--listen={path}", *command(), "-s", str(folder / "not-this-one")]
    with running(activate, folder / "log") as program, account("Right-pw-1x") as user:
        wait_until(path.exists, "the socket is there")
        assert AuthServiceClient(path).authenticate(SERVICE, user.name, "Right-pw-1x").granted, program.output()
        assert not (folder / "not-this-one").exists()
        assert program.stop() == 0
        assert path.exists()
