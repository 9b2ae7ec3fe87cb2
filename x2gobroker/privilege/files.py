"""Files that only root and trusted accounts can have written, opened so that nobody can swap them meanwhile.

Each folder on the way is opened, looked at, and then only used by its descriptor. So what was looked at is what is
read, whatever is renamed in between.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from x2gobroker.errors import BrokerError

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_LINKS = 40  # as the kernel has it: path_resolution(7)
LARGEST_FILE = 4 << 20


class TrustError(BrokerError):
    """A file, or a folder on the way to it, could have been written by somebody else. The text says what to do."""


class MissingError(TrustError):
    """There is nothing at this place. What is on the way to it is trusted."""


class ForeignError(TrustError):
    """Somebody else could change this. `owner`: whose it is, None where it is trusted, but others can write."""

    def __init__(self, message: str, owner: int | None) -> None:
        super().__init__(message)
        self.owner = owner


def open_trusted(path: Path, owners: Collection[int] = (0,)) -> int:
    """A descriptor to read a regular file, which only `owners` (user numbers) could change or put in its place.

    Raises TrustError where that is not so, and where it cannot be read. Links of trusted owners are followed.
    """
    with walk(path, owners) as (number, place):
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise TrustError(f"{place} is no file")
        try:
            # the same file again, now to be read: a descriptor of O_PATH only names it
            return os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TrustError(f"{place} cannot be read: {error.strerror}") from error


def read_trusted(path: Path, owners: Collection[int] = (0,), largest: int = LARGEST_FILE) -> bytes:
    """The content of a file that only `owners` could have written, of at most `largest` bytes. Raises TrustError."""
    with open(open_trusted(path, owners), "rb") as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise TrustError(f"{path} is larger than {largest} bytes")
    return data


def read_users_file(path: str, uid: int, largest: int) -> bytes:
    """The content of a file that must be this user's alone; as `users_file`."""
    with users_file(path, uid, largest) as data:
        return data


@contextlib.contextmanager
def users_file(path: str, uid: int, largest: int) -> Iterator[bytes]:
    """The content of a file that must be this user's alone: regular, no link, one name, mode 0600 or less.

    It is looked at by its descriptor. A process of root's that has given up the right to read what is not its own, and
    kept that to give files away, has it for the block. Raises OSError, TrustError.
    """
    number = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise TrustError(f"{path} is no regular file with one name")
        if status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o177:
            raise TrustError(f"{path} is not the user's own, with mode 0600")
        itself, read = f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC
        with contextlib.ExitStack() as given_back:
            try:
                opened = os.open(itself, read)
            except PermissionError:
                given_back.callback(os.chown, itself, status.st_uid, status.st_gid)
                os.chown(itself, os.geteuid(), status.st_gid)
                opened = os.open(itself, read)
            with open(opened, "rb") as stream:
                data = stream.read(largest + 1)
            if len(data) > largest:
                raise TrustError(f"{path} is larger than {largest} bytes")
            yield data
    finally:
        os.close(number)


@contextlib.contextmanager
def trusted_place(path: Path, owners: Collection[int] = (0,)) -> Iterator[int]:
    """A descriptor (O_PATH) of a file, folder or socket that nobody but `owners` could have put there.

    What it names is used by `/proc/self/fd/NUMBER`. Whoever may connect to a socket may write to it, so a socket's own
    mode says nothing. Raises TrustError, when it is entered.
    """
    with walk(path, owners) as (number, _place):
        yield number


@dataclass(frozen=True)
class _Rules:
    """Whom a walk trusts: owners of files and folders, owners of links, and whether modes count."""

    owners: Collection[int]
    links_of: Collection[int]
    others_may_write: bool


@contextlib.contextmanager
def walk(
    path: Path,
    owners: Collection[int] = (0,),
    last_too: bool = True,
    links_of: Collection[int] | None = None,
    others_may_write: bool = False,
) -> Iterator[tuple[int, Path]]:
    """A descriptor (O_PATH) of what is at `path`, and its place without links. Everything on the way is trusted.

    What is there itself may be anybody's where `last_too` is false. Links may be of `links_of`, by default of the
    owners; modes do not count where `others_may_write`. Raises TrustError.
    """
    rules = _Rules(owners, owners if links_of is None else links_of, others_may_write)
    left = list(reversed(Path(os.path.abspath(path)).parts[1:]))
    place, links = Path("/"), 0
    number = os.open("/", STEP | os.O_DIRECTORY)
    try:
        if left or last_too:
            _check(number, place, rules)
        while left:
            name = left.pop()
            following = _step(number, name, place)
            target = place.parent if name == ".." else place / name
            if stat.S_ISLNK(os.fstat(following).st_mode):
                try:
                    words, links = _follow(following, target, rules), links + 1
                finally:
                    os.close(following)
                if links > MOST_LINKS:
                    raise TrustError(f"{path} leads through more than {MOST_LINKS} links")
                if words.startswith("/"):
                    os.close(number)
                    number, place = os.open("/", STEP | os.O_DIRECTORY), Path("/")
                left += [part for part in reversed(words.split("/")) if part not in ("", ".")]
                continue
            os.close(number)
            number, place = following, target
            if left or last_too:
                _check(number, place, rules)
        yield number, place
    finally:
        os.close(number)


def _step(number: int, name: str, place: Path) -> int:
    try:
        return os.open(name, STEP, dir_fd=number)
    except FileNotFoundError as error:
        raise MissingError(f"{place / name} cannot be read: {error.strerror}") from error
    except OSError as error:
        raise TrustError(f"{place / name} cannot be read: {error.strerror}") from error


def _follow(number: int, place: Path, rules: _Rules) -> str:
    """Where a link leads; its mode says nothing, but its owner has to be trusted."""
    owner = os.fstat(number).st_uid
    if owner not in rules.links_of:
        raise ForeignError(f"{place} is a link of the user with the number {owner}: give it to root", owner)
    return os.readlink("", dir_fd=number)


def _check(number: int, place: Path, rules: _Rules) -> None:
    status = os.fstat(number)
    if status.st_uid not in rules.owners:
        message = f"{place} belongs to the user with the number {status.st_uid}: give it to root"
        raise ForeignError(message, status.st_uid)
    sticky_folder = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    is_socket = stat.S_ISSOCK(status.st_mode)
    if status.st_mode & OTHERS_WRITE and not sticky_folder and not rules.others_may_write and not is_socket:
        raise ForeignError(f"{place} can be written by others than its owner: chmod go-w {place}", None)
