"""Values made from files: made anew when the file changes; a broken file leaves the last good value in service."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from x2gobroker.errors import ConfigurationError
from x2gobroker.logs import error_log

T = TypeVar("T")
Identity = tuple[int, int, int, int] | None
UNREACHABLE: Identity = (-1, -1, -1, -1)  # whether it is there cannot be told
NOT_SEEN: Identity = (-2, -2, -2, -2)  # nobody has looked yet


def identity(path: Path) -> Identity:
    """What changes when a file is edited or replaced; None when it is not there or not reachable."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _identity_of(status)


def _identity_of(status: os.stat_result) -> Identity:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """The value in service, and what is wrong with the file as it stands now (None: nothing)."""

    value: T
    fault: ConfigurationError | None = None
    good: bool = True


class WatchedFile(Generic[T]):
    """A value that is made from one file by `load`, which raises ConfigurationError also where the file is not there.

    Looking costs one `stat`. `absent` is the value while the file does not exist, and until a first good load. With
    `stays`, a file that was there (at first: `was_there`) and is gone is as good as broken.
    """

    def __init__(
        self, path: Path, load: Callable[[Path], T], absent: T, *, stays: bool = False, was_there: bool = False
    ) -> None:
        self.path = path
        self.was_there = was_there
        self._load = load
        self._absent = absent
        self._stays = stays
        self._lock = threading.Lock()
        self._seen: Identity = NOT_SEEN
        self._has_good = False
        self._loaded: Loaded[T] = Loaded(absent)

    def current(self) -> Loaded[T]:
        """The value as of now."""
        seen = self._look()
        if seen == self._seen:
            return self._loaded
        with self._lock:
            if seen != self._seen:
                self._loaded = self._reload(seen)
                self._seen = seen
            return self._loaded

    def _look(self) -> Identity:
        """As `identity`, but only a file that is certainly not there is None."""
        try:
            return _identity_of(os.stat(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return UNREACHABLE  # `load` finds out why

    def _reload(self, seen: Identity) -> Loaded[T]:
        if seen is None and not (self._stays and self.was_there):
            self._has_good = False
            return Loaded(self._absent)
        self.was_there = True
        try:
            loaded = Loaded(self._load(self.path))
        except ConfigurationError as error:
            if self._has_good:
                error_log.error("%s; the last good version of the file stays in service", error)
                return Loaded(self._loaded.value, error)
            error_log.error("%s; nothing of this file is in service", error)
            return Loaded(self._absent, error, good=False)
        self._has_good = True
        return loaded
