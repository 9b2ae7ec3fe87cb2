"""x2gobroker-remote with real users and real file systems: whose files they are, full disks, and when a way ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.support.accounts import Account, account_with_home, processes_of
from tests.support.files_page import ClosedError, FilesPage, partials
from tests.support.processes import wait_until
from tests.support.remote import Remote, remote
from x2gobroker.remote.carrying import REFUSED
from x2gobroker.remote.files.link import FILES_PROTOCOL
from x2gobroker.remote.service import TOKEN_PREFIX
from x2gobroker.remote.told import BEING_STOPPED, FILES_FAIL, NO_FILES
from x2gobroker.store import Lockouts, Slot

PASSWORD = "Files-pw-1"
DISPLAYS = 31000 + os.getpid() % 2000 * 10


@pytest.fixture(scope="module")
def anna() -> Iterator[Account]:
    with account_with_home(PASSWORD, below="/var/lib") as made:
        made.home.chmod(0o700)
        yield made


@pytest.fixture(scope="module")
def service() -> Iterator[Remote]:
    def kind(number: int, **more: Any) -> dict[str, Any]:
        return {"script": "plain.py", "count": 2, "options": {"display_base": DISPLAYS + 2 * number}, **more}

    types = {
        "Both": kind(0, files="both", **{"files-megabytes": 64}),
        "None": kind(1),
    }
    with remote(types, "remote-connections-per-user = 50") as made:
        yield made


@pytest.fixture
def slot(service: Remote, anna: Account) -> Iterator[Slot]:
    """Anna's desktop, which runs."""
    yield running(service, anna)
    stop_all(service, anna)
    for path in sorted(anna.home.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()


def running(service: Remote, user: Account, kind: str = "Both") -> Slot:
    found = service.reserve(kind, user.name, 2)
    service.connect(found).close()
    service.wait_for_state(found, "running")
    return found


def stop_all(service: Remote, user: Account) -> None:
    for each in service.desktops.of_user(user.name):
        service.desktops.ask_stop(each)
    wait_until(lambda: not [s for s in service.desktops.of_user(user.name) if s.state != "failed"], "all being stopped")


@contextlib.contextmanager
def page(service: Remote, slot: Slot, **more: Any) -> Iterator[WholePage]:
    """A page's connection for files."""
    token = service.desktops.token(slot, slot.username, "127.0.0.1", **more)
    port = service.port
    words = [Subprotocol(FILES_PROTOCOL), Subprotocol(TOKEN_PREFIX + token)]
    made = connect(
        f"ws://127.0.0.1:{port}/websockify",
        origin=Origin(f"http://127.0.0.1:{port}"), subprotocols=words, compression=None, proxy=None,
    )  # fmt: skip
    with made:
        yield WholePage(made)


class WholePage(FilesPage):
    """The same page over a whole websocket."""

    def __init__(self, websocket: Any) -> None:
        super().__init__(socket.socketpair()[0])
        self.websocket = websocket
        self.reason = ""

    def say_text(self, text: bytes) -> None:
        self.websocket.send(text.decode())

    def say_data(self, data: bytes, fin: bool = True) -> None:
        self.websocket.send(data)

    def hear(self) -> dict[str, Any] | bytes:
        try:
            found = self.websocket.recv(timeout=30)
        except ConnectionClosed as error:
            self.reason = error.rcvd.reason if error.rcvd else ""
            raise ClosedError(error.rcvd.code if error.rcvd else None) from error
        return found if isinstance(found, bytes) else dict(json.loads(found))

    def told(self) -> str:
        """What is told to whom gets no files."""
        with pytest.raises(ClosedError) as caught:
            self.hear()
        assert caught.value.code == REFUSED
        return self.reason


def test_files_are_the_users(service: Remote, slot: Slot, anna: Account) -> None:
    data = os.urandom(10 << 20)
    with page(service, slot) as made:
        assert made.upload("x.bin", data) == "x.bin"
        assert made.download("x.bin") == data
        assert len(processes_of(anna.name)) == 1
    assert (anna.home / "x.bin").owner() == anna.name
    wait_until(lambda: not processes_of(anna.name), "its end")
    assert "x.bin at Both/0" in service.said()


def test_what_root_may_and_anna_may_not(service: Remote, slot: Slot, anna: Account) -> None:
    (anna.home / "shadow").symlink_to("/etc/shadow")
    (anna.home / "root").symlink_to("/root")
    with page(service, slot) as made:
        for folder, item in (("", "shadow"), ("root", ".profile")):
            made.say("download", folder=folder, item=item, offset=0, stamp="")
            assert made.refused() == "no-right"


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system with little room."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_too_small(service: Remote, slot: Slot, anna: Account) -> None:
    with small_disk(anna.home / "small", 1 << 20) as folder, page(service, slot) as made:
        made.say("upload", folder="small", name="x", size=2 << 20, modified=1)
        assert made.refused() == "full"
        assert made.upload("y", b"y", "small") == "y"
        assert os.listdir(folder) == ["y"]


def test_a_disk_that_becomes_full(service: Remote, slot: Slot, anna: Account) -> None:
    with small_disk(anna.home / "small", 2 << 20) as folder, page(service, slot) as made:
        made.begin("x", 1 << 20, "small")
        made.say("go", offset=0)
        made.say_data(bytes(1 << 18))
        (folder / "other").write_bytes(bytes((3 << 19) + (1 << 17)))
        made.say_data(bytes((1 << 20) - (1 << 18)))
        found = made.hear()
        while isinstance(found, dict) and found["do"] == "written":
            found = made.hear()
        assert found == {"do": "refused", "why": "full"}
        assert os.listdir(folder) == ["other"]  # what had come made room again


def test_a_folder_to_read_only(service: Remote, slot: Slot, anna: Account) -> None:
    with small_disk(anna.home / "fixed", 1 << 20) as folder:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with page(service, slot) as made:
            made.say("upload", folder="fixed", name="x", size=1, modified=1)
            assert made.refused() == "read-only"


def test_a_home_that_is_not_there(service: Remote, slot: Slot, anna: Account) -> None:
    aside = anna.home.with_name("aside")
    anna.home.rename(aside)
    try:
        with page(service, slot) as made:
            made.say("list", folder="", hidden=False)
            assert made.refused() == "no-folder"
    finally:
        aside.rename(anna.home)


def test_only_where_a_desktop_runs_that_lets_them(service: Remote, slot: Slot, anna: Account) -> None:
    other = service.reserve("None", anna.name, 2)
    with page(service, other) as made:
        assert made.told() == NO_FILES  # whether it runs or not
    service.connect(other).close()
    service.wait_for_state(other, "running")
    with page(service, other) as made:
        assert made.told() == NO_FILES
    with page(service, slot, view_only=True) as made:
        assert made.told() == NO_FILES
    with page(service, slot, share=service.desktops.share(slot)) as made:
        assert made.told() == NO_FILES


def test_who_has_no_account_here_gets_none(service: Remote) -> None:
    stranger = Account(PASSWORD)
    stranger.name = "x2gt-stranger"
    slot = running(service, stranger)
    try:
        with page(service, slot) as made:
            assert made.told() == FILES_FAIL
        assert "remote: no files for Both/" in service.said()
    finally:
        stop_all(service, stranger)


def test_the_end_of_the_desktop_ends_them(service: Remote, slot: Slot, anna: Account) -> None:
    with page(service, slot) as made:
        made.begin("x", 6)
        made.say("go", offset=0)
        made.say_data(b"abc")
        service.desktops.ask_stop(slot)
        with pytest.raises(ClosedError):
            made.hear()
    assert [path.read_bytes() for path in partials(anna.home)] == [b"abc"]
    wait_until(lambda: not processes_of(anna.name), "its end")
    with contextlib.suppress(AssertionError), page(service, slot) as made:
        assert made.told() == BEING_STOPPED


def test_a_lock_ends_them(service: Remote, slot: Slot, anna: Account) -> None:
    with page(service, slot) as made:
        assert made.names() == []
        lockouts = Lockouts(service.store)
        lockouts.lock(anna.name, "a test")
        try:
            with pytest.raises(ClosedError):
                made.hear()
        finally:
            lockouts.lift(anna.name)


def test_not_more_than_so_many(service: Remote, slot: Slot, anna: Account) -> None:
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(page(service, slot)) for _ in range(16)]
        assert all(each.names() == [] for each in pages)
        with page(service, slot) as made:
            assert made.told() == FILES_FAIL
    wait_until(lambda: not processes_of(anna.name), "their end")
    with page(service, slot) as made:
        assert made.names() == []


def test_a_service_that_is_killed_leaves_no_process(anna: Account) -> None:
    kind = {"script": "plain.py", "count": 1, "files": "both", "options": {"display_base": DISPLAYS + 8}}
    with remote({"Both": kind}, "remote-stop-with-service = false") as made:
        slot = running(made, anna)
        with contextlib.suppress(OSError, ClosedError), page(made, slot) as there:
            there.begin("x", 6)
            there.say("go", offset=0)
            there.say_data(b"abc")
            wait_until(lambda: [path.read_bytes() for path in partials(anna.home)] == [b"abc"], "a part of it")
            assert made.program is not None
            os.kill(made.program.pid, 9)
        wait_until(lambda: not processes_of(anna.name), "its end")
        assert [path.read_bytes() for path in partials(anna.home)] == [b"abc"]
    for path in partials(anna.home):
        path.unlink()
