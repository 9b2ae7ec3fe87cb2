"""Where root may work by itself, and as whom it works elsewhere.

Whoever can write into a folder can put a link, or another file, in the place of what root is about to open, chmod or
chown there. So root works by itself only in places that nobody else can change, from / on. For any other place it
becomes the account that the place belongs to, for good, before it touches anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.privilege.accounts import Account, account_numbered
from x2gobroker.privilege.files import ForeignError, MissingError, TrustError, walk

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
LOG_MODE = 0o640
FOLDER_MODE = 0o755


def worker_in(place: Path, usual: Callable[[], Account]) -> Account | None:
    """The account that root has to become before it works in this folder; None where it works as it is.

    That is the owner of the first part of the path that is not root's; `usual` where that part is root's, but others
    can write there. A process that is not root always works as it is. Raises TrustError, AccountError.
    """
    if os.geteuid() != 0:
        return None
    try:
        with walk(place):
            return None
    except MissingError:
        return None  # root makes it
    except ForeignError as error:
        return usual() if error.owner is None else account_numbered(error.owner)


def check_place(place: Path) -> None:
    """Raises TrustError for a folder in which root must not work by itself; anybody else may work anywhere."""
    if os.geteuid() == 0:
        with contextlib.suppress(MissingError), walk(place):
            pass


def open_log(path: Path) -> int:
    """A descriptor to append to a file, made if missing. Raises OSError; as root TrustError, and opens nothing then."""
    if os.geteuid() != 0:
        return os.open(path, APPEND | os.O_CREAT, LOG_MODE)
    try:
        return _append_as_root(path)
    except MissingError:
        with walk(path.parent) as (folder, _):
            try:
                return os.open(path.name, APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, LOG_MODE, dir_fd=folder)
            except FileExistsError:  # another program of root has just made it
                return _append_as_root(path)


def _append_as_root(path: Path) -> int:
    with walk(path) as (number, place):
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISCHR(status.st_mode):
            raise TrustError(f"{place} is no file")
        if stat.S_ISREG(status.st_mode) and status.st_nlink != 1:
            raise TrustError(f"{place} has another name elsewhere: remove it")
        return os.open(f"/proc/self/fd/{number}", APPEND)


@dataclass(frozen=True)
class ServiceFolder:
    """An open folder for a socket or a PID file. `shared`: others than root can move what is in it."""

    path: Path
    number: int
    shared: bool

    def write(self, name: str, data: bytes, mode: int) -> None:
        """Write a new file, in the place of what is there. Raises OSError."""
        self.remove(name)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, mode, dir_fd=self.number), "wb") as stream:
            stream.write(data)

    def remove(self, name: str) -> None:
        """Remove a file; fine where there is none. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.number)

    def status(self, name: str) -> os.stat_result | None:
        """What is there under this name, None: nothing. Links are not followed. Raises OSError."""
        try:
            return os.stat(name, dir_fd=self.number, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def bind(self, listener: socket.socket, name: str, owner: int, group: int, mode: int) -> None:
        """Bind a Unix socket here, with this owner and mode from the first moment on. Raises OSError."""
        before = os.umask(0o777 & ~mode)
        try:
            if self.shared:
                # a chown by name could reach another file, put there meanwhile: so it is born with its owner
                with _inside(self.number), _acting_as(owner, group):
                    listener.bind(name)
                return
            listener.bind(str(self.path / name))
            if os.geteuid() == 0:
                os.chown(name, owner, group, dir_fd=self.number, follow_symlinks=False)
        finally:
            os.umask(before)

    def is_listening(self, name: str, seconds: float = 2.0) -> bool:
        """Whether somebody listens at this socket. Raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(seconds)
            try:
                probe.connect(str(self.path / name))
            except ConnectionRefusedError:
                return False
            return True


@contextlib.contextmanager
def service_folder(path: Path) -> Iterator[ServiceFolder]:
    """The folder, made if missing. Raises OSError; as root TrustError, unless everything above it is root's alone.

    The folder itself may be another account's: what is done in it follows no name twice.
    """
    path = Path(os.path.abspath(path))
    if os.geteuid() != 0:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        number = os.open(path, FOLDER)
        try:
            yield ServiceFolder(path, number, False)
        finally:
            os.close(number)
        return
    _make_folder(path)
    with walk(path, last_too=False) as (number, place):
        status = os.fstat(number)
        if not stat.S_ISDIR(status.st_mode):
            raise TrustError(f"{place} is no folder")
        writable = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        yield ServiceFolder(place, number, bool(status.st_uid != 0 or writable))


def _make_folder(path: Path) -> None:
    """Make what is missing of a folder, as root, where everything above it is root's alone. Raises TrustError."""
    with contextlib.suppress(MissingError), walk(path, last_too=False):
        return
    _make_folder(path.parent)
    with walk(path.parent) as (number, _), contextlib.suppress(FileExistsError):
        os.mkdir(path.name, FOLDER_MODE, dir_fd=number)


@contextlib.contextmanager
def _inside(folder: int) -> Iterator[None]:
    """This process in another working folder for the length of the block."""
    before = os.open(".", FOLDER)
    try:
        os.fchdir(folder)
        try:
            yield
        finally:
            os.fchdir(before)
    finally:
        os.close(before)


@contextlib.contextmanager
def _acting_as(uid: int, gid: int) -> Iterator[None]:
    """Root as another account for the length of the block: what is made in it belongs to that account."""
    user, group = os.geteuid(), os.getegid()
    os.setegid(gid)
    try:
        os.seteuid(uid)
        try:
            yield
        finally:
            os.seteuid(user)
    finally:
        os.setegid(group)
