"""Files that come from a server through a shared folder: taken without trusting their names, kinds or sizes."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
import tempfile
import unicodedata
from dataclasses import dataclass

MAX_FILE_BYTES = 1 << 30
MAX_ENTRIES = 10_000
LONGEST_NAME = 120  # bytes, without the extension; file systems take 255
_CHUNK = 1 << 18
_KEPT = frozenset(" ._-()+,=@")


def plain_name(name: str) -> bool:
    """Whether this names an entry of a folder itself: no path, not hidden, not empty."""
    return bool(name) and not name.startswith(".") and not set(name) & {"/", "\0"}


def entries(folder: str) -> list[str]:
    """Names in `folder`, at most 10,000 of them; none when it does not exist. Raises OSError when it is unreadable."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in itertools.islice(found, MAX_ENTRIES)]
    except FileNotFoundError:
        return []


def open_plain(path: str) -> int:
    """A descriptor to read a regular file; OSError for a link, a folder, a pipe and what cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "this is no regular file", path)
    return descriptor


def read_start(path: str, limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError."""
    with os.fdopen(open_plain(path), "rb") as source:
        return source.read(limit)


def copy_into(path: str, folder: str, title: str, extension: str) -> str:
    """Copy a regular file into `folder` under a name made from `title`; that path.

    Never replaces a file nor follows a link there: it takes `title(1)`, `title(2)` and so on. Raises OSError, also for
    files above 1 GiB, and leaves no half copy.
    """
    with os.fdopen(open_plain(path), "rb") as source:
        target, descriptor = _new_file(folder, safe_name(title, extension), extension)
        try:
            with os.fdopen(descriptor, "wb") as copy:
                written = 0
                while block := source.read(_CHUNK):
                    written += len(block)
                    if written > MAX_FILE_BYTES:
                        raise OSError(errno.EFBIG, f"this file is larger than {MAX_FILE_BYTES} bytes", path)
                    copy.write(block)
        except OSError:
            os.unlink(target)
            raise
    return target


def _new_file(folder: str, name: str, extension: str) -> tuple[str, int]:
    for number in itertools.count():
        path = os.path.join(folder, f"{name}({number}){extension}" if number else f"{name}{extension}")
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if number > MAX_ENTRIES:
                raise
    raise AssertionError("count() never ends")


@dataclass(frozen=True)
class PrivateCopy:
    """A file alone in a folder that only this user can open."""

    folder: str
    path: str

    def remove(self) -> None:
        """Remove the file and its folder; a file that is gone already is no error."""
        shutil.rmtree(self.folder, ignore_errors=True)


def private_copy(path: str, title: str, extension: str) -> PrivateCopy:
    """Copy a regular file to where the server cannot reach it, for a local program. Raises OSError.

    The shared folder is no place to open a file from: the server could still exchange it there.
    """
    folder = tempfile.mkdtemp(prefix="x2go-")
    try:
        return PrivateCopy(folder, copy_into(path, folder, title, extension))
    except OSError:
        os.rmdir(folder)
        raise


def safe_name(title: str, extension: str = "", default: str = "X2Go") -> str:
    """A file name made from any text: letters, digits and a few signs of it, at most 120 bytes, without `extension`."""
    text = unicodedata.normalize("NFC", title)
    if extension and text.lower().endswith(extension.lower()):
        text = text[: -len(extension)]
    kept = (c if unicodedata.category(c)[0] in "LNM" or c in _KEPT else " " if c.isspace() else "_" for c in text)
    text = " ".join("".join(kept).split()).encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")
    return text.strip(" ._-") or default
