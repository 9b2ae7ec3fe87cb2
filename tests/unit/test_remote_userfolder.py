"""The folder of XDG_RUNTIME_DIR where nobody else makes one: whose it is, and that nothing of others is removed."""

from __future__ import annotations

import errno
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
from x2gobroker.remote import userfolder, usermounts
from x2gobroker.remote.hold import CLONE_NEWNS
from x2gobroker.remote.userfolder import UserFolder, UserFolderError, share, tidy

DAEMON = pwd.getpwnam("daemon")
BIN = pwd.getpwnam("bin")


@pytest.fixture(autouse=True)
def _without_logind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever is signed in on this machine."""
    monkeypatch.setattr(userfolder, "LOGIND", tmp_path / "logind")


def mounted(users: Path) -> list[usermounts.Mount]:
    """What is mounted there and below."""
    places = (os.fsencode(users), os.fsencode(users) + b"/")
    return [mount for mount in usermounts.mounts() if (mount.place + b"/").startswith(places)]


@pytest.fixture
def users() -> Iterator[Path]:
    """In place of /run/user."""
    with passable_folder() as above:
        try:
            yield above / "user"
        finally:
            for mount in reversed(mounted(above)):
                subprocess.run(["umount", "--lazy", os.fsdecode(mount.place)], check=True, timeout=20)


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
    assert mounted(users) == []
    assert Path("/etc/passwd").exists()
    held.leave()  # once more is no harm


def test_it_is_a_file_system_of_its_own_as_large_as_those_of_logind(
    users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bytes, str, bytes, int, str]] = []
    real = usermounts._mount

    def mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes) -> None:
        asked.append((source, os.fsdecode(os.readlink(target)), kind, flags, options.decode()))
        real(source, target, kind, flags, options)

    monkeypatch.setattr(usermounts, "_mount", mount)
    first, second = take(users, notes), take(users, notes)
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 10
    options = f"mode=0700,uid={DAEMON.pw_uid},gid={DAEMON.pw_gid},size={size},nr_inodes={size // 4096}"
    ((source, *rest),) = asked
    assert rest == [str(first.path), b"tmpfs", 2 | 4, options]  # MS_NOSUID and MS_NODEV of mount(2)
    (there,) = mounted(users)
    assert (there.kind, there.source) == ("tmpfs", source.decode())
    assert (notes / first.path.name).read_bytes() == source
    first.leave()
    second.leave()
    other = take(users, notes)
    assert asked[1][0] != source
    other.leave()


def test_what_is_below_it_stays_roots(users: Path, notes: Path) -> None:
    held = take(users, notes)
    subprocess.run(["umount", held.path], check=True, timeout=20)
    status = held.path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o700)
    held.leave()
    assert list(users.iterdir()) == list(notes.iterdir()) == []


def test_its_user_fills_nothing_but_that(users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(usermounts, "PART", memory // (1 << 20))  # 1 MiB, for 256 names
    held = take(users, notes)

    def as_user(words: str) -> int:
        done = subprocess.run(
            ["bash", "-c", words], cwd=held.path, user=DAEMON.pw_uid, group=DAEMON.pw_gid, extra_groups=[],
            stderr=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode

    assert as_user("head -c 3000000 /dev/zero > big") != 0
    assert (held.path / "big").stat().st_size < 2 << 20
    (users / "roots").write_bytes(b"x" * 5000000)
    (users / "roots").unlink()
    assert as_user("rm big; for number in {1..400}; do : > $number || exit 1; done") != 0
    assert len(list(held.path.iterdir())) < 260
    held.leave()
    assert list(users.iterdir()) == []


def test_a_desktop_does_without_where_nothing_can_be_mounted(
    users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patched:
        patched.setattr(usermounts, "_mount", refuse)
        with pytest.raises(UserFolderError, match=r"no file system in memory can be mounted at .*: Operation not perm"):
            take(users, notes)
        assert list(users.iterdir()) == list(notes.iterdir()) == []
    held = take(users, notes)
    held.leave()


@pytest.mark.parametrize("is_mounted", [True, False])
def test_one_that_a_crash_has_left_half_made_is_mended(users: Path, notes: Path, is_mounted: bool) -> None:
    """The note is written before there is a folder, and the folder is root's until something is mounted there."""
    take(users, notes).leave()
    (notes / str(DAEMON.pw_uid)).write_text("x2gobroker-0123", encoding="ascii")
    tidy(users, notes)
    assert list(notes.iterdir()) == []
    (notes / str(DAEMON.pw_uid)).write_text("x2gobroker-0123", encoding="ascii")
    (users / str(DAEMON.pw_uid)).mkdir(mode=0o700)
    if is_mounted:
        held = take(users, notes)
        assert [mount.source for mount in mounted(users)] == ["x2gobroker-0123"]
        held.leave()
    else:
        tidy(users, notes)
    assert list(users.iterdir()) == list(notes.iterdir()) == []


