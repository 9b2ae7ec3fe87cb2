"""The folder of XDG_RUNTIME_DIR where nobody else makes one: whose it is, and that nothing of others is removed."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.remote_folders import passable_folder
from x2gobroker.remote import userfolder
from x2gobroker.remote.userfolder import UserFolder, UserFolderError, tidy

DAEMON = pwd.getpwnam("daemon")
BIN = pwd.getpwnam("bin")


@pytest.fixture
def users() -> Iterator[Path]:
    """In place of /run/user."""
    with passable_folder() as above:
        yield above / "user"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where root notes which ones are ours."""
    return tmp_path / "notes"


def take(users: Path, notes: Path, who: pwd.struct_passwd = DAEMON) -> UserFolder:
    """A desktop of this user begins."""
    return UserFolder(who.pw_uid, who.pw_gid, users, notes)


def test_it_is_the_users_alone_and_goes_with_all_that_is_in_it(users: Path, notes: Path) -> None:
    before = os.umask(0o077)
    try:
        held = take(users, notes)
    finally:
        os.umask(before)
    assert held.path == users / str(DAEMON.pw_uid)
    status = held.path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (DAEMON.pw_uid, DAEMON.pw_gid, 0o700)
    assert stat.S_IMODE(users.stat().st_mode) == 0o755
    assert stat.S_IMODE(notes.stat().st_mode) == 0o700
    deep = held.path / "/".join(["d"] * 300)
    deep.mkdir(parents=True)
    (held.path / "x y\n").write_text("x", encoding="utf-8")
    (held.path / "link").symlink_to("/etc")
    for path in (held.path, *held.path.rglob("*")):
        os.chown(path, DAEMON.pw_uid, DAEMON.pw_gid, follow_symlinks=False)
    held.leave()
    assert list(users.iterdir()) == []
    assert list(notes.iterdir()) == []
    assert Path("/etc/passwd").exists()
    held.leave()  # once more is no harm


def test_it_stays_until_the_last_desktop_of_its_user_has_ended(users: Path, notes: Path) -> None:
    first, second, other = take(users, notes), take(users, notes), take(users, notes, BIN)
    inode = first.path.stat().st_ino
    first.leave()
    assert second.path.stat().st_ino == inode
    third = take(users, notes)
    second.leave()
    assert third.path.exists()
    third.leave()
    assert [path.name for path in users.iterdir()] == [str(BIN.pw_uid)]
    other.leave()
    assert list(users.iterdir()) == []


def test_what_somebody_else_has_made_stays(users: Path, notes: Path) -> None:
    users.mkdir()
    place = users / str(DAEMON.pw_uid)
    place.mkdir(mode=0o700)
    os.chown(place, DAEMON.pw_uid, DAEMON.pw_gid)
    take(users, notes).leave()
    assert place.exists()
    place.rmdir()
    held = take(users, notes)
    place.rmdir()
    place.mkdir(mode=0o700)  # as systemd would, in between
    (place / "theirs").touch()
    os.chown(place, DAEMON.pw_uid, DAEMON.pw_gid)
    held.leave()
    assert (place / "theirs").exists()
    assert list(notes.iterdir()) == []
    take(users, notes).leave()
    assert (place / "theirs").exists()


@pytest.mark.parametrize("fault", ["owner", "mode", "link", "file"])
def test_a_folder_that_is_not_the_users_alone_is_not_used(users: Path, notes: Path, fault: str) -> None:
    users.mkdir()
    place = users / str(DAEMON.pw_uid)
    if fault == "link":
        place.symlink_to("/tmp")
    elif fault == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o750 if fault == "mode" else 0o700)
        os.chown(place, 0 if fault == "owner" else DAEMON.pw_uid, 0)
    with pytest.raises(UserFolderError, match=f"{place}|{place.name} is there and not"):
        take(users, notes)
    assert os.path.lexists(place)
    assert not notes.exists() or list(notes.iterdir()) == []


