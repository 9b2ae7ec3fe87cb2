"""The script for x11vnc, with a real X server: on this host, and on another one by a real sshd."""

from __future__ import annotations

import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.desktop import SCREEN, Desktop, bare_display
from tests.support.processes import wait_until
from tests.support.remote_types import left, one_type
from tests.support.sshd import Sshd, make_key, sshd
from x2gobroker.remote.loader import realize
from x2gobroker.remote.script import RemoteServiceScript


@dataclass
class Screen:
    """An X server of a user who may see it; an sshd, and a key for the way to it from elsewhere."""

    display: str
    user: Account
    authority: Path
    server: Sshd
    key: Path
    known_hosts: Path

    def ssh(self, **options: str) -> list[str]:
        """Arguments of ssh for this host."""
        given = {"UserKnownHostsFile": str(self.known_hosts), "GlobalKnownHostsFile": "/dev/null", **options}
        words = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        return ["-F", "none", "-p", str(self.server.port), "-i", str(self.key), *words]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """That X server."""
    folder = tmp_path_factory.mktemp("x11vnc")
    with ExitStack() as stack:
        user = stack.enter_context(account_with_home("Remote-screen-1"))
        shown: Desktop = stack.enter_context(bare_display(folder))
        authority = user.home / ".Xauthority"
        shutil.copyfile(shown.authority, authority)
        shutil.chown(authority, user.name, user.name)
        authority.chmod(0o600)
        public = make_key(folder / "key")
        server = stack.enter_context(sshd(folder / "sshd", authorized={user.name: public}, kinds=("ed25519",)))
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(server.host_key_lines("127.0.0.1"), encoding="ascii")
        yield Screen(shown.display, user, authority, server, folder / "key", known_hosts)


@pytest.fixture
def scripts(screen: Screen) -> Iterator[Any]:
    """A function that makes the script of a slot with these options; it is stopped at the end."""
    state = Path(tempfile.mkdtemp(prefix="x2gt-remote-"))
    made: list[RemoteServiceScript] = []

    def make(**options: Any) -> RemoteServiceScript:
        made.append(realize(one_type(state, "x11vnc.py", **options), 0, state))
        return made[-1]

    yield make
    for script in made:
        assert script.stop()
    assert left(state) == []
    shutil.rmtree(state)
    wait_until(lambda: not processes_of(screen.user.name), "the end of x11vnc")


def start(script: RemoteServiceScript, user: str, *arguments: str) -> tuple[bool, str]:
    """Start it for a user; whether it runs, and the last word of its progress, or what the user is told."""
    heard = [""]
    script._listener = heard.append
    options = {"username": user, "size": "800x600", "arguments": list(arguments)}
    runs = bool(script.start("token", options=options))
    return runs, heard[-1] if runs else script._failure


def connect(script: RemoteServiceScript) -> tuple[socket.socket, tuple[int, int]]:
    """A connection to the VNC server, past the handshake of RFC 6143, and the size of its screen."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(script._unix_socket)
    stream = connection.makefile("rb")
    assert stream.read(12) == b"RFB 003.008\n"
    connection.sendall(b"RFB 003.008\n")
    kinds = stream.read(stream.read(1)[0])
    assert 1 in kinds
    connection.sendall(b"\1")
    assert stream.read(4) == bytes(4)
    connection.sendall(b"\1")
    sizes = stream.read(4)
    return connection, (int.from_bytes(sizes[:2], "big"), int.from_bytes(sizes[2:], "big"))


def size_of(screen: Screen) -> tuple[int, int]:
    """The size that the display has; tests/support/desktop.py says which."""
    wide, high, _ = SCREEN.split("x")
    return int(wide), int(high)


def check_two_connections(script: RemoteServiceScript, screen: Screen) -> None:
    """Two see the screen at the same time; x11vnc ends with its connection, and the session does not."""
    first, size = connect(script)
    assert size == size_of(screen)
    second, size = connect(script)
    assert size == size_of(screen)
    first.close()
    second.close()
    wait_until(lambda: not processes_of(screen.user.name), "the end of x11vnc with its connections")
    assert script.poll()
    third, _ = connect(script)
    third.close()


def test_the_screen_of_the_user_who_signed_in(scripts: Any, screen: Screen) -> None:
    script = scripts(display=screen.display)
    assert start(script, screen.user.name) == (True, "Connecting to the screen")
    status = Path(script._unix_socket).lstat()
    assert (status.st_uid, status.st_mode & 0o777) == (pwd.getpwnam(screen.user.name).pw_uid, 0o600)
    check_two_connections(script, screen)


def test_the_screen_of_another_account(scripts: Any, screen: Screen) -> None:
    script = scripts(display=screen.display, account=screen.user.name, auth=str(screen.authority))
    assert start(script, "somebody-of-the-portal", "-viewonly")[0]
    check_two_connections(script, screen)


def test_stop_ends_connections(scripts: Any, screen: Screen) -> None:
    script = scripts(display=screen.display)
    assert start(script, screen.user.name)[0]
    connection, _ = connect(script)
    assert processes_of(screen.user.name)
    assert script.stop()
    assert processes_of(screen.user.name) == []
    while connection.recv(4096):
        pass
    connection.close()
    assert not script.poll()


def test_a_screen_that_is_not_there(scripts: Any, screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(scripts(display=":64999"), screen.user.name) == (False, "")
    assert "the VNC server ended at once: " in capsys.readouterr().out


def test_a_screen_of_another_host(scripts: Any, screen: Screen) -> None:
    script = scripts(display=screen.display, host="127.0.0.1", account=screen.user.name, ssh=screen.ssh())
    assert start(script, "somebody-of-the-portal") == (True, "Connecting to 127.0.0.1")
    check_two_connections(script, screen)
    connection, _ = connect(script)
    assert script.stop()
    wait_until(lambda: not processes_of(screen.user.name), "the end of x11vnc on the other host")
    connection.close()


def test_words_reach_the_other_host_as_they_are(scripts: Any, screen: Screen) -> None:
    trap = screen.user.home / "trap"
    script = scripts(display=screen.display, host="127.0.0.1", account=screen.user.name, ssh=screen.ssh())
    assert start(script, "somebody", "-desktop", f"a 'b' $(touch {trap}) ; touch {trap}")[0]
    connection, _ = connect(script)
    connection.close()
    assert not trap.exists()


def test_a_host_whose_key_is_not_known(scripts: Any, screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    ssh = screen.ssh(UserKnownHostsFile="/dev/null")
    script = scripts(host="127.0.0.1", account=screen.user.name, ssh=ssh)
    assert start(script, "somebody") == (False, "")
    assert "the VNC server ended at once: Host key verification failed." in capsys.readouterr().out


def test_a_connection_that_is_lost_leaves_nothing_on_the_other_host(scripts: Any, screen: Screen) -> None:
    script = scripts(display=screen.display, host="127.0.0.1", account=screen.user.name, ssh=screen.ssh())
    assert start(script, "somebody")[0]
    connection, _ = connect(script)
    screen.server.end_connections()
    wait_until(lambda: not processes_of(screen.user.name), "the end of x11vnc on the other host")
    while connection.recv(4096):
        pass
    connection.close()
    assert script.poll()
    connection, _ = connect(script)
    connection.close()
