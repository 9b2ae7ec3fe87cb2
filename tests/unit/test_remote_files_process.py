"""The process that works with files: who it is, what it cannot do any more, and what it reports."""

from __future__ import annotations

import os
import re
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.files_page import ClosedError, FilesPage, partials
from x2gobroker.privilege import Account, account_named, read_message
from x2gobroker.remote.crossing import FROM_FILES
from x2gobroker.remote.files import process as module
from x2gobroker.remote.files.process import fork_files
from x2gobroker.remote.files.session import FileRules
from x2gobroker.remote.userprocess import Forked

RULES = FileRules(goes_in=True, goes_out=True, most_bytes=1 << 20)


@pytest.fixture
def account() -> Iterator[Account]:
    """Somebody who is not root, with a home of their own."""
    found = account_named("daemon")
    with tempfile.TemporaryDirectory(prefix="x2gt-home-") as name:
        os.chown(name, found.uid, found.gid)
        yield replace(found, home=name)


@pytest.fixture
def forked(account: Account) -> Iterator[Forked]:
    made = fork_files(account, RULES)
    with made.connection, made.reports:
        made.reports.settimeout(20)
        yield made
        made.connection.close()
        assert os.waitpid(made.pid, 0)[1] == 0


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_is_the_user_for_good(forked: Forked, account: Account) -> None:
    page = FilesPage(forked.connection)
    assert page.names() == []
    found = status_of(forked.pid)
    assert found["Uid"].split() == [str(account.uid)] * 4
    assert found["Gid"].split() == [str(account.gid)] * 4
    assert set(found["Groups"].split()) == {str(number) for number in account.groups}
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0
    # of a process that no debugger of its user gets at, /proc belongs to root
    assert os.stat(f"/proc/{forked.pid}/mem").st_uid == 0
    limits = Path(f"/proc/{forked.pid}/limits").read_text(encoding="ascii")
    for name in ("Max processes", "Max core file size"):
        assert re.search(rf"^{name} +0 +0 ", limits, re.MULTILINE)
    open_now = {os.readlink(f"/proc/{forked.pid}/fd/{number}") for number in os.listdir(f"/proc/{forked.pid}/fd")}
    assert {link.partition(":")[0] for link in open_now} <= {"/dev/null", "socket"}
    assert len(open_now) == 3  # the null device, the page and the reports


def test_what_it_makes_is_the_users(forked: Forked, account: Account) -> None:
    page = FilesPage(forked.connection)
    assert page.upload("a.txt", b"text") == "a.txt"
    status = (Path(account.home) / "a.txt").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (account.uid, account.gid, 0o644)
    first, second = (read_message(forked.reports.recv(1 << 16), FROM_FILES) for _ in range(2))
    assert first == {"do": "moved", "way": "upload", "path": "~/a.txt", "size": 4, "at": 0, "why": ""}
    assert second == {**first, "at": 4, "why": "done"}


def test_what_the_user_may_not_it_may_not(forked: Forked, account: Account) -> None:
    home = Path(account.home)
    (home / "secret").write_text("root's")
    (home / "secret").chmod(0o600)
    (home / "closed").mkdir(mode=0o700)
    (home / "looked at").mkdir(mode=0o755)
    (home / "shadow").symlink_to("/etc/shadow")
    (home / "etc").symlink_to("/etc")
    page = FilesPage(forked.connection)
    for folder, item in (("", "secret"), ("", "shadow"), ("etc", "shadow")):
        page.say("download", folder=folder, item=item, offset=0, stamp="")
        assert page.refused() == "no-right"
    page.say("list", folder="closed", hidden=False)
    assert page.refused() == "no-right"
    for folder in ("closed", "looked%20at", "etc"):
        page.say("upload", folder=folder, name="a", size=1, modified=1)
        assert page.refused() == "no-right"
    assert page.download("passwd", "etc") == Path("/etc/passwd").read_bytes()  # as everybody may


def test_it_ends_with_the_connection(account: Account) -> None:
    made = fork_files(account, RULES)
    page = FilesPage(made.connection)
    page.begin("x", 6)
    page.say("go", offset=0)
    page.say_data(b"abc")
    with made.reports:
        made.connection.close()
        assert os.waitpid(made.pid, 0)[1] == 0
        made.reports.recv(1 << 16)
        assert read_message(made.reports.recv(1 << 16), FROM_FILES)["why"] == "lost"
    assert [path.read_bytes() for path in partials(Path(account.home))] == [b"abc"]


def test_names_cannot_break_a_line_of_the_log(forked: Forked, account: Account) -> None:
    odd = os.fsdecode(b"a\n\x1b[31m\xff\xe2\x80\xa8b")
    (Path(account.home) / odd).write_text("x")
    page = FilesPage(forked.connection)
    assert page.download("a%0A%1B%5B31m%FF%E2%80%A8b") == b"x"
    found = read_message(forked.reports.recv(1 << 16), FROM_FILES)
    assert found["path"] == "~/a\ufffd\ufffd[31m\ufffd\ufffdb"


def test_the_kernel_ends_what_hangs(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not answer holds the process, which then does not look at any clock of ours."""

    def hang(*_arguments: object) -> None:
        time.sleep(60)

    monkeypatch.setattr(module, "_breathe", lambda seconds=1: signal.alarm(1))
    monkeypatch.setattr("x2gobroker.remote.files.session.list_folder", hang)
    made = fork_files(account, RULES)
    with made.connection, made.reports:
        page = FilesPage(made.connection)
        page.say("list", folder="", hidden=False)
        with pytest.raises(ClosedError):
            page.hear()
        assert os.WTERMSIG(os.waitpid(made.pid, 0)[1]) == signal.SIGALRM


def test_what_goes_wrong_in_it_is_reported(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("a fault\nof ours")

    monkeypatch.setattr("x2gobroker.remote.files.session.list_folder", broken)
    made = fork_files(account, RULES)
    with made.connection, made.reports:
        FilesPage(made.connection).say("list", folder="", hidden=False)
        found = read_message(made.reports.recv(1 << 16), FROM_FILES)
        os.waitpid(made.pid, 0)
    assert found["do"] == "failed"
    assert "a fault of ours" in found["reason"]


def test_many_do_not_grow(account: Account) -> None:
    """Nothing of it is left behind in the process that forks it."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        made = fork_files(account, RULES)
        made.connection.close()
        made.reports.close()
        os.waitpid(made.pid, 0)
    assert len(os.listdir("/proc/self/fd")) == before