@pytest.mark.parametrize("which", ["users", "notes"])
def test_nobody_else_can_have_written_above_it(users: Path, notes: Path, which: str) -> None:
    place = users if which == "users" else notes
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(UserFolderError, match="only root can write to"):
        take(users, notes)


def test_what_a_killed_desktop_has_left_is_removed_by_the_next(users: Path, notes: Path) -> None:
    tidy(users, notes)  # where there never was one
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            held = take(users, notes)
            (held.path / "left").touch()
            status = 0
        finally:
            os._exit(status)  # without leaving it
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(list(users.iterdir())) == 1
    other = take(users, notes, BIN)
    tidy(users, notes)
    assert [path.name for path in users.iterdir()] == [str(BIN.pw_uid)]
    other.leave()
    assert list(notes.iterdir()) == []


def test_what_cannot_be_removed_is_tried_again(users: Path, notes: Path) -> None:
    held = take(users, notes)
    (held.path / "roots").mkdir()
    (held.path / "roots/file").touch()  # the user has no right to that
    held.leave()
    assert (held.path / "roots/file").exists()
    (held.path / "roots/file").unlink()
    tidy(users, notes)
    assert list(users.iterdir()) == []
    assert list(notes.iterdir()) == []


class Hanging:
    """Commands of one user's that do not go on until `go`, or until their time is over; those of others do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, who: pwd.struct_passwd = DAEMON) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self._uid, self._run = who.pw_uid, userfolder._as_user
        monkeypatch.setattr(userfolder, "_as_user", self.run)

    def run(self, words: list[str], folder: int, status: os.stat_result, seconds: float) -> None:
        if status.st_uid == self._uid:
            self.begun.set()
            if not self.go.wait(seconds):
                raise subprocess.TimeoutExpired(words, seconds)
        self._run(words, folder, status, seconds)


def test_a_user_who_holds_up_the_removal_holds_up_nobody_else(
    users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGSTOP for `find`, which runs with the user's rights."""
    monkeypatch.setattr(userfolder, "LOCK_SECONDS", 0.5)
    hanging = Hanging(monkeypatch)
    held = take(users, notes)
    ending = threading.Thread(target=held.leave)
    ending.start()
    assert hanging.begun.wait(10)
    other = take(users, notes, BIN)
    assert other.path.is_dir()
    other.leave()
    assert not other.path.exists()
    hanging.go.set()
    ending.join(20)
    assert list(users.iterdir()) == list(notes.iterdir()) == []


def test_the_next_desktop_of_its_user_waits_until_it_is_removed(
    users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging(monkeypatch)
    held = take(users, notes)
    (held.path / "old").touch()
    ending = threading.Thread(target=held.leave)
    ending.start()
    assert hanging.begun.wait(10)
    threading.Timer(0.3, hanging.go.set).start()
    following = take(users, notes)
    ending.join(20)
    assert list(following.path.iterdir()) == []
    tidy(users, notes)
    assert following.path.is_dir()
    following.leave()
    assert list(users.iterdir()) == list(notes.iterdir()) == []


def test_its_user_is_told_where_it_does_not_get_free(users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = Hanging(monkeypatch)
    ending = threading.Thread(target=take(users, notes).leave)
    ending.start()
    assert hanging.begun.wait(10)
    monkeypatch.setattr(userfolder, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(userfolder, "REMOVE_SECONDS", 0.1)
    with pytest.raises(UserFolderError, match="cannot be made"):
        take(users, notes)
    hanging.go.set()
    ending.join(20)


def test_what_was_left_costs_others_little_time(users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is tried again each time, and the folders of others are removed all the same."""
    monkeypatch.setattr(userfolder, "REMOVE_SECONDS", 0.1)
    Hanging(monkeypatch)
    stuck = take(users, notes)
    stuck.leave()
    assert stuck.path.exists()
    left = take(users, notes, BIN)
    for number in left._held:
        os.close(number)  # its keeper was killed
    began = time.monotonic()
    tidy(users, notes)
    assert time.monotonic() - began < userfolder.AGAIN_SECONDS + 1
    assert [path.name for path in users.iterdir()] == [stuck.path.name]
