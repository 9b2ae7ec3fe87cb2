"""Files in a folder of another user, written by root: whole or not at all, and never through a link."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from x2gobroker.privilege.files import MissingError, TrustError, walk

LARGEST_FILE = 4 << 20
LOCK_SECONDS = 10.0
OTHERS_WRITE = 0o022
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class SafeFolder:
    """An open folder of the user with these numbers. Everything in it is reached from there, whatever is renamed."""

    def __init__(self, path: Path, number: int, uid: int, gid: int) -> None:
        self.path = path
        self._number = number
        self._uid = uid
        self._gid = gid

    def read(self, name: str, largest: int = LARGEST_FILE) -> bytes | None:
        """A file's content, None where there is none. Raises OSError, also for links and what is too large."""
        try:
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._number)
        except FileNotFoundError:
            return None
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise OSError(0, "it is no file")
            data = stream.read(largest + 1)
        if len(data) > largest:
            raise OSError(0, f"it has more than {largest} bytes")
        return data

    def is_right(self, name: str, mode: int) -> bool:
        """Whether a file has this mode, and the user as its owner."""
        try:
            status = os.stat(name, dir_fd=self._number, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return stat.S_IMODE(status.st_mode) == mode and status.st_uid == self._uid

    def write(self, name: str, data: bytes, mode: int, replace: bool = True) -> None:
        """Write a file of the user. Raises OSError; FileExistsError where it is there and `replace` is false."""
        self._put(name, data, mode, (self._uid, self._gid), replace)

    def replace(self, name: str, data: bytes, new_mode: int, new_group: int | None = None) -> None:
        """Put this content in the place of a file, in one step; it keeps owner, group and mode. Raises OSError.

        A new file gets `new_mode`, the folder's user as its owner and `new_group` as its group, by default the user's.
        """
        try:
            status = os.stat(name, dir_fd=self._number, follow_symlinks=False)
        except FileNotFoundError:
            group = self._gid if new_group is None else new_group
            self._put(name, data, new_mode, (self._uid, group), replace=False)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no file")
        self._put(name, data, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid), replace=True)

    def _put(self, name: str, data: bytes, mode: int, owner: tuple[int, int], replace: bool) -> None:
        with self._draft(name, data, mode, owner) as put:
            put(replace)

    @contextlib.contextmanager
    def draft(self, name: str, data: bytes, mode: int) -> Iterator[Callable[[bool], None]]:
        """A file of the user, written but for its name: so that several get their names only once all are written.

        What is given puts it in place: raises FileExistsError where it is there and the argument, `replace`, is false,
        OSError. Without that, nothing stays of it. Raises OSError.
        """
        with self._draft(name, data, mode, (self._uid, self._gid)) as put:
            yield put

    @contextlib.contextmanager
    def _draft(self, name: str, data: bytes, mode: int, owner: tuple[int, int]) -> Iterator[Callable[[bool], None]]:
        temporary = f".{name}.{os.urandom(8).hex()}"  # `secrets` would load OpenSSL, 4 MB for each desktop's keeper
        number = os.open(temporary, NEW_FILE, 0o600, dir_fd=self._number)
        try:
            with open(number, "wb") as stream:
                stream.write(data)
                stream.flush()
                _give(number, *owner)
                _set_mode(number, mode)
                os.fsync(number)

            def put(replace: bool) -> None:
                if replace:
                    self._rename(temporary, name)
                else:
                    self._name_new(temporary, name)
                os.fsync(self._number)

            yield put
        finally:
            self.remove(temporary)

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._number, dst_dir_fd=self._number)

    def _name_new(self, temporary: str, name: str) -> None:
        """Give a file a name that must not be there yet, by a link; where there are none, as with exFAT, with care."""
        try:
            os.link(temporary, name, src_dir_fd=self._number, dst_dir_fd=self._number, follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        # an empty file takes the name, which fails where it is taken, and only that one is written over
        os.close(os.open(name, NEW_FILE, 0o600, dir_fd=self._number))
        try:
            self._rename(temporary, name)
        except OSError:
            self.remove(name)
            raise

    def names(self) -> list[str]:
        """What is in it. Raises OSError."""
        return os.listdir(self._number)

    def age(self, name: str, now: float) -> float:
        """Seconds since a file was last written, at the moment `now`; below 0 where the clock was put back. Raises
        OSError.
        """
        return now - os.stat(name, dir_fd=self._number, follow_symlinks=False).st_mtime

    def remove(self, name: str) -> None:
        """Remove a file, or a link instead of where it leads; nothing where there is none. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One at a time. Raises OSError when another one has it for too long."""
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise OSError(0, "another program is writing there") from None
                time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.flock(self._number, fcntl.LOCK_UN)


def _give(number: int, uid: int, gid: int) -> None:
    """Give an open file away: root can, everybody else keeps what is possible, the group."""
    if os.geteuid() == 0:
        os.fchown(number, uid, gid)
    elif gid != os.fstat(number).st_gid:
        with contextlib.suppress(PermissionError):  # only to a group that one is in
            os.fchown(number, -1, gid)


def _set_mode(number: int, mode: int) -> None:
    """Set an open file's mode; where all files have the same one, as with exFAT, it must let in nobody else.

    Raises OSError.
    """
    try:
        os.fchmod(number, mode)
    except PermissionError:
        if os.fstat(number).st_mode & 0o077 & ~mode:
            raise OSError(errno.EPERM, "others could read it on that file system; mount it with umask=077") from None


@contextlib.contextmanager
def own_folder(path: Path) -> Iterator[SafeFolder]:
    """A folder that is there, to work in as who we are. Raises OSError; as root TrustError, unless it is root's alone.

    Elsewhere root first has to become somebody else: see `worker_in`.
    """
    number = _open_own(path) if os.geteuid() == 0 else os.open(path, READ_FOLDER)
    try:
        yield SafeFolder(path, number, os.geteuid(), os.getegid())
    finally:
        os.close(number)


@contextlib.contextmanager
def safe_folder(path: Path, uid: int, gid: int) -> Iterator[SafeFolder]:
    """The folder, made with mode 0700 if it is missing. Raises OSError; the folder above it must be there.

    Root gives it to the user, and takes away that others may write into it: sshd refuses such folders. On the way to it
    root follows no link of the user: it could lead into a folder of root's, which would be given away.
    """
    above = _open_above(path.parent, uid)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.name, 0o700, dir_fd=above)
        number = _open_folder(path.name, above)
    finally:
        os.close(above)
    try:
        status = os.fstat(number)
        if status.st_uid not in (0, uid):
            raise OSError(0, f"it belongs to the user with the number {status.st_uid}")
        if os.geteuid() == 0:
            os.fchown(number, uid, gid)
        if status.st_mode & OTHERS_WRITE:
            os.fchmod(number, stat.S_IMODE(status.st_mode) & ~OTHERS_WRITE)
        yield SafeFolder(path, number, uid, gid)
    finally:
        os.close(number)


def _open_own(path: Path) -> int:
    try:
        with walk(path) as (way, _):
            return os.open(f"/proc/self/fd/{way}", READ_FOLDER)
    except MissingError as error:
        raise _missing(path) from error


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _open_above(path: Path, uid: int) -> int:
    if os.geteuid() != 0:
        return os.open(path, READ_FOLDER)
    try:
        # a user's folders may be writable by the user's group; links count only where root has put them
        with walk(path, (0, uid), links_of=(0,), others_may_write=True) as (way, _):
            return os.open(f"/proc/self/fd/{way}", READ_FOLDER)
    except MissingError as error:
        raise _missing(path) from error
    except TrustError as error:
        raise OSError(0, str(error)) from error


def _open_folder(name: str, above: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except NotADirectoryError:
        raise OSError(0, "it is a link, or no folder") from None
