"""Files in a folder of another user, written by root: whole or not at all, and never through a link."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

LARGEST_FILE = 4 << 20
LOCK_SECONDS = 10.0
OTHERS_WRITE = 0o022


class SafeFolder:
    """An open folder of the user with these numbers. Everything in it is reached from there, whatever is renamed."""

    def __init__(self, path: Path, number: int, uid: int, gid: int) -> None:
        self.path = path
        self._number = number
        self._uid = uid
        self._gid = gid

    def read(self, name: str) -> bytes | None:
        """A file's content, None where there is none. Raises OSError, also for links and what is too large."""
        try:
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._number)
        except FileNotFoundError:
            return None
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise OSError(0, "it is no file")
            data = stream.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise OSError(0, f"it has more than {LARGEST_FILE} bytes")
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
        temporary = f".{name}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        number = os.open(temporary, flags, 0o600, dir_fd=self._number)
        try:
            with open(number, "wb") as stream:
                stream.write(data)
                stream.flush()
                if os.geteuid() == 0:
                    os.fchown(number, self._uid, self._gid)
                os.fchmod(number, mode)
                os.fsync(number)
            if replace:
                os.rename(temporary, name, src_dir_fd=self._number, dst_dir_fd=self._number)
            else:
                os.link(temporary, name, src_dir_fd=self._number, dst_dir_fd=self._number, follow_symlinks=False)
            os.fsync(self._number)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._number)

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


@contextlib.contextmanager
def safe_folder(path: Path, uid: int, gid: int) -> Iterator[SafeFolder]:
    """The folder, made with mode 0700 if it is missing. Raises OSError; the folder above it must be there.

    Root gives it to the user, and takes away that others may write into it: sshd refuses such folders.
    """
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


def _open_folder(name: str, above: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except NotADirectoryError:
        raise OSError(0, "it is a link, or no folder") from None
