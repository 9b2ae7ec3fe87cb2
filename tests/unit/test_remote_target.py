"""Connections to VNC servers: with whose rights they are made, and whose sockets are taken."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.remote_folders import passable_folder
from x2gobroker.remote import target
from x2gobroker.remote.places import Place
from x2gobroker.remote.target import TargetError, connect_to

USER = pwd.getpwnam("nobody")
OTHER = pwd.getpwnam("daemon")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root's that everybody can go through."""
    with passable_folder() as made:
        yield made


def folder_of(who: pwd.struct_passwd, above: Path) -> Path:
    """A folder of an account's own."""
    made = above / who.pw_name
    made.mkdir(mode=0o700)
    os.chown(made, who.pw_uid, who.pw_gid)
    return made


@contextlib.contextmanager
def listening(path: Path, who: pwd.struct_passwd) -> Iterator[socket.socket]:
    """A Unix socket on which an account listens."""
    with socket.socket(socket.AF_UNIX) as listener:
        os.seteuid(who.pw_uid)
        try:
            listener.bind(str(path))
            listener.listen()
        finally:
            os.seteuid(0)
        yield listener


def credentials(listener: socket.socket) -> int:
    """With whose rights the next connection was made."""
    listener.settimeout(5)
    accepted, _ = listener.accept()
    with accepted:
        found = target.CREDENTIALS.unpack(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(found[1])


def place(path: Path) -> Place:
    return Place("", "", unix=str(path))


def test_a_connection_to_a_users_socket_is_made_as_the_user(folder: Path) -> None:
    path = folder_of(USER, folder) / "vnc"
    with listening(path, USER) as listener, connect_to(place(path), USER.pw_name, "") as made:
        assert credentials(listener) == USER.pw_uid
        assert os.get_inheritable(made.fileno()) is False


def test_a_connection_to_a_tcp_port_is_made_as_the_user_or_as_the_services_account(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for user, uid in ((USER.pw_name, USER.pw_uid), ("nobody-of-that-name", OTHER.pw_uid)):
            with connect_to(Place("", "", "127.0.0.1", port), user, OTHER.pw_name) as made:
                mine = made.getsockname()[1]
                lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
                owners = {int(line.split()[7]) for line in lines if line.split()[1].endswith(f":{mine:04X}")}
                assert uid in owners


def test_a_socket_of_roots_in_a_folder_of_roots_is_connected_to_by_root(folder: Path) -> None:
    """Scripts of a site start VNC servers as they like."""
    with listening(folder / "vnc", pwd.getpwnam("root")) as listener:
        connect_to(place(folder / "vnc"), "nobody-of-that-name", "").close()
        assert credentials(listener) == 0


@pytest.mark.parametrize("how", ["link", "folder that is a link", "hard link"])
def test_a_user_cannot_send_us_to_somebody_elses_socket(folder: Path, how: str) -> None:
    secret = folder / "roots"
    secret.mkdir(mode=0o700)
    theirs = folder_of(USER, folder)
    path = theirs / "vnc"
    with listening(secret / "vnc", pwd.getpwnam("root")):
        if how == "link":
            path.symlink_to(secret / "vnc")
        elif how == "folder that is a link":
            (theirs / "s").symlink_to(secret)
            path = theirs / "s/vnc"
        else:
            os.link(secret / "vnc", path)
        with pytest.raises(TargetError, match=r"does not answer|is no socket"):
            connect_to(place(path), USER.pw_name, "")


def test_a_socket_that_the_user_can_reach_must_be_listened_on_by_the_user(folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with listening(shared / "vnc", OTHER):
        (shared / "vnc").chmod(0o777)
        with pytest.raises(TargetError, match="belongs to another user"):
            connect_to(place(shared / "vnc"), USER.pw_name, "")


def test_a_path_that_is_swapped_all_the_time_never_leads_elsewhere(folder: Path) -> None:
    """What was opened is what is connected to, whatever is renamed meanwhile, and with the user's rights only."""
    theirs, secret = folder_of(USER, folder), folder / "roots"
    secret.mkdir(mode=0o711)
    ended = threading.Event()

    def swap() -> None:
        names = [theirs / "vnc", theirs / "link", theirs / "spare"]
        while not ended.is_set():
            names[0].rename(names[2])
            names[1].rename(names[0])
            names[0].rename(names[1])
            names[2].rename(names[0])

    with listening(theirs / "vnc", USER) as own, listening(secret / "vnc", pwd.getpwnam("root")) as victim:
        (secret / "vnc").chmod(0o777)
        (theirs / "link").symlink_to(secret / "vnc")
        own.setblocking(False)
        victim.setblocking(False)
        thread = threading.Thread(target=swap)
        thread.start()
        reached = 0
        try:
            for _ in range(60):
                with contextlib.suppress(TargetError):
                    connect_to(place(theirs / "vnc"), USER.pw_name, "").close()
                    reached += 1
                with contextlib.suppress(BlockingIOError):
                    own.accept()[0].close()
        finally:
            ended.set()
            thread.join()
        assert reached
        with pytest.raises(BlockingIOError):
            victim.accept()


def test_who_has_no_account_has_no_unix_socket(folder: Path) -> None:
    path = folder_of(USER, folder) / "vnc"
    with listening(path, USER), pytest.raises(TargetError, match="no user 'nobody-of-that-name'"):
        connect_to(place(path), "nobody-of-that-name", OTHER.pw_name)


def test_what_is_no_socket(folder: Path) -> None:
    theirs = folder_of(USER, folder)
    (theirs / "file").touch()
    for name in ("file", "."):
        with pytest.raises(TargetError, match="is no socket"):
            connect_to(place(theirs / name), USER.pw_name, "")


def test_a_vnc_server_that_is_not_there(folder: Path) -> None:
    with pytest.raises(TargetError, match="does not answer"):
        connect_to(place(folder / "nothing"), USER.pw_name, "")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TargetError, match="does not answer"):
            connect_to(Place("", "", "127.0.0.1", unused.getsockname()[1]), USER.pw_name, "")


def test_a_user_who_stops_the_process_that_connects_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(target, "_unix_by_path", lambda *_: os.kill(os.getpid(), signal.SIGSTOP))
    path = folder_of(USER, folder) / "vnc"
    began = time.monotonic()
    with pytest.raises(TargetError, match="no connection within 1 seconds"):
        connect_to(place(path), USER.pw_name, "")
    assert time.monotonic() - began < 5


def test_the_process_that_connects_cannot_be_looked_into_by_its_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the memory of one with root's rights."""

    def look(*_: object) -> None:
        raise OSError(0, str(Path("/proc/self/mem").stat().st_uid))

    monkeypatch.setattr(target, "_unix_by_path", look)
    with pytest.raises(TargetError) as caught:
        connect_to(place(folder_of(USER, folder) / "vnc"), USER.pw_name, "")
    assert str(caught.value) == "[Errno 0] 0"  # not dumpable: proc(5) gives it to root
