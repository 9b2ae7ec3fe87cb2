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


def identity(path: Path) -> Identity:
    """What changes when a file is edited or replaced; None when it is not there or not reachable."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """The value in service, and what is wrong with the file as it stands now (None: nothing)."""

    value: T
    fault: ConfigurationError | None = None
    good: bool = True


class WatchedFile(Generic[T]):
    """A value that is made from one file by `load`, which may raise ConfigurationError.

    Looking costs one `stat`. `absent` is the value while the file does not exist, and until a first good load.
    """

    def __init__(self, path: Path, load: Callable[[Path], T], absent: T) -> None:
        self.path = path
        self._load = load
        self._absent = absent
        self._lock = threading.Lock()
        self._seen: Identity = None
        self._loaded: Loaded[T] = Loaded(absent)

    def current(self) -> Loaded[T]:
        """The value as of now."""
        seen = identity(self.path)
        if seen == self._seen:
            return self._loaded
        with self._lock:
            if seen != self._seen:
                self._loaded = self._reload(seen)
                self._seen = seen
            return self._loaded

    def _reload(self, seen: Identity) -> Loaded[T]:
        if seen is None:
            return Loaded(self._absent)
        had_good = self._seen is not None and self._loaded.good
        try:
            return Loaded(self._load(self.path))
        except ConfigurationError as error:
            if had_good:
                error_log.error("%s; the last good version of the file stays in service", error)
                return Loaded(self._loaded.value, error)
            error_log.error("%s; nothing of this file is in service", error)
            return Loaded(self._absent, error, good=False)
