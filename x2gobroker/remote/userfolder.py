"""The folder of XDG_RUNTIME_DIR, where no PAM module makes one: /run/user/UID. Of the standard library only.

Its user's first desktop makes it, and the last one removes it. /run/user is root's, so that nobody else can put
anything there; the folder is a file system of its own, in memory (`usermounts.py`), so that its user fills nothing but
that. What is in it is removed with the user's rights. Which folders are ours is noted in a folder of root's, by the
source of what is mounted there: one that systemd or somebody else has made or mounted meanwhile is left alone. Each
desktop holds a lock on that note for as long as it lives, so one whose keeper was killed holds nothing. Who removes a
folder has the note alone meanwhile: what runs with the user's rights can take as long as the user likes, so nobody but
that user waits for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from x2gobroker.remote import usermounts

USERS = Path("/run/user")
NOTES = Path("/run/x2gobroker-user-folders")
LOGIND = Path("/run/systemd/users")  # a file for each user whom systemd-logind knows
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NOTE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
LOCK_SECONDS = 5.0
REMOVE_SECONDS = 10.0  # for all that is in a folder
AGAIN_SECONDS = 2.0  # for all folders that could not be removed before
LONGEST_NOTE = 64


class UserFolderError(Exception):
    """There is no folder that could be used. The text says why."""


class UserFolder:
    """A hold on one user's folder. `path` is where it is."""

    def __init__(self, uid: int, gid: int, users: Path = USERS, notes: Path = NOTES) -> None:
        """Have it made, unless it is there. Raises UserFolderError."""
        self.path = users / str(uid)
        self._notes = notes
        self._note: int | None = None
        try:
            with _opened(users, 0o755) as above, _opened(notes, 0o700) as noted:
                self._note = _take_when_free(above, noted, uid, gid)
        except OSError as error:
            raise UserFolderError(f"{self.path} cannot be made: {error.strerror or error}") from error

    def leave(self) -> None:
        """Let it go; it is removed when nobody else holds it. What cannot be removed now is tried again by `tidy`."""
        if self._note is None:
            return
        os.close(self._note)
        self._note = None
        with (
            contextlib.suppress(OSError, UserFolderError, subprocess.SubprocessError),
            _opened(self.path.parent, 0o755) as above,
            _opened(self._notes, 0o700) as noted,
        ):
            _remove_unheld(above, noted, self.path, REMOVE_SECONDS)


def tidy(users: Path = USERS, notes: Path = NOTES) -> None:
    """Remove the folders of ours that nobody holds any more. What fails, or takes long, is left for the next time."""
    if not notes.is_dir():
        return
    end = time.monotonic() + AGAIN_SECONDS
    try:
        with _opened(users, 0o755) as above, _opened(notes, 0o700) as noted:
            for name in os.listdir(noted):
                # half of what is left, so that there is something for each, whoever holds it up
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    _remove_unheld(above, noted, users / name, (end - time.monotonic()) / 2)
    except (OSError, UserFolderError):
        return


def share(users: Path = USERS, notes: Path = NOTES) -> None:
    """For a process that is about to get mounts of its own: folders that it makes are seen by everybody all the same.

    Raises OSError, UserFolderError.
    """
    with _opened(users, 0o755), _opened(notes, 0o700) as noted, _locked(noted):
        usermounts.share(users)


@contextlib.contextmanager
def _opened(path: Path, mode: int) -> Iterator[int]:
    """A folder of root's, made where it is missing. Raises OSError, UserFolderError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        os.chmod(path, mode)  # whatever the umask is
    number = os.open(path, FOLDER)
    try:
        status = os.fstat(number)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UserFolderError(f"{path} must be a folder that only root can write to")
        yield number
    finally:
        os.close(number)


@contextlib.contextmanager
def _locked(folder: int) -> Iterator[None]:
    """Nobody else makes or removes a folder meanwhile: only root can open this one. Raises OSError."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _take_when_free(above: int, noted: int, uid: int, gid: int) -> int | None:
    """`_take`, once what is left of the user's former desktops has been removed. Raises as `UserFolder`."""
    end = time.monotonic() + REMOVE_SECONDS + LOCK_SECONDS
    while True:
        with _locked(noted):
            try:
                return _take(above, noted, uid, gid)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
        time.sleep(0.02)