def test_one_that_logind_has_taken_over_is_left_to_it(users: Path, notes: Path) -> None:
    """Which mounts nothing where something is, and removes that at the end of its own user's sessions."""
    held = take(users, notes)
    (held.path / "theirs").touch()
    userfolder.LOGIND.mkdir()
    (userfolder.LOGIND / held.path.name).touch()
    held.leave()
    assert (held.path / "theirs").exists()
    assert list(notes.iterdir()) == []
    again = take(users, notes)
    again.leave()
    assert (held.path / "theirs").exists()


def test_others_see_it_where_its_desktop_has_mounts_of_its_own(users: Path, notes: Path) -> None:
    for _ in range(2):
        share(users, notes)
    assert [mount.place for mount in mounted(users)] == [os.fsencode(users)]
    readable, writable = os.pipe()
    go, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert usermounts._libc.unshare(CLONE_NEWNS) == 0
            held = take(users, notes)
            (held.path / "within").touch()
            os.write(writable, b"1")
            os.read(go, 1)
            held.leave()
            status = 0
        finally:
            os._exit(status)
    os.close(writable)
    assert os.read(readable, 1) == b"1"
    os.close(readable)
    assert (users / str(DAEMON.pw_uid) / "within").exists()
    second = take(users, notes)
    os.write(tell, b"1")
    for number in (go, tell):
        os.close(number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (second.path / "within").exists()
    second.leave()
    assert list(users.iterdir()) == list(notes.iterdir()) == []


def test_what_a_user_has_mounted_over_it_goes_as_well(
    users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = take(users, notes)
    subprocess.run(["mount", "-t", "tmpfs", "over", held.path], check=True, timeout=20)  # in place of FUSE
    real = usermounts.mounts

    def with_fuse(proc: Path = usermounts.PROC) -> list[usermounts.Mount]:
        return [mount._replace(kind="fuse.sshfs") if mount.source == "over" else mount for mount in real(proc)]

    monkeypatch.setattr(usermounts, "mounts", with_fuse)
    held.leave()
    assert list(users.iterdir()) == list(notes.iterdir()) == []
    assert mounted(users) == []


def test_it_stays_until_the_last_desktop_of_its_user_has_ended(users: Path, notes: Path) -> None:
    first, second, other = take(users, notes), take(users, notes), take(users, notes, BIN)
    (first.path / "mine").touch()
    first.leave()
    assert (second.path / "mine").exists()
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
    own = f"mode=0700,uid={DAEMON.pw_uid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", own, "tmpfs", place], check=True, timeout=20)  # in between
    (place / "theirs").touch()
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


@pytest.mark.parametrize("name", [b"a\rb", b"a\x0cb", b"a b", b"a\xe2\x80\xa8b"])
def test_what_a_user_has_mounted_there_is_found_whatever_its_name(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "self").mkdir()
    place = b"/run/user/1000/" + name.replace(b" ", rb"\040")
    lines = (b"22 1 0:20 / /proc rw - proc proc rw", b"40 1 0:50 / " + place + b" rw - fuse x rw", b"")
    (tmp_path / "self/mountinfo").write_bytes(b"\n".join(lines))
    (words,) = userfolder._unmounts(Path("/run/user/1000"), tmp_path)
    assert os.fsencode(words[-1]) == b"/run/user/1000/" + name


def test_what_the_user_cannot_remove_goes_with_the_file_system(users: Path, notes: Path) -> None:
    held = take(users, notes)
    (held.path / "roots").mkdir()
    (held.path / "roots/file").touch()
    with open(held.path / "roots/file", "rb"):
        held.leave()
        assert list(users.iterdir()) == list(notes.iterdir()) == []
        assert mounted(users) == []


def test_what_cannot_be_removed_is_tried_again(users: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    held = take(users, notes)
    with monkeypatch.context() as patched:
        patched.setattr(usermounts, "unmount", refuse)
        held.leave()
    assert held.path.exists()
    tidy(users, notes)
    assert list(users.iterdir()) == list(notes.iterdir()) == []


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
    """Who holds up the removal of the own folder loses it all the same, and the folders of others go as well."""
    Hanging(monkeypatch)
    for held in (take(users, notes), take(users, notes, BIN)):
        assert held._note is not None
        os.close(held._note)  # its keeper was killed
    began = time.monotonic()
    tidy(users, notes)
    assert time.monotonic() - began < userfolder.AGAIN_SECONDS + 1
    assert list(users.iterdir()) == list(notes.iterdir()) == []
