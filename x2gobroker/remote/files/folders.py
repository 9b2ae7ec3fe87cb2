"""Folders and files below a home folder, by descriptors. To be used as the user only: the kernel says what may be done.

Links are followed as programs of the user follow them; they lead nowhere that the user could not go. Devices, pipes
and sockets are neither listed nor opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from x2gobroker.remote.files.names import item_of, names_of, shown
from x2gobroker.remote.files.refusals import RefusedError, refusal

MOST_ENTRIES = 10000
WAY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
LOOK = os.O_PATH | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A file or a folder in a folder. `modified` in seconds of the epoch; a folder's size is 0."""

    name: bytes
    is_folder: bool
    is_link: bool
    size: int
    modified: int

    def told(self) -> dict[str, object]:
        """As a message has it."""
        return {
            "item": item_of(self.name),
            "name": shown(self.name),
            "folder": self.is_folder,
            "link": self.is_link,
            "size": self.size,
            "modified": self.modified,
        }


@dataclass(frozen=True)
class Listing:
    """What is in a folder. `skipped`: how many are neither files nor folders, or lead nowhere. `more`: not all of it.
    `free`: bytes that ordinary users have left on its file system.
    """

    entries: tuple[Entry, ...]
    skipped: int
    more: bool
    free: int


@contextlib.contextmanager
def opened_folder(home: str, path: str) -> Iterator[int]:
    """A folder of a message, held for the length of a `with` block. Raises RefusedError."""
    names = names_of(path)
    held = -1
    try:
        held = os.open(home, WAY)
        for name in names:
            further = os.open(name, WAY, dir_fd=held)
            os.close(held)
            held = further
    except OSError as error:
        if held >= 0:
            os.close(held)
        raise refusal(error, missing="no-folder") from error
    try:
        yield held
    finally:
        os.close(held)


def free_bytes(number: int) -> int:
    """What is left for ordinary users on the file system of an open file. Quotas are not in it."""
    found = os.fstatvfs(number)
    return found.f_bavail * found.f_frsize


def list_folder(folder: int, hidden: bool) -> Listing:
    """What is in an open folder, in no order; with `hidden` also what begins with a dot. Raises RefusedError."""
    entries: list[Entry] = []
    skipped, more = 0, False
    try:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            for number, name in enumerate(_names_in(listed)):
                if number >= MOST_ENTRIES:
                    more = True
                    break
                if name.startswith(b".") and not hidden:
                    continue
                entry = _entry(folder, name)
                if entry is None:
                    skipped += 1
                else:
                    entries.append(entry)
        finally:
            os.close(listed)
        return Listing(tuple(entries), skipped, more, free_bytes(folder))
    except OSError as error:
        raise refusal(error, missing="no-folder") from error


def _names_in(folder: int) -> Iterator[bytes]:
    with os.scandir(folder) as found:
        for entry in found:
            yield os.fsencode(entry.name)


def _entry(folder: int, name: bytes) -> Entry | None:
    """What this is; None for what is neither a file nor a folder, and for what cannot be looked at."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link:
            status = os.stat(name, dir_fd=folder)
    except OSError:
        return None
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return None
    return Entry(name, is_folder, is_link, 0 if is_folder else status.st_size, max(0, int(status.st_mtime)))


def open_file(folder: int, item: str) -> int:
    """A regular file, to be read. Nothing else is ever opened: a pipe would wait, a device might do something.

    Raises RefusedError.
    """
    name = names_of(item)[0]
    try:
        held = os.open(name, LOOK, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(held).st_mode):
                raise RefusedError("special")
            return os.open(f"/proc/self/fd/{held}", READ)  # the very one that was looked at
        finally:
            os.close(held)
    except OSError as error:
        raise refusal(error) from error


def stamp_of(number: int) -> str:
    """What an open file is, and of when: another one, or a later state of it, has another stamp."""
    status = os.fstat(number)
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns & (1 << 64) - 1)
    return ".".join(f"{part:x}" for part in parts)
