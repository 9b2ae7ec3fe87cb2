"""x2gobroker-remote with somebody else at the controls: of the service that browsers reach, of the store, of a file."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import account_with_home, processes_of
from tests.support.processes import wait_until
from tests.support.remote import Remote, remote
from tests.support.remote_types import write_types
from x2gobroker.remote.runner import fork_spawner
from x2gobroker.remote.types import read_types_trusted
from x2gobroker.remote.worker import LARGEST_MESSAGE, Means

BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/></policy></busconfig>
"""
TOKEN = "0123456789abcdef"


@contextlib.contextmanager
def bus(folder: Path) -> Iterator[Path]:
    """A real dbus-daemon of root's, which believes the kernel who connects, as the system's does."""
    path, config = folder / "bus", folder / "bus.conf"
    config.write_text(BUS.format(path=path), encoding="ascii")
    process = subprocess.Popen(["dbus-daemon", "--config-file", str(config), "--nofork"], stderr=subprocess.DEVNULL)
    try:
        wait_until(path.exists, "the bus")
        yield path
    finally:
        process.terminate()
        process.wait(30)


def ask(channel: socket.socket, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """An answer of a worker that is no progress."""
    channel.send(json.dumps(message).encode())
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LARGEST_MESSAGE, 1)
        found = json.loads(data)
        if found["do"] != "progress":
            return found, descriptors


def test_whoever_holds_the_services_sockets_has_no_rights_of_roots() -> None:
    """No connection to a daemon of root's, no port that no script has named, no command, no account of the system."""
    with tempfile.TemporaryDirectory(prefix="x2gt-") as name, socket.create_server(("127.0.0.1", 0)) as listener:
        folder = Path(name)
        proof = folder / "proof"
        command = ["sh", "-c", f"id > {proof}; exec sleep 600"]
        kind = {"script": "tigervnc.py", "count": 3, "options": {"command": command}, "users": ["ALL"]}
        path = write_types(folder, {"Desk": kind})
        pid, control = fork_spawner(Means(lambda name: read_types_trusted(path, {0}).types[name], folder / "state"))
        (folder / "state").mkdir(mode=0o711)
        control.setblocking(True)
        try:
            with bus(folder) as daemon:
                mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    message = {"do": "worker", "id": 1, "type": "Desk", "number": 0}
                    socket.send_fds(control, [json.dumps(message).encode()], [theirs.fileno()])
                with mine:
                    mine.settimeout(30)
                    port = listener.getsockname()[1]
                    for known in ({"unix": str(daemon)}, {"host": "127.0.0.1", "port": port}):
                        for more in ({"known": known, "username": "root"}, known, {"token": TOKEN, "known": known}):
                            answer, descriptors = ask(mine, {"do": "connect", **more})
                            assert (answer["do"], descriptors) == ("refused", [])
                    for user in ("www-data", "games", "root", "nobody"):
                        start = {"do": "start", "token": TOKEN, "milliseconds": 0, "username": user, "size": ""}
                        answer, _ = ask(mine, start)
                        assert answer["do"] == "refused"
                        assert "system account" in answer["reason"]
                        evil = {**start, "options": {"username": user, "arguments": ["evil"]}, "known": {}}
                        assert ask(mine, evil)[0]["do"] == "refused"
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()
                assert not proof.exists()
        finally:
            control.close()
            os.waitpid(pid, 0)


KIND = {"script": "tigervnc.py", "count": 3, "options": {"command": ["sleep", "600"]}}
TYPES = {"Shell": KIND, "Annas": {**KIND, "users": ["anna"]}}


@pytest.fixture(scope="module")
def running() -> Iterator[Remote]:
    """A service with desktops in which a command only sleeps."""
    with remote(TYPES) as made:
        yield made


@pytest.fixture
def service(running: Remote) -> Iterator[Remote]:
    """The same, with its file of session types as it was, and without a line in its log."""
    running.write_types(TYPES)
    os.truncate(running.log, 0)
    yield running
    print(running.said())  # pytest shows it where a test fails
    running.write_types(TYPES)


@pytest.mark.parametrize("user", ["games", "www-data", "root", "../../etc", "-oProxyCommand=x"])
def test_whoever_writes_the_store_starts_nothing_as_an_account_of_the_system(service: Remote, user: str) -> None:
    slot = service.desktops.reserve("Shell", 3, user, {"size": "640x480", "arguments": ["-e", "evil"]}, "")
    assert slot is not None
    with pytest.raises(AssertionError, match="could not be started"):
        service.connect(slot)
    service.wait_for_state(slot, "failed")
    assert "Xvnc" not in subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout


def test_whoever_writes_the_store_chooses_no_command_and_no_place(service: Remote) -> None:
    with account_with_home("Some-pw-1") as made, socket.create_server(("127.0.0.1", 0)) as listener:
        evil = {"size": "640x480", "arguments": ["601"], "username": "root", "command": ["evil"]}
        slot = service.desktops.reserve("Shell", 3, made.name, evil, "127.0.0.1")
        assert slot is not None
        service.connect(slot).close()
        commands = [Path(f"/proc/{number}/cmdline").read_bytes() for number in processes_of(made.name)]
        assert b"sleep\x00600\x00" in commands
        place = {"host": "127.0.0.1", "port": listener.getsockname()[1], "unix_path": "", "username": "games"}
        service.desktops.change(slot.id, **{name: value for name, value in place.items() if name != "username"})
        service.connect(slot).picture()
        service.desktops.ask_stop(slot)
        service.wait_for_state(slot, "gone")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_restart_believes_the_store_no_more_than_before() -> None:
    with (
        account_with_home("Some-pw-1") as made,
        socket.create_server(("127.0.0.1", 0)) as listener,
        remote({"Shell": {**KIND, "count": 1}}, "remote-stop-with-service = false") as service,
    ):
        slot = service.reserve("Shell", made.name)
        service.connect(slot).close()
        service.stop()
        service.desktops.change(slot.id, host="127.0.0.1", port=listener.getsockname()[1], unix_path="")
        service.start()
        service.connect(slot).picture()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        service.desktops.ask_stop(slot)
        service.wait_for_state(slot, "gone")
        assert processes_of(made.name) == []


def test_a_user_whom_a_session_type_does_not_let_in_gets_nothing_by_the_store_either(service: Remote) -> None:
    slot = service.reserve("Annas", "bert", 3)
    with pytest.raises(AssertionError, match="could not be started"):
        service.connect(slot)
    assert "the session type is not for bert" in service.said()


@pytest.mark.parametrize("fault", ["mode", "owner"])
def test_a_file_of_session_types_that_others_can_write_starts_nothing(service: Remote, fault: str) -> None:
    path = service.folder / "types.json"
    if fault == "mode":
        path.chmod(0o666)
    else:
        os.chown(path, 4711, -1)
    slot = service.reserve("Shell", "anna", 3)
    with pytest.raises(AssertionError, match="could not be started"):
        service.connect(slot)
    assert "is not to be trusted" in service.said()


@pytest.mark.parametrize("how", ["lock", "expire"])
def test_who_is_locked_starts_nothing(service: Remote, how: str) -> None:
    with account_with_home("Some-pw-1") as made:
        made.lock() if how == "lock" else made.expire()
        slot = service.reserve("Shell", made.name, 3)
        with pytest.raises(AssertionError, match="could not be started"):
            service.connect(slot)
        assert "is locked or has expired" in service.said()
        assert processes_of(made.name) == []