def _take(above: int, noted: int, uid: int, gid: int) -> int | None:
    """Make the folder or find it. Gives the lock on its note, nothing where the folder is somebody else's.

    Raises as `UserFolder`, BlockingIOError while it is being removed.
    """
    name = str(uid)
    with contextlib.ExitStack() as undo:
        note = _lock_note(noted, name, os.O_CREAT)
        undo.callback(os.close, note)
        source = os.pread(note, LONGEST_NOTE, 0).decode("ascii", "replace")
        was_noted = bool(source)
        if not was_noted:
            undo.callback(os.unlink, name, dir_fd=noted)
            source = usermounts.new_source()
            os.pwrite(note, source.encode("ascii"), 0)  # before there is a folder, which is ours from then on
        made = _make(above, name)
        if made:
            undo.callback(os.rmdir, name, dir_fd=above)
        if made or was_noted:
            _mount_if_bare(above, name, source, uid, gid)
        folder = os.open(name, FOLDER, dir_fd=above)
        try:
            status = os.fstat(folder)
            if status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
                raise UserFolderError(f"{USERS / name} is there and not the user's own, with mode 0700")
            if not usermounts.is_ours(folder, source):  # it is used, and stays
                return None
        finally:
            os.close(folder)
        undo.pop_all()
        return note


def _make(above: int, name: str) -> bool:
    """Make the folder that a user's is mounted over, and that stays root's; whether it was not there."""
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        return False
    return True


def _mount_if_bare(above: int, name: str, source: str, uid: int, gid: int) -> None:
    """Mount the user's folder over that of root's, unless it is there. Raises OSError, UserFolderError.

    It is not after a keeper was killed in between, and where a desktop has mounts that it shares with nobody.
    """
    folder = os.open(name, FOLDER, dir_fd=above)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return
        usermounts.mount_for(folder, source, uid, gid)
    except OSError as error:
        why = error.strerror or error
        raise UserFolderError(f"no file system in memory can be mounted at {USERS / name}: {why}") from error
    finally:
        os.close(folder)


def _lock_note(noted: int, name: str, flags: int = 0) -> int:
    """The lock on a user's note, which other desktops of that user share.

    Raises OSError: FileNotFoundError where there is none, BlockingIOError while somebody removes the folder.
    """
    note = os.open(name, NOTE | flags, 0o600, dir_fd=noted)
    try:
        fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BaseException:
        os.close(note)
        raise
    return note


def _remove_unheld(above: int, noted: int, path: Path, seconds: float) -> None:
    """Remove a folder that nobody holds, and its note. Raises OSError, SubprocessError where it stays."""
    name = path.name
    with _locked(noted):
        note = os.open(name, NOTE, dir_fd=noted)
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while a desktop holds it
        except BaseException:
            os.close(note)
            raise
    try:
        with contextlib.suppress(FileNotFoundError):
            _remove(above, noted, path, os.pread(note, LONGEST_NOTE, 0).decode("ascii", "replace"), seconds)
        with _locked(noted):
            os.unlink(name, dir_fd=noted)
    finally:
        os.close(note)


def _remove(above: int, noted: int, path: Path, source: str, seconds: float) -> None:
    """Remove the folder if it is the one with this source. Raises OSError where it stays.

    Its user can hold up what runs with the own rights, and what is left then goes with the file system, as soon as
    nobody has anything of it open. One of a user whom logind knows by now is logind's, which found it mounted.
    """
    name, end = path.name, time.monotonic() + seconds
    usermounts.uncover(above, name)
    folder = os.open(name, FOLDER, dir_fd=above)
    try:
        status = os.fstat(folder)
        if usermounts.is_ours(folder, source):
            if (LOGIND / name).exists():
                return
            with contextlib.suppress(subprocess.SubprocessError):
                for words in (*_unmounts(path), ["find", ".", "-xdev", "-mindepth", "1", "-delete"]):
                    _as_user(words, folder, status, end - time.monotonic())
            usermounts.unmount(above, name)
        elif status.st_uid != os.geteuid():
            return
        with _locked(noted):
            os.rmdir(name, dir_fd=above)
    finally:
        os.close(folder)


def _unmounts(path: Path, proc: Path = usermounts.PROC) -> Iterator[list[str]]:
    """The commands by which the user lets go of file systems of the user's own in there, the innermost first."""
    for mount in reversed(usermounts.mounts(proc)):
        if mount.place.startswith(os.fsencode(path) + b"/"):
            yield ["fusermount3", "-u", "-z", "-q", os.fsdecode(mount.place)]


def _as_user(words: list[str], folder: int, status: os.stat_result, seconds: float) -> None:
    """Run a command in a folder with the rights of its owner, and wait for it. Does nothing without that program.

    Raises SubprocessError, among others where it takes longer.
    """

    def become() -> None:
        os.fchdir(folder)
        os.setgroups([])
        os.setresgid(status.st_gid, status.st_gid, status.st_gid)
        os.setresuid(status.st_uid, status.st_uid, status.st_uid)

    null = subprocess.DEVNULL
    with contextlib.suppress(FileNotFoundError):
        subprocess.run(
            words, stdin=null, stdout=null, stderr=null, preexec_fn=become, timeout=seconds, check=False, env={}
        )
