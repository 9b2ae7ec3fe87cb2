"""The file of SQLite: made, looked at, and prepared for a connection.

Nothing but SQLite opens the file once it is there. SQLite's locks are those of POSIX, which end as soon as the process
closes *any* descriptor of the file (https://www.sqlite.org/howtocorrupt.html, 2.2): the next process that closes it
takes itself for the last one, and removes the write-ahead log below those that go on writing to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from x2gobroker.errors import StoreError
from x2gobroker.privilege import TrustError, check_place

BUSY_SECONDS = 5.0
PAUSE_SECONDS = 0.01
LEAST_FREE_BYTES = 1 << 20
MODE = stat.S_IRUSR | stat.S_IWUSR


def make(path: Path) -> None:
    """The file and its folder, where they are missing. Raises StoreError with what to do."""
    _check_folder(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, MODE))
        except FileExistsError:
            _check_access(path)
    except OSError as error:
        raise StoreError(
            f"the state store {path} cannot be made: {error.strerror}; let the broker's user write to "
            f"{path.parent}, or set cookie-directory or database-url in [global]"
        ) from None


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """One process at a time makes the file, its tables and its log. Raises StoreError when another one is too slow.

    Of two connections that switch a file to WAL at once, SQLite refuses one without waiting.
    """
    try:
        number = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"the state store {path} fails: {path.parent}: {error.strerror}") from None
    try:
        end = time.monotonic() + BUSY_SECONDS
        while not _locked(number):
            if time.monotonic() > end:
                raise StoreError(f"the state store {path} fails: another process has been opening it for too long")
            time.sleep(PAUSE_SECONDS)
        yield
    finally:
        os.close(number)


def begin_log(engine: Engine) -> None:
    """WAL lets readers go on beside a writer. The file stays so."""
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def prepare(connection: Any, _record: object) -> None:
    """A new connection. NORMAL loses no commit when a process dies, only when power does."""
    for pragma in ("synchronous=NORMAL", f"busy_timeout={int(BUSY_SECONDS * 1000)}"):
        connection.execute(f"PRAGMA {pragma}")


def check(path: Path) -> None:
    """What processes that have the file open would notice late: that others can no longer open it, or write much.

    Raises StoreError.
    """
    _check_folder(path)
    try:
        _check_access(path)
        free = os.statvfs(path.parent)
    except FileNotFoundError as error:
        if path.parent.is_dir() or not path.parent.exists():
            return  # a store that is still to be made
        raise StoreError(f"the state store {path} fails: {error.strerror}") from None
    except OSError as error:
        raise StoreError(f"the state store {path} fails: {error.strerror}") from None
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(f"the state store {path} fails: its folder cannot be written")
    if free.f_bavail * free.f_frsize < LEAST_FREE_BYTES:
        raise StoreError(f"the state store {path} fails: the disk is full")


def _check_folder(path: Path) -> None:
    try:
        check_place(path.parent)  # SQLite opens by name
    except TrustError as error:
        raise StoreError(f"root does not open the state store {path}: {error}; or start this as its owner") from None


def _check_access(path: Path) -> None:
    """Raises OSError for what is no file, and for a file that this account may not read and write."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(0, "it is no file")
    if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        raise OSError(0, "this account cannot read and write it")


def _locked(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without such locks: as good as it gets
    return True
