"""Reads a site's files below a root folder: links are followed inside of it, and nothing that is there raises."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from x2gobroker.settings.text_files import TextFileError, read_bytes

LARGEST_FILE = 32 << 20
MOST_LINKS = 40


@dataclass(frozen=True)
class Owner:
    """Whose something is, and its mode, as chmod takes it."""

    uid: int
    gid: int
    mode: int


class Reader:
    """The files of the system below `root`. What is there and cannot be read is noted in `faults`, as text."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.faults: list[str] = []

    def real(self, path: str) -> str | None:
        """Where a path leads when `root` is the root folder; None where links go round in circles, or it is no path."""
        left = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        place = PurePosixPath("/")
        links = 0
        while left:
            name = left.pop()
            if name == "..":
                place = place.parent
                continue
            target = self.link(str(place / name))
            if not target:
                place /= name
                continue
            links += 1
            if links > MOST_LINKS:
                return None
            if target.startswith("/"):
                place = PurePosixPath("/")
            left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        return str(place)

    def link(self, path: str) -> str:
        """What a link says; empty where there is none. Folders on the way are taken as they are."""
        try:
            return os.readlink(self._below(path))
        except (OSError, ValueError):
            return ""

    def present(self, path: str) -> bool:
        """Whether there is anything at this place, also a link that leads nowhere."""
        try:
            os.lstat(self._parent_real(path))
        except (OSError, ValueError):
            return False
        return True

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder, also by way of links."""
        try:
            return stat.S_ISDIR(os.stat(self._real_below(path)).st_mode)
        except (OSError, ValueError):
            return False

    def owner(self, path: str) -> Owner | None:
        """Whose a file or folder is, None where there is none."""
        try:
            status = os.stat(self._real_below(path))
        except (OSError, ValueError):
            return None
        return Owner(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))

    def names(self, folder: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none where there is no folder."""
        try:
            return tuple(sorted(os.listdir(self._real_below(folder))))
        except (OSError, ValueError):
            return ()

    def text(self, path: str) -> str | None:
        """The text of a file, None where it is missing or cannot be read. What is not UTF-8 is replaced."""
        try:
            place = self._real_below(path)
            if not stat.S_ISREG(os.stat(place).st_mode):
                return None
            data = read_bytes(Path(place), LARGEST_FILE)
        except (OSError, ValueError, TextFileError) as error:
            if self.present(path):
                reason = error.reason if isinstance(error, TextFileError) else getattr(error, "strerror", None)
                self._note(f"{path}: {reason or 'cannot be read'}")
            return None
        return data.decode("utf-8", "replace")

    def _note(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def _below(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))

    def _real_below(self, path: str) -> str:
        """Raises OSError where links go round in circles."""
        real = self.real(path)
        if real is None:
            raise OSError(0, "its links go round in circles")
        return self._below(real)

    def _parent_real(self, path: str) -> str:
        where = PurePosixPath(path)
        return os.path.join(self._real_below(str(where.parent)), where.name)
