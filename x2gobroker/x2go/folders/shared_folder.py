"""One local folder as a server sees it: nothing outside of it can be reached, whatever name or link is asked for.

Every step into the folder is taken from an open folder, and never through a link, so that nobody can exchange one for
the other in between. sshfs needs no more: the server's kernel resolves links itself, and asks for what it found.

Local programs do follow links, so a server must not bring it about that a name leads elsewhere than the user meant.
Links that it makes lead on from where they stand: without `..`, not from the root, through no link of the user's that
does lead out, and to no folder that holds one. Such links of the user's stay where they are, and so do these folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MOST_LINKS = 40  # in one path, as Linux has it
DEEPEST = 100  # of folders within a folder that is moved
MOST_MOVED = 50_000  # entries in it, which are looked at for links; also in a folder that a link leads to
MODE_BITS = 0o777  # nobody makes a program setuid from afar


class SharedFolder:
    """The folder `path`, called `name` by the server: an absolute path, of which nothing else exists there.

    All methods raise OSError. They are called by one thread; `close` last.
    """

    def __init__(self, path: str, name: str, read_only: bool = False) -> None:
        self.path = os.path.realpath(path)
        self.name = posixpath.normpath(name)
        self.read_only = read_only
        self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Reach into the folder no more."""
        number, self._root = self._root, -1
        if number >= 0:
            os.close(number)

    def _parts(self, path: str) -> list[str]:
        """The names below the folder. Raises OSError when it is not in there."""
        full = posixpath.normpath(f"/{path.lstrip('/')}")
        above = self.name.rstrip("/")
        if full != self.name and not full.startswith(f"{above}/"):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return [part for part in full[len(above) :].split("/") if part]

    @contextlib.contextmanager
    def _above(self, path: str) -> Iterator[tuple[int, str]]:
        """The open folder in which the last name of a path stands, and that name; `.` for the shared folder itself."""
        parts = self._parts(path)
        folder = os.dup(self._root)
        try:
            for part in parts[:-1]:
                below = os.open(part, STEP, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder, parts[-1] if parts else "."
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def _to_change(self, path: str) -> Iterator[tuple[int, str]]:
        """The same, for an entry that is made, removed or replaced."""
        self._writable()
        with self._above(path) as (folder, name):
            if name == ".":
                raise OSError(errno.EACCES, "the shared folder itself stays as it is")
            yield folder, name

    def _writable(self) -> None:
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def is_above(self, path: str) -> bool:
        """Whether a path leads towards the folder: the server may ask whether that is there."""
        full = posixpath.normpath(f"/{path.lstrip('/')}")
        return full != self.name and f"{self.name}/".startswith(f"{full.rstrip('/')}/")

    def status(self, path: str) -> os.stat_result:
        """What `lstat` says: of a link, not of what it leads to."""
        if self.is_above(path):
            return os.stat(self._root)
        with self._above(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        """The names in a folder, with their `lstat`.

        Left out are names that are no UTF-8, which cannot be said to a server, and what has no `lstat`: it is gone, or
        a mount whose other end is dead.
        """
        found = []
        with self._above(path) as (folder, name):
            number = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(number) as listing:
                for entry in listing:
                    with contextlib.suppress(OSError, UnicodeEncodeError):
                        entry.name.encode("utf-8")
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
        finally:
            os.close(number)
        return found

    def open(self, path: str, flags: int, mode: int) -> int:
        """A file descriptor of a regular file; of nothing else, which could block or do something."""
        if flags & WRITING:
            self._writable()
        with self._above(path) as (folder, name):
            number = os.open(name, flags | SAFELY, mode & MODE_BITS, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EACCES, "it is no regular file")
        return number

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        with self._to_change(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rename(self, path: str, new: str) -> None:
        """Give a file or folder another name; what had that name is replaced, as POSIX has it.

        A link that leads up or out, and a folder that holds one, would lead elsewhere from another place: EACCES.
        """
        with self._to_change(path) as (folder, name), self._to_change(new) as (new_folder, new_name):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                _check_link(new_folder, os.readlink(name, dir_fd=folder))
            elif stat.S_ISDIR(mode):
                _check_folder(folder, name)
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def make_folder(self, path: str, mode: int) -> None:
        """Make an empty folder."""
        with self._to_change(path) as (folder, name):
            os.mkdir(name, mode & MODE_BITS, dir_fd=folder)

    def remove_folder(self, path: str) -> None:
        """Remove a folder, which has to be empty."""
        with self._to_change(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def link_target(self, path: str) -> str:
        """Where a link leads, as seen from where it is. One that leads out of the folder is not told: EACCES.

        On the server it would lead to a file of the server that happens to have that name.
        """
        with self._above(path) as (folder, name):
            target = os.readlink(name, dir_fd=folder)
        place = self._parts(path)[:-1]
        if target.startswith("/"):
            full = os.path.normpath(target)
            if os.path.commonpath((full, self.path)) != self.path:
                raise OSError(errno.EACCES, "the link leads out of the shared folder")
            return os.path.relpath(full, os.path.join(self.path, *place))
        return _checked_target(target, len(place))

    def make_link(self, target: str, path: str) -> None:
        """Make a link that leads on from where it is, to something in the folder; another one is refused: EACCES."""
        with self._to_change(path) as (folder, name):
            _check_link(folder, target)
            os.symlink(target, name, dir_fd=folder)

    def set_mode(self, path: str, mode: int) -> None:
        """Change the permissions of a file or folder."""
        self._writable()
        with self._above(path) as (folder, name):
            number = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if stat.S_ISLNK(os.fstat(number).st_mode):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            os.chmod(f"/proc/self/fd/{number}", mode & MODE_BITS)  # there is no fchmod for O_PATH
        finally:
            os.close(number)

    def set_times(self, path: str, accessed: float, modified: float) -> None:
        """Change the times of a file, folder or link; in seconds."""
        self._writable()
        with self._above(path) as (folder, name):
            os.utime(name, (accessed, modified), dir_fd=folder, follow_symlinks=False)

    def set_size(self, path: str, size: int) -> None:
        """Cut a file, or let it grow, to so many bytes."""
        number = self.open(path, os.O_WRONLY, 0)
        try:
            os.ftruncate(number, size)
        finally:
            os.close(number)


def _leads_on(target: str) -> bool:
    """Whether a link with this target leads to something below the folder that it is in, wherever that folder is."""
    return bool(target) and not target.startswith("/") and ".." not in target.split("/")


def _check_link(folder: int, target: str) -> None:
    """Raises OSError, EACCES, unless a link in this open folder would lead on from it, through whatever links.

    A folder that it leads to gets another name by it, to which other links may already lead: so that folder must hold
    no link that leads up or out, as if it were moved.
    """
    astray = OSError(errno.EACCES, "the link leads up, or out of the shared folder")
    if not _leads_on(target):
        raise astray
    place, names, links = os.dup(folder), target.split("/"), 0
    try:
        while names:
            name = names.pop(0)
            if name in ("", "."):
                continue
            try:
                below = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
            except FileNotFoundError:
                return  # what a server puts there leads on as well
            mode = os.fstat(below).st_mode
            if stat.S_ISLNK(mode):
                onward = os.readlink("", dir_fd=below)
                os.close(below)
                links += 1
                if links > MOST_LINKS or not _leads_on(onward):
                    raise astray
                names = onward.split("/") + names
                continue
            os.close(place)
            place = below
            if not stat.S_ISDIR(mode):
                return
        _check_folder(place, ".")
    finally:
        os.close(place)


def _check_folder(folder: int, name: str) -> None:
    """Raises OSError, EACCES, when there is a link that leads up or out below this folder, or too much to look at."""
    left = MOST_MOVED
    with contextlib.ExitStack() as stack:
        levels: list[Iterator[os.DirEntry[str]]] = []
        numbers: list[int] = []

        def enter(above: int, entry: str) -> None:
            number = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            numbers.append(number)
            levels.append(stack.enter_context(os.scandir(number)))

        try:
            enter(folder, name)
            while levels:
                entry = next(levels[-1], None)
                if entry is None:
                    levels.pop()
                    os.close(numbers.pop())
                    continue
                left -= 1
                if left < 0 or len(levels) > DEEPEST:
                    raise OSError(errno.EACCES, "the folder holds too much to be moved or linked to from afar")
                if entry.is_symlink() and not _leads_on(os.readlink(entry.name, dir_fd=numbers[-1])):
                    raise OSError(errno.EACCES, "the folder holds a link that would lead elsewhere")
                if entry.is_dir(follow_symlinks=False):
                    enter(numbers[-1], entry.name)
        finally:
            for number in numbers:
                os.close(number)


def _checked_target(target: str, depth: int) -> str:
    """A link of the user's, as told to a server that sees it `depth` folders below the shared one.

    Raises OSError, EACCES, where it leads out. Ways up are only taken at its beginning: behind a name, which may be a
    link, nobody knows where they lead.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if target.startswith("/") or ups > depth or ".." in parts[ups:]:
        raise OSError(errno.EACCES, "the link leads out of the shared folder")
    return target
