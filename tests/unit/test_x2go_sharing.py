"""Sharing folders with a server whose answers are scripted: names that are taken, failures, time outs."""

from __future__ import annotations

import re
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.support.processes import wait_until
from x2gobroker.ssh.keys import generate_key, read_private_key
from x2gobroker.x2go.errors import X2GoRevFwTunnelException, X2GoTimeOutException
from x2gobroker.x2go.folders.sharing import FolderSharing
from x2gobroker.x2go.wire.reply import Reply

SESSION = "anna-50-1795167317_stRxterm_dp24"
PORT = 30123


class Forwards(paramiko.ServerInterface):
    """A server that lets everybody in, and forwards its ports if it `may`."""

    def __init__(self, may: bool) -> None:
        self.may = may
        self.cancelled: list[int] = []

    def check_auth_none(self, username: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_port_forward_request(self, address: str, port: int) -> int:
        return port if self.may else 0

    def cancel_port_forward_request(self, address: str, port: int) -> None:
        self.cancelled.append(port)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Forwards:
    """What the other side allows; `request.param` false: no tunnels."""
    return Forwards(getattr(request, "param", True))


@pytest.fixture
def transport(server: Forwards) -> Iterator[paramiko.Transport]:
    """A connection to it."""
    ours, theirs = socket.socketpair()
    other_side = paramiko.Transport(theirs)
    other_side.add_server_key(read_private_key(generate_key("ed25519").private))
    other_side.start_server(event=threading.Event(), server=server)
    connection = paramiko.Transport(ours)
    connection.start_client(timeout=20)
    connection.auth_none("anna")
    yield connection
    connection.close()
    other_side.close()


class Server:
    """Notes the commands and what they are fed, and answers in order."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.commands: list[str] = []
        self.inputs: list[bytes] = []

    def __call__(self, command: str, seconds: float = 20, max_bytes: int = 1 << 20, input: bytes = b"") -> Reply:
        self.commands.append(command)
        self.inputs.append(input)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer, "", 0)


def shared_with(transport: paramiko.Transport, *answers: str | Exception) -> tuple[FolderSharing, Server]:
    server = Server(*answers)
    return FolderSharing(transport, SESSION, PORT, "4711", server), server


def test_what_the_server_is_told(transport: paramiko.Transport, tmp_path: Path) -> None:
    folder = tmp_path / "it's `$(touch x)`"
    folder.mkdir()
    sharing, server = shared_with(transport, "mounted\n", "gone\n")
    assert sharing.share(str(folder)) is True
    assert sharing.mount_point(str(folder)).endswith("_it_s_touch_x_")
    (command,) = server.commands
    assert "touch x" not in command.replace("touch_x", "")
    words = shlex.split(re.findall(r"x2gomountdirs (.*) 2>&1", command)[0])
    assert words[:4] == ["dir", SESSION, "x2go", "$key"]
    assert words[4].endswith(f"/it_s_touch_x___REVERSESSH_PORT__{PORT}")
    private, _, host_key = server.inputs[0].decode().partition("----BEGIN RSA IDENTITY----")
    assert read_private_key(private).get_name() == "ssh-ed25519"
    assert host_key.startswith("ssh-ed25519 AAAA")
    assert "PRIVATE" not in command, "the key goes in at the standard input, where no list of processes shows it"
    assert sharing.unshare(str(folder)) is True
    sharing.stop()


def test_a_name_that_is_taken_gets_a_number(transport: paramiko.Transport, tmp_path: Path) -> None:
    sharing, server = shared_with(transport, "noise\ntaken\n", "taken\n", "mounted\n", "done\n")
    assert sharing.share(str(tmp_path)) is True
    assert sharing.mount_point(str(tmp_path)).endswith("-3")
    assert len(set(server.inputs)) == 3, "each try has a key of its own"
    sharing.stop()
    assert server.answers == []


@pytest.mark.parametrize(
    ("answer", "reason"), [("unsafe\n", "special"), ("mounting of /x failed\nread: reset\n", "reset"), ("", "nothing")]
)
def test_why_the_server_does_not_mount(
    transport: paramiko.Transport, tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: str, reason: str
) -> None:
    sharing, _ = shared_with(transport, answer)
    assert sharing.share(str(tmp_path)) is False
    assert reason in caplog.text
    with pytest.raises(KeyError):
        sharing.mount_point(str(tmp_path))
    assert sharing.unshare(str(tmp_path)) is False
    assert sharing.unshare_all() is True
    sharing.stop()


def test_no_answer(transport: paramiko.Transport, server: Forwards, tmp_path: Path) -> None:
    late = X2GoTimeOutException("late")
    sharing, _ = shared_with(transport, late, "mounted\n", late, late)
    with pytest.raises(X2GoTimeOutException):
        sharing.share(str(tmp_path))
    assert sharing.share(str(tmp_path)) is True
    with pytest.raises(X2GoTimeOutException):
        sharing.unshare(str(tmp_path))
    sharing.stop()
    wait_until(lambda: server.cancelled == [PORT], "the end of the tunnel")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("x2go-")]


def test_what_is_left_is_told(transport: paramiko.Transport, tmp_path: Path) -> None:
    sharing, _ = shared_with(transport, "mounted\n", "mounted\n", f"left spool/C-{SESSION}\ndone\n")
    (tmp_path / "spool").mkdir()
    assert sharing.share(str(tmp_path))
    assert sharing.share(str(tmp_path / "spool"), "spool")
    assert sharing.unshare_all(force_all=True) is False
    sharing.stop()


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_server_without_tunnels(transport: paramiko.Transport, tmp_path: Path) -> None:
    sharing, server = shared_with(transport)
    with pytest.raises(X2GoRevFwTunnelException):
        sharing.share(str(tmp_path))
    assert server.commands == []
    sharing.stop()


@pytest.mark.parametrize("name", ["", "a b", "$(id)", "x;y", "../x", "a" * 300])
def test_a_session_name_that_is_none(transport: paramiko.Transport, name: str) -> None:
    with pytest.raises(ValueError, match="session"):
        FolderSharing(transport, name, PORT, 1)


def test_a_type_that_is_none(transport: paramiko.Transport, tmp_path: Path) -> None:
    sharing, _ = shared_with(transport)
    with pytest.raises(ValueError, match="floppy"):
        sharing.share(str(tmp_path), "floppy")
